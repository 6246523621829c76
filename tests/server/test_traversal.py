"""No path leads out of what is served."""

from __future__ import annotations

import http.client

import httpx
import pytest

import engage

UP = ["..", "%2e%2e", "..%2f..", "%2e%2e%2f%2e%2e", "..%5c..", "%252e%252e", "....//....", "..;", "..%00"]
PLACES = ["", "sdk/", "docs/", "callbacks/", "o/", "c/", "u/", "p/", "v1/", "v1/messages/", "1/"]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place or "root")
def test_no_path_leads_out(client: httpx.Client, workspace: engage.Workspace, place: str) -> None:
    (workspace.root / "secret.txt").write_text("not to be read")
    wire = http.client.HTTPConnection(client.base_url.host, client.base_url.port or 80, timeout=20)
    files = ["secret.txt", "pyproject.toml", "data/access.sqlite", "etc/passwd"]
    paths = [f"/{place}{up}/{file}" for up in UP for file in files]
    paths += [f"/{place}/{workspace.root}/secret.txt", f"/{place}%2f{workspace.root}/secret.txt"]
    for path in paths:
        wire.putrequest("GET", path, skip_host=False)  # as it is: clients tidy it up
        wire.endheaders()
        answer = wire.getresponse()
        body = answer.read()
        assert answer.status in range(300, 500), path
        assert not any(word in body for word in (b"not to be read", b"[tool.engage", b"root:")), path
    wire.close()
