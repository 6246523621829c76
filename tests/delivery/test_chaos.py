"""Killed again and again, on either database: nothing lost, nothing sent twice silently."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import engage

ROOT = Path(engage.__file__).parent.parent


def chaos(*arguments: str) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "chaos.py"), *arguments],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures: dict[str, int] = json.loads(done.stdout)
    return figures


def test_with_a_key_nothing_is_in_doubt() -> None:
    figures = chaos("--kills", "5", "--messages", "1500", "--seed", "3")
    assert figures["killed"] >= 4
    assert figures["sent"] == 1500


def test_without_a_key_what_is_unknown_is_in_doubt_and_nothing_comes_twice() -> None:
    figures = chaos("--kills", "5", "--messages", "1500", "--seed", "4", "--no-key")
    assert figures["killed"] >= 4
    assert figures["sent"] + figures["in doubt"] == 1500
    assert figures["in doubt"] <= 5 * 32, "no more than was in flight"


def test_a_batch_a_request_is_repeated_whole() -> None:
    figures = chaos("--kills", "4", "--messages", "5000", "--seed", "5", "--batch", "50")
    assert figures["sent"] == 5000


@pytest.mark.parametrize("key", ["--no-key", ""])
def test_two_workers_on_one_postgres_ledger(postgres: str, key: str) -> None:
    figures = chaos(
        "--kills", "3", "--messages", "11000", "--workers", "2", "--ledger", postgres, *([key] if key else [])
    )
    assert figures["killed"] >= 2
    assert figures["sent"] + figures["in doubt"] == 11000


def test_a_batch_a_request_without_a_key_goes_into_doubt_as_a_whole() -> None:
    figures = chaos("--kills", "4", "--messages", "5000", "--seed", "6", "--batch", "50", "--no-key")
    assert figures["sent"] + figures["in doubt"] == 5000
    assert figures["in doubt"] % 50 == 0


@pytest.mark.parametrize("key", ["--no-key", ""])
@pytest.mark.parametrize("where", ["sqlite", "postgres"])
def test_a_sender_that_wakes_beyond_its_lease_is_fenced(request: pytest.FixtureRequest, where: str, key: str) -> None:
    ledger = ["--ledger", request.getfixturevalue("postgres")] if where == "postgres" else []
    held = ["--kills", "2", "--messages", "4000", "--pause", "2", "--lease", "0.5"]
    figures = chaos(*held, *ledger, *([key] if key else []))
    assert figures["killed"] >= 1
    assert figures["sent"] + figures["in doubt"] == 4000
    assert (figures["in doubt"] > 0) == bool(key)
