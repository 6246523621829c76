"""Ticks killed at random moments in processes of their own: everyone takes one path, each message comes once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import engage

ROOT = Path(engage.__file__).parent.parent


@pytest.mark.timeout(300)
def test_killed_ticks_end_where_undisturbed_ones_do() -> None:
    done = subprocess.run(
        [
            *(sys.executable, str(ROOT / "bench" / "journey_chaos.py")),
            *("--kills", "3", "--people", "60", "--ticks", "4", "--seed", "3", "--limit", "240"),
        ],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert figures["killed"] >= 2
    assert figures["sent"] > 40
    assert figures["transitions"] > figures["sent"]
