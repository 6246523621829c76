"""`engage up` as a process: started, hurt, stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx

import engage
from engage.workspace.leading import has_worker

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(Path(engage.__file__).parents[1]),
    "ENGAGE_WRITE_KEYS": "write-key-of-the-tests",
    "ENGAGE_SECRET_KEY": "a secret of the tests, thirty-two bytes or more",
}


class Up:
    """`engage up` of one workspace; what it tells goes into a file."""

    def __init__(self, workspace: engage.Workspace, told: IO[bytes]) -> None:
        command = [sys.executable, "-m", "engage", "-w", str(workspace.root), "up", "--port", "0"]
        self._told = Path(told.name)
        self.process = subprocess.Popen(command, env=ENVIRONMENT, stdout=told, stderr=told)

    def told(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Wait until it told something so often; the last time it did."""
        deadline = time.monotonic() + 60
        while len(found := list(re.finditer(pattern, self._told.read_text()))) < times:
            assert self.process.poll() is None, self._told.read_text()
            assert time.monotonic() < deadline, self._told.read_text()
            time.sleep(0.05)
        return found[-1]

    @property
    def lines(self) -> list[str]:
        return self._told.read_text().splitlines()


@contextmanager
def started(workspace: engage.Workspace, file: Path) -> Iterator[Up]:
    with file.open("wb") as told:
        running = Up(workspace, told)
        try:
            yield running
        finally:
            running.process.kill()
            running.process.wait(30)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def until(so: object) -> None:
    deadline = time.monotonic() + 60
    while not so():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def test_it_serves_and_works_starts_a_dead_worker_again_and_stops_cleanly(
    workspace: engage.Workspace, tmp_path: Path
) -> None:
    with started(workspace, tmp_path / "told") as up:
        line = up.told(r"engage is at (http://127\.0\.0\.1:\d+) \(its worker is process (\d+)\)")
        assert httpx.get(f"{line[1]}/health").status_code == 200
        up.told("worker_started")
        assert has_worker(workspace.settings) is True

        again = subprocess.run(
            [sys.executable, "-m", "engage", "-w", str(workspace.root), "up", "--port", "0"],
            env=ENVIRONMENT, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert again.returncode == 2
        assert re.fullmatch(
            rf"engage: {workspace.root}: a worker runs already \(process {line[2]}\); stop it first.*\n", again.stderr
        )
        port = line[1].rpartition(":")[2]
        other = engage.Workspace.create(tmp_path / "other")
        taken = subprocess.run(
            [sys.executable, "-m", "engage", "-w", str(other.root), "up", "--port", port],
            env=ENVIRONMENT, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert taken.returncode == 2
        assert "Address already in use" in taken.stderr

        os.kill(int(line[2]), signal.SIGKILL)
        died = json.loads(up.told(r'\{.*"worker_died".*\}')[0])
        assert (died["level"], died["code"]) == ("error", -9)
        up.told("worker_started", times=2)
        assert httpx.get(f"{line[1]}/health").status_code == 200, "the server went on"

        up.process.send_signal(signal.SIGTERM)
        assert up.process.wait(60) == 0
        assert up.lines[-1] == "stopped"
        assert any("worker_stopped" in line for line in up.lines), "the worker was let finish"
        assert not any("worker_killed" in line for line in up.lines)
        assert has_worker(workspace.settings) is False


def test_killed_it_takes_its_worker_along(workspace: engage.Workspace, tmp_path: Path) -> None:
    with started(workspace, tmp_path / "told") as up:
        worker = int(up.told(r"its worker is process (\d+)")[1])
        up.told("worker_started")
        up.process.kill()
        up.process.wait(30)
        until(lambda: gone(worker))
    with started(workspace, tmp_path / "again") as up:
        up.told("worker_started")
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(60) == 0


def test_a_worker_that_cannot_start_is_not_started_for_ever(workspace: engage.Workspace, tmp_path: Path) -> None:
    with started(workspace, tmp_path / "told") as up:
        worker = int(up.told(r"its worker is process (\d+)")[1])
        file = workspace.root / "pyproject.toml"
        sound = file.read_text()
        file.write_text("[tool.engage]\nweek_start = 'someday'\n")
        os.kill(worker, signal.SIGKILL)
        first, second = json.loads(up.told(r'\{.*"worker_died".*\}')[0]), None
        second = json.loads(up.told(r'\{.*"worker_died".*\}', times=2)[0])
        assert (first["again_in"], second["code"]) == (1.0, 2)
        assert second["again_in"] > first["again_in"]
        file.write_text(sound)
        up.told(r'(?s)"code": 2.*worker_started')
        up.process.send_signal(signal.SIGTERM)
        assert up.process.wait(60) == 0
