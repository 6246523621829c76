"""What is installed is all there: the wheel and what it needs, without the source tree, extras and a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import engage

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

OFFLINE = """
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise OSError(f"there is no network here: {event} {arguments[1:]}")

sys.addaudithook(refuse)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built and unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def needed() -> Iterator[Distribution]:
    """The libraries that an installation without extras has, each once."""
    left, seen = [Requirement(text) for text in PROJECT["project"]["dependencies"]], set()
    while left:
        wanted = left.pop()
        if wanted.name.lower() in seen or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        seen.add(wanted.name.lower())
        found = distribution(wanted.name)
        yield found
        left += [Requirement(text) for text in found.requires or ()]


@pytest.fixture(scope="module")
def base(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs Python in an environment that has the wheel and what it needs, but no extra, and no way to the network."""
    folder = tmp_path_factory.mktemp("base") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for found in [*installed.iterdir(), *(where for library in needed() for where in folders(library))]:
        if not (site / found.name).exists():
            (site / found.name).symlink_to(found)
    (site / "sitecustomize.py").write_text(OFFLINE)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}

    def run(*arguments: str, cwd: Path, given: str = "", **secrets: str) -> subprocess.CompletedProcess[str]:
        command, there = [str(folder / "bin" / "python"), *arguments], kept | secrets
        return subprocess.run(command, cwd=cwd, env=there, input=given, check=False, capture_output=True, text=True)

    return run


def folders(library: Distribution) -> set[Path]:
    """What of a library lies in site-packages: its folders and modules there."""
    site = Path(str(library.locate_file("")))
    return {site / file.parts[0] for file in library.files or () if file.parts[0] not in ("..", "__pycache__")}


def test_the_wheel_has_every_tracked_file_and_no_other(installed: Path) -> None:
    shipped = {"engage": "engage", **PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    tracked = listed.stdout.split("\n")
    expected = {
        target + name[len(source) :]
        for name in tracked
        for source, target in shipped.items()
        if name == source or name.startswith(f"{source}/")
    }
    there = {path.relative_to(installed).as_posix() for path in (installed / "engage").rglob("*") if path.is_file()}
    excluded = {name for name in expected - there if name.startswith("engage/journeys/canvas/")}  # sources of the build
    assert expected - there - excluded == set()
    assert {name for name in there - expected if "__pycache__" not in name} == set()
    assert "engage/sdk/engage.js" in there
    assert "engage/journeys/canvas/canvas.js" in there


COMMANDS = """
import contextlib, io, json, sys
from engage.cli import main

told = []
for arguments in json.load(sys.stdin):
    code, out, err = 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as stop:
            code = stop.code or 0
    told.append((code, out.getvalue(), err.getvalue()))
print(json.dumps(told))
"""


def test_without_extras_and_network_the_main_job_is_done(base: Run, installed: Path, tmp_path: Path) -> None:
    sample = str(installed / "engage" / "template" / "data" / "sample" / "cdnow.parquet")
    inside = ("-w", "shop")
    asked = {
        ("--help",): "Engagement campaigns without a vendor",
        ("init", "shop"): "made",
        (*inside, "import", sample, "--mapping", "cdnow"): "69,659 events",
        (*inside, "segment", "count", "new_customers", "--as-of", "1997-02-01"): "7,637",
        (*inside, "campaign", "send", "onboarding", "--as-of", "1997-02-01"): "sent 6,833, held out 804",
        (*inside, "retention", "--label", "Onboarding", "--days", "1", "--format", "csv"): "0,6833,6833,1.0,804,1.0",
        (*inside, "check"): "sql/ is in order",
        (*inside, "playbook", "list"): "abandoned_cart",
    }
    ran = base("-c", COMMANDS, cwd=tmp_path, given=json.dumps(list(asked)))
    assert ran.returncode == 0, ran.stderr
    for (arguments, expected), (code, out, err) in zip(asked.items(), json.loads(ran.stdout), strict=True):
        assert (code, expected in out) == (0, True), (arguments, out, err)
    notebooks = {path.name for path in (tmp_path / "shop" / "notebooks").glob("*.py")}
    assert notebooks == {path.name for path in (ROOT / "notebooks").glob("*.py")}
    refused = base("-c", "import socket; socket.create_connection(('127.0.0.1', 9))", cwd=tmp_path)
    assert "there is no network here" in refused.stderr, "the test would have noticed"


def test_what_needs_an_extra_says_which(base: Run, workspace: engage.Workspace) -> None:
    settings = workspace.root / "pyproject.toml"
    settings.write_text(settings.read_text() + '\n[tool.engage.channels.push]\nprovider = "fcm"\n')
    asked = {
        ("notebooks",): "the notebooks need marimo; pip install 'engage[notebooks]'",
        ("serve",): "serving needs uvicorn; pip install 'engage[server]'",
        ("up",): "pip install 'engage[server]'",
        ("report", "campaigns", "--output", "all.xlsx"): "pip install 'engage[reports]'",
        ("channel", "test", "push", "token"): "pip install 'engage[channels]'",
    }
    secrets = {"FCM_SERVICE_ACCOUNT": "{}"}
    ran = base("-c", COMMANDS, cwd=workspace.root, given=json.dumps(list(asked)), **secrets)
    assert ran.returncode == 0, ran.stderr
    for (arguments, expected), (code, out, err) in zip(asked.items(), json.loads(ran.stdout), strict=True):
        assert (code, out, err.count("\n")) == (2, "", 1), (arguments, err)
        assert expected in err
    charts = base("-c", "import engage.analysis.charts.retention", cwd=workspace.root)
    assert "charts need altair; pip install 'engage[notebooks]'" in charts.stderr


def test_the_base_is_as_small_as_the_documentation_says() -> None:
    size = sum(
        file.stat().st_size
        for library in needed()
        for where in folders(library)
        for file in ([where] if where.is_file() else where.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    )
    assert size < 560e6, "what is heavy is an extra"
