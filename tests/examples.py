"""How often chance is tried: a few times in `make test`, ``TRIES`` times as often in `make chaos`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

__all__ = ["times", "tried"]


def times(few: int) -> int:
    """How often to try what `make test` tries a few times."""
    return few * int(os.environ.get("TRIES", "1"))


def tried(few: int) -> Callable[[Any], Any]:
    """Decorate a property that is slow to try: a few examples, more of them in `make chaos`."""
    many = settings(max_examples=times(few), deadline=None, suppress_health_check=list(HealthCheck))
    return lambda test: pytest.mark.chance(many(test))
