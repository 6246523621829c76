"""Facebook custom audiences: all users or a segment, pushed, kept in step, and taken as a file."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import polars as pl

from engage.access.roles import Right
from engage.analysis.ad_people import COUNTRY, ad_fields, ad_people
from engage.analysis.segments import Segment
from engage.channels.facebook.hashing import hashed_row
from engage.channels.facebook.provider import Facebook
from engage.channels.facebook.upload import upload_columns
from engage.channels.registry import provider
from engage.delivery.audience_schedule import ScheduledAudience, due, read_audiences
from engage.delivery.audiences import AudienceSync, MetaAudiences, Progress
from engage.errors import ConfigurationError, EngageError, PlanError
from engage.vocabulary import Channel
from engage.workspace.base import Time
from engage.workspace.guarding import guarded
from engage.workspace.segments import SegmentFace

__all__ = ["ALL_USERS", "FacebookFace", "SyncedAudience"]

ALL_USERS = "All users"
"""What an audience of everyone is called where no name is given."""
_WHERE = "[tool.engage.channels.facebook_audience]"


@dataclass(frozen=True, slots=True)
class SyncedAudience:
    """What a tick did for one scheduled audience.

    Args:
        name: Its table's name; empty where the settings themselves are wrong.
        done: What was done; None where it went wrong.
        error: Why it did; one line.
    """

    name: str
    done: AudienceSync | None = None
    error: str = ""


class FacebookFace(SegmentFace):
    """What keeps Facebook audiences."""

    @guarded(Right.ANALYSE)
    def audience_people(self, segment: str | Segment | None = None, **params: object) -> pl.DataFrame:
        """The people an audience may hold: of a segment or all, opted in to ads, with something to match them by.

        Opted in is whose latest word on the channel ``facebook_audience`` is ``Channel Subscribed``.

        Args:
            segment: A segment, or a select of ``user_id``; None for everyone.
            params: Values in place of its defaults.

        Returns:
            `user_id`, `country`, and a column a key of Meta's (`EMAIL`, …) in the clear; one row a person.

        Raises:
            UnknownSegmentError: There is no such segment.
            ConfigurationError: A field is not one of Meta's keys.
        """
        return ad_people(self.people("select user_id from profiles" if segment is None else segment, None, **params))

    @guarded(Right.SEND, "audience.push", keep=("name", "replace"))
    def push_audience(
        self,
        segment: str | None = None,
        name: str = "",
        *,
        replace: bool = False,
        params: dict[str, object] | None = None,
        report: Progress | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> AudienceSync:
        """Bring a Facebook custom audience into step with a segment; make it if there is none.

        Only the difference to what Meta last confirmed is sent, hashed. Interrupted, it goes on where it was.

        Args:
            segment: A segment; None for everyone.
            name: The audience's name at Facebook; by default the segment's title.
            replace: Send everything anew.
            params: Values in place of the segment's defaults.
            report: Told of progress.
            transport: Another network.

        Raises:
            UnknownSegmentError: There is no such segment.
            ConfigurationError: The account, token or a field is missing or wrong.
            PlanError: It would hold nobody, or another sync is under way.
            ChannelError: Meta cannot be asked.
        """
        with self._meta(transport, report) as meta:
            fields = list(ad_fields(self.settings))
            people = self.audience_people(segment, **(params or {}))
            name = name or (self.people(segment, None, **(params or {})).title if segment else ALL_USERS)
            rows = _hashed(people, fields)
            return meta.sync(name, fields, rows, segment=segment, people=people.height, replace_all=replace)

    def audience_syncs(self, name: str | None = None) -> pl.DataFrame:
        """What every sync did, newest first.

        Args:
            name: Only of the audience of this name.

        Returns:
            `audience`, `segment`, `started_at`, `state`, `people`, `members`, `added`, `removed`, `received`,
            `invalid`, `detail`, `audience_id`, `sync_id`; one row a sync.
        """
        return self.engine.frame(
            "select audience, segment, started_at, state, people, members, added, removed, received, invalid, detail, "
            "audience_id, sync_id from ad_audience_syncs where $name::varchar is null or audience = $name "
            "order by started_at desc",
            {"name": name},
        )

    def facebook_audiences(self, *, transport: httpx.BaseTransport | None = None) -> pl.DataFrame:
        """The ad account's audiences.

        Returns:
            `name`, `audience_id`, `at_least`, `at_most` (Meta's estimate of its size), `confirmed` (rows it has of us).
        """
        with self._meta(transport) as meta:
            found = meta.list()
        ours = dict(
            self.engine.frame(
                "select audience_id, count(*) as n from ad_audience_members where is_confirmed group by 1"
            ).iter_rows()
        )
        rows = [
            {
                "name": str(one.get("name") or ""),
                "audience_id": str(one.get("id") or ""),
                "at_least": one.get("approximate_count_lower_bound"),
                "at_most": one.get("approximate_count_upper_bound"),
                "confirmed": ours.get(str(one.get("id") or ""), 0),
            }
            for one in found
        ]
        numbers = ("at_least", "at_most", "confirmed")
        schema = {"name": pl.String, "audience_id": pl.String, **dict.fromkeys(numbers, pl.Int64)}
        return pl.DataFrame(rows, schema=schema, strict=False)

    @guarded(Right.SEND, "audience.delete")
    def delete_audience(self, name: str, *, transport: httpx.BaseTransport | None = None) -> bool:
        """Delete a Facebook custom audience.

        Returns:
            Whether there was one.
        """
        with self._meta(transport) as meta:
            return meta.delete(name)

    @guarded(Right.ANALYSE)
    def audience_table(self, segment: str | None = None, *, plain: bool = False, **params: object) -> pl.DataFrame:
        """The same audience as a table for upload by hand.

        Args:
            segment: A segment; None for everyone.
            plain: Normalised and not hashed.
            params: Values in place of its defaults.

        Returns:
            A column for each of the fields that a file may have, by Meta's header (`email`, `phone`, `fn`, …); one row
            for people of the same details, none of whom nothing can be used.
        """
        people = self.audience_people(segment, **params)
        columns = {key: people[key].to_list() for key in ad_fields(self.settings)}
        table = pl.DataFrame(upload_columns(columns, people[COUNTRY].to_list(), plain=plain))
        if not table.width:
            hint = "a file needs EMAIL, PHONE or another key that Ads Manager knows"
            raise ConfigurationError("none of the fields can stand in a file", where=f"{_WHERE} fields", hint=hint)
        return table.filter(pl.any_horizontal(pl.all() != "")).unique().sort(table.columns)

    @guarded(Right.ANALYSE, "audience.export", keep=("segment", "plain"))
    def export_audience(
        self, path: str | Path, segment: str | None = None, *, plain: bool = False, **params: object
    ) -> int:
        """Write :meth:`audience_table` to a .csv or .parquet file.

        Returns:
            How many rows it has.

        Raises:
            PlanError: The file's name ends otherwise, or its folder is not there.
        """
        path = Path(path)
        if path.suffix not in (".csv", ".parquet"):
            raise PlanError("the name says not what file it is to be", where=str(path), hint="end it in .csv, .parquet")
        if not path.parent.is_dir():
            raise PlanError("there is no such folder", where=str(path.parent), hint="make it first")
        table = self.audience_table(segment, plain=plain, **params)
        if path.suffix == ".csv":
            table.write_csv(path)
        else:
            table.write_parquet(path)
        return table.height

    def scheduled_audiences(self) -> pl.DataFrame:
        """The audiences kept in step by themselves, as the settings name them.

        Returns:
            `name`, `audience`, `segment`, `cron`, `last_at` (when the last sync that was finished began), `state` and
            `detail` of the last one; one row a table of the settings.
        """
        rows = []
        for one in read_audiences(self.settings):
            syncs = self.audience_syncs(one.audience)
            last = syncs.row(0, named=True) if syncs.height else {"state": "never synced", "detail": None}
            at = self._done_at(one)
            rows.append((one.name, one.audience, one.segment, one.schedule.cron, at, last["state"], last["detail"]))
        schema: dict[str, pl.DataType] = dict.fromkeys(("name", "audience", "segment", "cron"), pl.String())
        schema |= {"last_at": pl.Datetime("us", "UTC"), "state": pl.String(), "detail": pl.String()}
        return pl.DataFrame(rows, schema=schema, orient="row")

    @guarded(Right.SEND)
    def tick_audiences(self, now: Time = None, *, transport: httpx.BaseTransport | None = None) -> list[SyncedAudience]:
        """Bring every scheduled audience that is due into step; what a worker calls again and again.

        One that went wrong is due again at the next tick, resting a while longer each time.

        Args:
            now: The clock; the present.
            transport: Another network.

        Returns:
            One row an audience that was due or is at fault.
        """
        clock = self.moment(now) or datetime.now(UTC)
        try:
            audiences = read_audiences(self.settings)
        except ConfigurationError as error:
            return [SyncedAudience("", error=str(error))]
        done: list[SyncedAudience] = []
        for one in audiences:
            if self.rests(f"audience {one.name}") or (self.stop is not None and self.stop.is_set()):
                continue
            if due(one, self._done_at(one), clock) is None:
                continue
            try:
                synced = self.push_audience(
                    one.segment, one.audience, replace=one.replace, params=dict(one.params), transport=transport
                )
                self.went(f"audience {one.name}", wrong=False)
                done.append(SyncedAudience(one.name, synced))
            except (EngageError, ConfigurationError) as error:
                self.went(f"audience {one.name}", wrong=True)
                done.append(SyncedAudience(one.name, error=str(error)))
        return done

    def _done_at(self, one: ScheduledAudience) -> datetime | None:
        at: datetime | None = self.engine.frame(
            "select max(started_at) as at from ad_audience_syncs where audience = $name and state = 'finished'",
            {"name": one.audience},
        ).item()
        return at

    @contextmanager
    def _meta(self, transport: httpx.BaseTransport | None, report: Progress | None = None) -> Iterator[MetaAudiences]:
        options = {**self.settings.channel(Channel.FACEBOOK_AUDIENCE), "provider": Facebook.name}
        chosen = provider(Channel.FACEBOOK_AUDIENCE, options, outbox=self.settings.outbox)
        assert isinstance(chosen, Facebook)
        stop = self.stop
        with httpx.Client(timeout=60.0, transport=transport) as client:
            yield MetaAudiences(
                chosen.graph, self.lake, self.engine, client, report=report,
                sleep=stop.wait if stop is not None else time.sleep,
                stopped=stop.is_set if stop is not None else lambda: False,
            )  # fmt: skip


def _hashed(people: pl.DataFrame, fields: list[str]) -> pl.DataFrame:
    """`row` and a column a key, hashed; each row once, none of empty cells."""
    cells = [hashed_row(fields, person, str(person[COUNTRY] or "")) for person in people.iter_rows(named=True)]
    frame = pl.DataFrame(
        {"row": [json.dumps(row) for row in cells]} | {key: [row[n] for row in cells] for n, key in enumerate(fields)},
        schema=dict.fromkeys(("row", *fields), pl.String),
    )
    return frame.filter(pl.any_horizontal(pl.col(fields) != "")).unique("row", maintain_order=True)
