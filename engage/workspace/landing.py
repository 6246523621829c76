"""Events in: what a workspace lands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from engage.lake.landing import Landed
from engage.lake.records import event_rows, profile_rows
from engage.workspace.base import Base

__all__ = ["LandingFace"]


class LandingFace(Base):
    """What puts events and profiles into the lake."""

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
