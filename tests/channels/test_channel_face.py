from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import engage
from engage.errors import ConfigurationError
from engage.vocabulary import Channel, OutcomeStatus, PermanentReason


@pytest.fixture
def sendgrid() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that answers as SendGrid does: 202, or 400 for an address at invalid.example."""
    taken: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            taken.append(body)
            wrong = body["personalizations"][0]["to"][0]["email"].endswith("invalid.example")
            error = {"errors": [{"message": "…", "field": "personalizations.0.to.0.email"}]}
            answer = json.dumps(error).encode() if wrong else b""
            self.send_response(400 if wrong else 202)
            self.send_header("x-message-id", "sg-1")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", taken
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_empty_workspace_reaches_nobody(workspace: engage.Workspace) -> None:
    table = workspace.channels()
    assert table["channel"].to_list() == [channel.value for channel in Channel]
    assert set(table["state"]) == {"outbox"}


def test_a_channel_is_incomplete_until_its_secret_is_there(
    workspace: engage.Workspace, monkeypatch: pytest.MonkeyPatch, sendgrid: tuple[str, list[dict[str, Any]]]
) -> None:
    url, taken = sendgrid
    file = Path(workspace.root) / "pyproject.toml"
    told = f'\n[tool.engage.channels.email]\nprovider = "sendgrid"\nfrom = "ada@example.com"\nbase_url = "{url}"\n'
    file.write_text(file.read_text() + told)
    workspace = engage.Workspace.open(workspace.root)
    monkeypatch.delenv("SENDGRID_API_KEY", raising=False)
    email = workspace.channels().row(by_predicate=pl.col("channel") == "email", named=True)
    assert email["state"] == "incomplete"
    assert "SENDGRID_API_KEY" in email["note"]
    with pytest.raises(ConfigurationError, match="SENDGRID_API_KEY"):
        workspace.test_channel("email", "grace@example.com")
    monkeypatch.setenv("SENDGRID_API_KEY", "SG.secret")
    assert workspace.channels().row(by_predicate=pl.col("channel") == "email", named=True)["state"] == "ready"
    sent = workspace.test_channel("email", "grace@example.com", "Does it work?")
    assert (sent.status, sent.provider_id) == (OutcomeStatus.SENT, "sg-1")
    assert taken[0]["subject"] == "Does it work?"
    refused = workspace.test_channel("email", "grace@invalid.example")
    assert (refused.status, refused.reason) == (OutcomeStatus.PERMANENT, PermanentReason.INVALID_ADDRESS)
    with pytest.raises(ConfigurationError, match="no channel"):
        workspace.test_channel("pigeon", "x")
