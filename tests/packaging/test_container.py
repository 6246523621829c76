"""The rules that Dockerfile and compose.yaml keep; what they say is done in `test_container_run`."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml

from engage.cli import cli
from engage.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]


def instructions() -> list[tuple[str, str]]:
    """Each instruction of the Dockerfile and its arguments, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return found


def test_the_image_keeps_the_rules() -> None:
    found = instructions()
    last = len(found) - 1 - [word for word, _ in reversed(found)].index("FROM")
    final = found[last:]
    images = [what.split()[0] for word, what in found if word == "FROM"]
    assert all(":" in image and not image.endswith(":latest") for image in images), "an image has a version (DL3006)"
    users = [what for word, what in final if word == "USER"]
    assert users, "it does not run as root (DL3002)"
    assert users[-1] != "root"
    for word, what in found:
        assert word not in ("ADD", "MAINTAINER"), "copied, not added (DL3020, DL4000)"
        if word == "RUN":
            assert "sudo" not in what, "DL3004"
            assert "pip install" not in what or "--no-cache-dir" in what, "DL3042"
            assert "apt-get upgrade" not in what, "DL3005"
        if word == "WORKDIR":
            assert what.startswith("/"), "DL3000"
        if word in ("CMD", "ENTRYPOINT"):
            assert what.startswith("["), "signals reach the process itself (DL3025)"
        if word == "ENV":
            assert not re.search(r"SECRET|PASSWORD|_KEY", what), "no secret is in the image"
    assert sum(word == "HEALTHCHECK" for word, _ in final) == 1


def test_what_the_image_copies_is_there_and_is_all_a_wheel_needs() -> None:
    copied = [
        source
        for word, what in instructions()
        if word == "COPY" and not what.startswith("--from")
        for source in what.split()[:-1]
    ]
    for source in copied:
        assert (ROOT / source).exists(), source
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    for needed in [*wheel["packages"], *wheel["force-include"]]:
        assert any(needed == source or needed.startswith(f"{source}/") for source in copied), needed
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for source in copied:
        assert any(fnmatch.fnmatch(source, name) or source.startswith(f"{name}/") for name in allowed), source


def test_services_run_what_the_command_line_has() -> None:
    services = compose()["services"]
    assert set(services) == {"prepare", "server", "worker", "postgres"}
    commands = [services["worker"]["command"], json.loads(dict(instructions())["CMD"])]
    for name, *arguments in commands:
        assert name == "engage"
        command = cli.commands[arguments[0]]
        command.make_context(arguments[0], arguments[1:])
    for name in ("server", "worker"):
        assert services[name]["volumes"] == ["workspace:/workspace"]
        assert services[name]["depends_on"]["postgres"]["condition"] == "service_healthy"
    for port in services["server"]["ports"]:
        assert port.startswith("127.0.0.1:"), "a proxy that speaks TLS stands before it"
    for service in services.values():
        for variable, value in service["environment"].items():
            if re.search("KEY|PASSWORD", variable):
                assert value.startswith("${"), f"{variable} comes from the environment"
                assert ":?" in value, f"{variable} has no default"


def test_the_first_start_makes_a_workspace_with_its_ledger_on_postgres(tmp_path: Path) -> None:
    script = compose()["services"]["prepare"]["command"][-1].replace("$$", "$")
    stub = tmp_path / "bin"
    stub.mkdir()
    (stub / "engage").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m engage "$@"\n')
    (stub / "engage").chmod(0o755)
    environment = {"PATH": f"{stub}:/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    for _ in range(2):
        subprocess.run(["sh", "-ec", script], cwd=tmp_path, env=environment, check=True, capture_output=True)
    options = Workspace.open(tmp_path / "engage").settings.options
    assert options["ledger"] == "postgresql://engage@postgres/engage"
    assert options["timezone"] == "UTC"
