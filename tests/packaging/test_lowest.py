"""The versions the core is tested on at the lowest are those pyproject.toml allows at the lowest."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_each_lower_bound_is_the_version_tested() -> None:
    spec = importlib.util.spec_from_file_location("lowest", ROOT / ".ci" / "lowest.py")
    assert spec
    assert spec.loader
    lowest = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lowest)
    lock = lowest.LOCK.read_text().splitlines()
    assert lowest.lies(lock) == "", "write it anew with: python .ci/lowest.py --resolve"
    older = [line.replace("duckdb==", "duckdb==0.") for line in lock]
    assert lowest.lies(older).startswith("duckdb 0."), "it tells of one that is not"
