"""Consent and suppression: what people said, and which addresses are not to be used."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from engage.access.roles import Right
from engage.campaigns.preferences import Preferences, read_preferences
from engage.campaigns.suppression import read_addresses, suppression_events
from engage.lake.records import event_rows
from engage.lake.runs import recipients_path
from engage.workspace.base import Base, Time
from engage.workspace.guarding import guarded

__all__ = ["ConsentFace"]


class ConsentFace(Base):
    """What keeps the suppression list."""

    @guarded(Right.ANALYSE)
    def suppressions(self, channel: str | None = None, *, as_of: Time = None) -> pl.DataFrame:
        """The suppression list.

        Args:
            channel: Only of this channel.
            as_of: As of then.

        Returns:
            `channel`, `address`, `user_id` (null for nobody known), `reason`, `source`, `since`; one row an address.
        """
        return self.engine.frame(
            "select channel, address, user_id, reason, source, since from suppressions "
            "where $channel is null or channel = $channel order by since desc, channel, address",
            {"channel": channel},
            as_of=self.moment(as_of),
        )

    @guarded(Right.ANALYSE)
    def preferences(self, user_id: str, *, channel: str = "") -> Preferences:
        """What a person wants to get, by channel and topic.

        Args:
            user_id: The person.
            channel: One that is listed whatever is known of them.
        """
        return read_preferences(self.engine, user_id, channel=channel)

    @guarded(Right.ANALYSE)
    def sent_to(self, run_id: str, message_id: str) -> str:
        """The address a message went to; empty where the run or the message is not there."""
        path = recipients_path(self.settings, run_id)
        if not path.is_file():
            return ""
        wanted = [("message_id", "=", message_id)]
        found = pq.read_table(path, columns=["address"], filters=wanted, partitioning=None)["address"].to_pylist()
        return str(found[0] or "") if found else ""

    @guarded(Right.COMPOSE, "address.suppress", keep=("reason",))
    def suppress(
        self,
        channel: str,
        addresses: str | Sequence[str],
        *,
        reason: str = "manual",
        source: str = "manual",
        now: datetime | None = None,
    ) -> int:
        """Put addresses on the suppression list; they are not written to from now on.

        Args:
            channel: The channel they belong to.
            addresses: One or several.
            reason: Why.
            source: Who says so.
            now: The clock.

        Returns:
            How many.

        Raises:
            PlanError: The channel is not known, or an address is empty.
        """
        return self._tell(channel, addresses, reason, source, suppress=True, now=now)

    @guarded(Right.SEND, "address.unsuppress", keep=("reason",))
    def unsuppress(
        self,
        channel: str,
        addresses: str | Sequence[str],
        *,
        reason: str = "manual",
        source: str = "manual",
        now: datetime | None = None,
    ) -> int:
        """Take addresses off the suppression list; see :meth:`suppress`."""
        return self._tell(channel, addresses, reason, source, suppress=False, now=now)

    @guarded(Right.COMPOSE, "address.import", keep=("reason",))
    def import_suppressions(
        self, channel: str, path: str | Path, *, reason: str = "imported", now: datetime | None = None
    ) -> int:
        """Put a file's addresses on the suppression list: one a line, or the column `address` of a CSV file.

        Raises:
            ImportFileError: The file cannot be read, or holds none.
        """
        return self.suppress(channel, read_addresses(Path(path)), reason=reason, source=Path(path).name, now=now)

    def _tell(
        self,
        channel: str,
        addresses: str | Sequence[str],
        reason: str,
        source: str,
        *,
        suppress: bool,
        now: datetime | None,
    ) -> int:
        given = [addresses] if isinstance(addresses, str) else list(addresses)
        if not given:
            return 0
        clock = now or datetime.now(UTC)
        rows = suppression_events(self.engine, channel, given, reason=reason, suppress=suppress, now=clock)
        self.lake.land_all(event_rows(rows, received_at=clock, source=source))
        return len(rows)
