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
        "--kills", "4", "--messages", "12000", "--workers", "2", "--ledger", postgres, *([key] if key else [])
    )
    assert figures["killed"] >= 3
    assert figures["sent"] + figures["in doubt"] == 12000
