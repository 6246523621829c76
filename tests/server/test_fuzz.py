"""Malformed requests by the API's document; ``make chaos`` makes many more of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_request_makes_the_server_fail() -> None:
    command = [sys.executable, "bench/fuzz.py", "--examples", "5", "--phases", "fuzzing"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no stack trace in the log" in done.stdout
