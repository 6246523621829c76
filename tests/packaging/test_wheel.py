"""What is installed is all there: the wheel alone, without the source tree, makes a workspace that works."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


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


def test_the_wheel_has_every_tracked_file_and_no_other(installed: Path) -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    shipped = {"engage": "engage", **wheel["force-include"]}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split(
        "\n"
    )
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


def test_the_wheel_alone_makes_a_workspace_that_works(installed: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(installed)}
        ran = subprocess.run(
            [sys.executable, "-m", "engage", *arguments],
            cwd=tmp_path,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    run("init", "shop")
    sample = installed / "engage" / "template" / "data" / "sample" / "cdnow.parquet"
    assert "69,659 events" in run("-w", "shop", "import", str(sample), "--mapping", "cdnow")
    assert "7,637" in run("-w", "shop", "segment", "count", "new_customers", "--as-of", "1997-02-01")
    assert "sql/ is in order" in run("-w", "shop", "check")
    assert "abandoned_cart" in run("-w", "shop", "playbook", "list")
    assert "Onboarding" in run("-w", "shop", "campaign", "list")
    notebooks = {path.name for path in (tmp_path / "shop" / "notebooks").glob("*.py")}
    assert notebooks == {path.name for path in (ROOT / "notebooks").glob("*.py")}
