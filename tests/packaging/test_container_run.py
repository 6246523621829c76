"""The steps of Dockerfile and compose.yaml are executed: the image is built into a folder, its services run from there.

What a container engine adds is left out: the base image, its users, its network. The libraries are those the tests run
on, where the image installs the same ones from the registry.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import signal
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from test_container import ROOT, compose, instructions

import engage
from tests.ports import free_port

PLACES = ("/opt/engage", "/workspace", "/src")
"""The folders of the image, which are folders of the test here."""


class Image:
    """The image's folders, under a root of the test's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.command: list[str] = []
        self.health: list[str] = []
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(root),
            "PYTHONPATH": sysconfig.get_path("purelib"),  # what the registry would give
            "PIP_NO_DEPS": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # an option that is switched on by a no
        }

    def here(self, text: str) -> str:
        """The text, with the image's folders named as they are here."""
        return re.sub(
            "|".join(rf"(?<![\w./]){place}\b" for place in PLACES), lambda found: f"{self.root}{found[0]}", text
        )

    def run(self, script: str, cwd: Path, **more: str) -> None:
        ran = subprocess.run(
            ["sh", "-ec", script], cwd=cwd, env=self.environment | more, check=False, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr

    def build(self) -> None:
        """Do what the Dockerfile says, stage by stage; a user is not made."""
        stage, where = 0, self.root
        for word, what in instructions():
            if word == "FROM":
                stage += 1
            elif word == "WORKDIR":
                where = Path(self.here(what))
                where.mkdir(parents=True, exist_ok=True)
            elif word == "COPY" and not what.startswith("--from"):
                *sources, target = what.split()
                for source in sources:
                    self._copy(source, where / target, target.endswith("/"))
            elif word == "RUN":
                script = " && ".join(step for step in what.split(" && ") if not re.search("useradd|chown", step))
                self.run(self.here(script), where)
            elif word == "ENV":
                for name, value in re.findall(r"(\w+)=(\S+)", self.here(what)):
                    self.environment[name] = value.replace("$PATH", self.environment["PATH"])
            elif word == "CMD":
                self.command = json.loads(what)
            elif word == "HEALTHCHECK":
                self.health = json.loads(what.partition("CMD ")[2])
        assert stage == 2

    def _copy(self, source: str, target: Path, into: bool) -> None:
        lines = (ROOT / ".dockerignore").read_text().splitlines()
        ignored = [line.replace("**/", "*") for line in lines if line != "*" and not line.startswith("!")]

        def leave_out(folder: str, names: list[str]) -> set[str]:
            there = {name: str((Path(folder) / name).relative_to(ROOT)) for name in names}
            return {name for name, path in there.items() if any(fnmatch.fnmatch(path, line) for line in ignored)}

        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=leave_out, dirs_exist_ok=True)
        else:
            place = target / Path(source).name if into else target
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, place)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    made = Image(tmp_path_factory.mktemp("image"))
    made.build()
    return made


@contextmanager
def running(image: Image, command: list[str], cwd: Path, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, cwd=cwd, env=image.environment | more, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def test_the_services_start_are_healthy_land_events_and_stop(image: Image, postgres: str) -> None:
    services, workspace = compose()["services"], image.root / "workspace"
    first = image.here(services["prepare"]["command"][-1]).replace("$$", "$")
    assert "@postgres/engage" in first
    image.run(first.replace("postgresql://engage@postgres/engage", postgres.replace("&", r"\&")), workspace)

    port = str(free_port())
    secrets = {"ENGAGE_WRITE_KEYS": "web-1", "ENGAGE_SECRET_KEY": "0" * 64}
    serve = [*image.command, "--port", port]
    serve[serve.index("--host") + 1] = "127.0.0.1"
    check = [word.replace(":8000/", f":{port}/") for word in image.health]

    def healthy() -> bool:
        return subprocess.run(check, env=image.environment, check=False, capture_output=True).returncode == 0

    assert not healthy(), "nothing is there yet"
    with (
        running(image, serve, workspace, **secrets) as server,
        running(image, services["worker"]["command"], workspace, **secrets) as worker,
    ):
        deadline = time.monotonic() + 60
        while not healthy():
            assert (server.poll(), worker.poll()) == (None, None)
            assert time.monotonic() < deadline, "it does not become healthy"
            time.sleep(0.2)
        event = {"userId": "ada", "event": "Order Completed", "messageId": "e1"}
        told = httpx.post(f"http://127.0.0.1:{port}/v1/track", auth=("web-1", ""), json=event)
        assert told.status_code == 200
        for process, seconds in ((server, 10), (worker, 60)):  # what compose gives each of them
            process.send_signal(signal.SIGTERM)
            assert process.wait(seconds) in (0, -signal.SIGTERM)
    assert not healthy()
    there = engage.Workspace.open(workspace / "engage")
    assert there.settings.options["ledger"] == postgres
    assert there.sql("select user_id, event_name from events").rows() == [("ada", "Order Completed")]


def test_the_image_runs_its_own_wheel(image: Image) -> None:
    code = "import engage; print(engage.__file__, engage.__version__)"
    python = [str(image.root / "opt/engage/bin/python"), "-c", code]
    told = subprocess.run(
        python, env=image.environment, cwd="/", check=True, capture_output=True, text=True
    ).stdout.split()
    assert told[0].startswith(str(image.root / "opt/engage/lib"))
    assert told[1] == engage.__version__
    assert not list(image.root.glob("src/**/node_modules")), "what .dockerignore leaves out is not copied"


def test_each_volume_is_declared_and_the_database_is_asked_whether_it_is_ready(postgres_server: str) -> None:
    found = compose()
    named = {volume.split(":")[0] for service in found["services"].values() for volume in service.get("volumes", ())}
    assert named == set(found["volumes"])
    word, *check = found["services"]["postgres"]["healthcheck"]["test"]
    assert word == "CMD"
    ask = {"PATH": os.environ["PATH"], "PGHOST": postgres_server}
    assert subprocess.run(check, env=ask, check=False, capture_output=True).returncode == 0
    ask["PGHOST"] = f"{postgres_server}/nowhere"
    assert subprocess.run(check, env=ask, check=False, capture_output=True).returncode != 0
