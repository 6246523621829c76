"""Test on the lowest versions that pyproject.toml allows, in an environment of their own.

``python .ci/lowest.py [pytest's arguments]`` installs ``.ci/lowest.txt`` and runs the tests of the core on it; with
``--resolve`` it writes that file anew: what pyproject.toml names at its lower bound, what that needs at its newest. uv
is beside this Python.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / ".ci" / "lowest.txt"
BUILD = ROOT / "build" / "lowest"
TOOLS = {
    *("aiosmtpd", "flask", "flask-cors", "hypercorn", "hypothesis", "moto", "openapi-core", "pandas", "pytest"),
    *("pytest-timeout", "pytest-xdist", "pyyaml", "standardwebhooks", "trustme"),
}
TESTS = "tests/query tests/sql tests/lake tests/analysis tests/content tests/channels tests/reports tests/campaigns"


def main() -> None:
    """Resolve or check, install, test; ends as pytest ends."""
    uv, arguments = str(Path(sys.executable).with_name("uv")), sys.argv[1:]
    if "--resolve" in arguments:
        resolve = [uv, "pip", "compile", "--quiet", "--upgrade", "--universal", "--resolution=lowest-direct"]
        plain = ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
        run(*resolve, *plain, "--python-version=3.11", "-", "-o", LOCK, given="\n".join(named()))
        arguments.remove("--resolve")
    if wrong := lies(LOCK.read_text().splitlines()):
        sys.exit(f"{LOCK.name} has {wrong}; write it anew with: python .ci/lowest.py --resolve")
    python = BUILD / "venv" / "bin" / "python"
    run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, BUILD / "venv")
    run(uv, "pip", "install", "--quiet", "--python", python, "-r", LOCK)
    tests = arguments or [*TESTS.split(), "-n", "2", "-m", "not chance"]
    run(python, "-m", "pytest", "-p", "no:cacheprovider", *tests)


def named() -> list[str]:
    """What pyproject.toml asks for, the extras of users included, and of the developers' what these tests need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [
        *project["dependencies"],
        *(text for extra in extras if extra not in ("all", "dev") for text in extras[extra]),
    ]
    return sorted({text for text in asked if _name(text) != "chdb"} | {t for t in extras["dev"] if _name(t) in TOOLS})


def lies(lock: list[str]) -> str:
    """The first requirement whose version in the lock is not its lower bound; nothing where all are."""
    locked = {_name(line): line.split("==")[1].split(" ")[0] for line in lock if "==" in line}
    for text in (text for text in named() if _name(text) not in TOOLS):
        bound, found = text.split(">=")[1].split(",")[0], locked.get(_name(text), "none")
        if _parts(bound) != _parts(found):
            return f"{_name(text)} {found}, where pyproject.toml says {bound}"
    return ""


def run(*command: object, given: str | None = None) -> None:
    """Run a command in the project's folder; its failure is ours."""
    done = subprocess.run([str(word) for word in command], cwd=ROOT, check=False, input=given, text=True)
    if done.returncode:
        sys.exit(done.returncode)


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=!~;\s]", requirement, maxsplit=1)[0].lower().replace("_", "-").replace(".", "-")


def _parts(version: str) -> list[str]:
    parts = version.split(".")
    while parts[-1] == "0":
        parts.pop()
    return parts


if __name__ == "__main__":
    main()
