"""Questions in SQL: queries and segments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from engage.analysis.segments import Segment, find_segment, list_segments
from engage.query.check import Finding, check_file
from engage.query.files import SqlFile, read_sql
from engage.workspace.base import Base, Time

__all__ = ["QueryFace"]


class QueryFace(Base):
    """What answers SQL and opens segments."""

    def sql(self, query: str, as_of: Time = None, **params: object) -> pl.DataFrame:
        """Run one select over the lake.

        Args:
            query: SQL over ``events``, ``activity``, ``notifications``, ``profiles``, ``segments.<name>`` …
            as_of: Answer as of then; rows from that instant on are not seen.
            params: A value for each ``$name``.

        Raises:
            QueryError: The SQL is wrong, or would write.
        """
        return self.engine.frame(query, params, as_of=self.moment(as_of))

    def segment(self, name: str, as_of: Time = None, **params: object) -> Segment:
        """Open a segment: a file under ``sql/segments/``.

        Args:
            name: The file's name without ``.sql``.
            as_of: Who was in it then.
            params: Values in place of its defaults.

        Raises:
            UnknownSegmentError: There is none of that name.
        """
        return find_segment(self.engine, name, as_of=self.moment(as_of), params=params)

    def segments(self) -> list[SqlFile]:
        """Every segment's file, with its title and parameters."""
        return list_segments(self.engine)

    def check(self) -> list[Finding]:
        """Check every SQL file under ``sql/``, imports aside.

        Returns:
            What is wrong, with file, line and column; an empty list when all may be used.
        """
        grains: Mapping[str, str | None] = {"segments": "user_id", "lake": None, "reports": None, "cohorts": None}
        return [
            finding
            for folder, grain in grains.items()
            for path in sorted((self.settings.sql / folder).glob("*.sql"))
            for finding in self.check_file(path, grain=grain)
        ]

    def check_file(self, path: Path, *, grain: str | None = "user_id") -> list[Finding]:
        """Check one SQL file; see :meth:`check`."""
        return check_file(self.engine, read_sql(path), grain=grain)
