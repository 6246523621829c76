"""The face of the package: a workspace, whose methods are each one call down."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from engage.analysis.segments import Segment, find_segment, list_segments
from engage.lake.landing import Lake, Landed
from engage.lake.records import event_rows, profile_rows
from engage.query.check import Finding, check_file
from engage.query.engine import Engine, moment
from engage.query.files import SqlFile, read_sql
from engage.settings import Settings, find_root
from engage.template import copy_template

__all__ = ["Time", "Workspace"]

Time = str | date | datetime | None
"""A point in time; a date or a time without a zone is taken in the workspace's time zone."""


class Workspace:
    """A lake of Parquet, a folder of SQL, a folder of notebooks and a folder of campaigns.

    Args:
        settings: Its folders and options; use :meth:`open` or :meth:`create`.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @classmethod
    def create(cls, path: str | Path, timezone: str = "UTC") -> Workspace:
        """Make a workspace in a folder: SQL, notebooks, settings, labels and a sample campaign.

        Args:
            path: A folder, new or without a workspace in it.
            timezone: IANA name of the time zone days, weeks and months are counted in.

        Raises:
            ConfigurationError: There is a workspace already, or the time zone is not known.
        """
        workspace = cls(copy_template(Path(path), timezone=timezone))
        workspace.lake.seed()
        return workspace

    @classmethod
    def open(cls, path: str | Path = ".") -> Workspace:
        """Open the workspace that holds a folder, looking upward.

        Raises:
            ConfigurationError: There is none.
        """
        return cls(Settings.load(find_root(path)))

    def __repr__(self) -> str:
        return f"Workspace({str(self.root)!r})"

    @property
    def root(self) -> Path:
        """The workspace's folder."""
        return self.settings.root

    @cached_property
    def lake(self) -> Lake:
        """What writes to the lake."""
        return Lake(self.settings)

    @cached_property
    def engine(self) -> Engine:
        """What answers queries."""
        return Engine(self.settings)

    def moment(self, value: Time) -> datetime | None:
        """A point in time, in UTC."""
        return moment(value, self.settings.timezone)

    # Events in

    def land_events(self, rows: Any, *, now: datetime | None = None, source: str = "api") -> Landed:
        """Land events.

        Args:
            rows: A list of dicts, or a polars, pyarrow or pandas table: `user_id` (or `anonymous_id`), `event_name`,
                `event_time`, and optionally `properties` and `event_id`. Times without a zone are UTC.
            now: The clock, for `received_at`.
            source: Where they came from.

        Returns:
            How many were new. One whose `event_id` is in the lake already is left out.

        Raises:
            LandingError: A row is wrong; none has landed.
        """
        tables = event_rows(rows, received_at=now or datetime.now(UTC), source=source)
        return sum(self.lake.land_all(tables).values(), Landed()) if tables else Landed()

    def land_profiles(self, rows: Any, *, now: datetime | None = None, source: str = "api") -> Landed:
        """Land what is known of users.

        Args:
            rows: A list of dicts, or a table: `user_id` and any properties; empty ones leave what was known.
            now: The clock; a row may say otherwise in `changed_at`.
            source: Where they came from.

        Raises:
            LandingError: A row has no `user_id`; none has landed.
        """
        return self.lake.land("profiles", profile_rows(rows, received_at=now or datetime.now(UTC), source=source))

    # Questions

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
