"""The derived tables opened for some questions, all of which are answered from the same files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from engage.query.derived import Derived

__all__ = ["DerivedReading"]


@dataclass(frozen=True, slots=True)
class DerivedReading:
    """What :meth:`engage.query.engine.Engine.derived` opens.

    Args:
        tables: Make the SQL.
        frame: Runs one select, as :meth:`engage.query.engine.Engine.frame` does.
    """

    tables: Derived
    frame: Callable[..., pl.DataFrame]

    def latest(self) -> datetime | None:
        """The time of the last event or message; needs ``tables.is_all_visible``."""
        last, query = self.tables.last, self.tables.fresh_latest()
        found: Any = self.frame(query).item() if query else None
        return max((time for time in (last, found) if time is not None), default=None)
