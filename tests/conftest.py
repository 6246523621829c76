from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import engage

# A machine that is busy is not a fault of ours: tests are not timed.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def disk_left_alone() -> Iterator[None]:
    """Files are not synced to the disk: tests kill processes, but never the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's machine reaches a test."""
    for name in list(os.environ):
        if name.startswith("ENGAGE_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def workspace_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return engage.Workspace.create(tmp_path_factory.mktemp("made") / "workspace").root


@pytest.fixture
def workspace(workspace_made: Path, tmp_path: Path) -> engage.Workspace:
    """A new workspace in UTC, its lake empty."""
    return engage.Workspace.open(shutil.copytree(workspace_made, tmp_path / "workspace"))


@pytest.fixture(scope="session")
def demo_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a workspace after `engage demo`, without the mails it wrote; made once a run, whoever asks first.

    It is everybody's: ask `demo` for a copy.
    """
    from engage.cli.demo import run_demo

    everybody = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        everybody = everybody.parent
    made = everybody / "demo-made"
    with (everybody / "demo-made.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            making = engage.Workspace.create(everybody / "demo-making")
            run_demo(making)
            shutil.rmtree(making.settings.outbox)
            making.root.rename(made)
    return made


@pytest.fixture(scope="session")
def demo(demo_made: Path, tmp_path_factory: pytest.TempPathFactory) -> engage.Workspace:
    """A workspace after `engage demo`; tests of this worker may add to it, and change nothing that was there."""
    return engage.Workspace.open(shutil.copytree(demo_made, tmp_path_factory.mktemp("demo") / "workspace"))


def _postgres_programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    there = shutil.which("initdb")
    return Path(there).resolve().parent if there else None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a Postgres server of our own; without its programs the tests are skipped, but never in CI."""
    programs = _postgres_programs()
    if programs is None:
        if os.environ.get("CI"):
            pytest.fail("the tests of the ledger need Postgres: apt-get install postgresql")
        pytest.skip("there is no Postgres here")
    folder = Path(tempfile.mkdtemp(prefix="engage-postgres-"))
    run: dict[str, Any] = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if os.getuid() == 0:  # Postgres refuses to run as root
        names = {entry.pw_name for entry in pwd.getpwall()}
        run |= {"user": "postgres" if "postgres" in names else "nobody", "extra_groups": []}
        shutil.chown(folder, run["user"])
    options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    try:
        subprocess.run([programs / "initdb", "-D", folder / "data", "-U", "engage", "-A", "trust"], check=True, **run)
        server = subprocess.Popen([programs / "postgres", "-D", folder / "data", *options], **run)
        try:
            ready = [programs / "pg_isready", "-q", "-h", folder]
            deadline = time.monotonic() + 60
            while subprocess.run(ready, check=False).returncode:
                assert server.poll() is None, "Postgres ended by itself"
                assert time.monotonic() < deadline, "Postgres does not answer"
                time.sleep(0.1)
            yield str(folder)
        finally:
            server.terminate()
            server.wait(30)
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgres(postgres_server: str) -> str:
    """The URL of a new database."""
    import psycopg

    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(host=postgres_server, user="engage", dbname="postgres", autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return f"postgresql://engage@/{name}?host={postgres_server}"
