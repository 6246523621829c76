"""Events in: what a workspace lands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from engage.access.roles import Right
from engage.errors import ImportFileError
from engage.lake.compaction import Compacted, compact
from engage.lake.importing import ImportSummary, import_file
from engage.lake.landing import Landed
from engage.lake.layout import Upgraded, upgrade
from engage.lake.records import event_rows, profile_rows
from engage.sample.simulator import Simulation, simulate
from engage.workspace.base import Base
from engage.workspace.guarding import guarded

__all__ = ["LandingFace"]

_LANDED_AT_ONCE = 2_000_000  # events; a landing holds them in memory


class LandingFace(Base):
    """What puts events and profiles into the lake."""

    @guarded(Right.ADMINISTER, "workspace.upgrade")
    def upgrade(self) -> Upgraded:
        """Bring the workspace to this version's layout; see :func:`engage.lake.layout.upgrade`.

        Returns:
            What was done.

        Raises:
            LandingError: Another process writes to the lake.
        """
        return upgrade(self.settings)

    @guarded(Right.ADMINISTER)
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

    @guarded(Right.ADMINISTER)
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

    @guarded(Right.ADMINISTER, "file.import")
    def import_file(
        self,
        path: str | Path,
        mapping: str | Path | None = None,
        *,
        now: datetime | None = None,
        progress: Callable[[str, int, int | None], None] | None = None,
    ) -> ImportSummary:
        """Import a CSV, NDJSON or Parquet file.

        Args:
            path: The file.
            mapping: A name under ``sql/imports/`` or a path of a mapping; None for a file in an event's own shape.
            now: The clock, for `received_at`.
            progress: Called with what is being done, steps done and steps in all.

        Returns:
            What landed and what was rejected; the same file imported again adds nothing.

        Raises:
            ImportFileError: The file or the mapping cannot be used; nothing has landed.
        """
        found = self._mapping(mapping) if mapping else None
        return import_file(self.lake, Path(path), found, now=now or datetime.now(UTC), progress=progress)

    @guarded(Right.ADMINISTER)
    def compact(self, *, progress: Callable[[str, int, int | None], None] | None = None) -> Compacted:
        """Merge the lake's small files; see :func:`engage.lake.compaction.compact`."""
        return compact(self.lake, progress=progress)

    @guarded(Right.ADMINISTER, "sample.land")
    def sample(
        self,
        users: int = 50_000,
        events: int = 1_000_000,
        *,
        seed: int = 7,
        progress: Callable[[str, int, int | None], None] | None = None,
    ) -> Simulation:
        """Land a made-up app's life, with campaigns, control groups and a planted effect.

        Args:
            users: How many people.
            events: How many events, to within 1 %.
            seed: The same seed gives the same rows, so landing it again adds nothing.
            progress: Called with what is being done, events landed and events in all.

        Returns:
            What was made up; `truth` says what was planted.
        """
        tell = progress or (lambda stage, done, total: None)
        simulation = simulate(users, events, seed)
        self.lake.land_all({"profiles": simulation.profiles, "devices": simulation.devices})
        waiting: list[tuple[pa.Table, pa.Table]] = []
        done = 0
        for batch in simulation.batches():
            waiting.append(batch)
            if sum(rows.num_rows for rows, _ in waiting) >= _LANDED_AT_ONCE:
                done += self._land_days(waiting)
                tell("landing", done, simulation.events)
        done += self._land_days(waiting)
        tell("done", done, simulation.events)
        return simulation

    def _land_days(self, days: list[tuple[pa.Table, pa.Table]]) -> int:
        if not days:
            return 0
        tables = {
            name: pa.concat_tables([day[n] for day in days]) for n, name in enumerate(("events", "notifications"))
        }
        days.clear()
        self.lake.land_all(tables)
        return int(tables["events"].num_rows)

    def _mapping(self, mapping: str | Path) -> Path:
        folder = self.settings.sql / "imports"
        for path in (Path(mapping), self.root / mapping, folder / f"{mapping}.sql"):
            if path.is_file():
                return path
        there = ", ".join(sorted(path.stem for path in folder.glob("*.sql")))
        raise ImportFileError(f"no mapping {str(mapping)!r} under sql/imports/", hint=f"there are: {there or 'none'}")
