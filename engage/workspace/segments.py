"""Segments and their people: build, count, keep."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from engage.access.roles import Right
from engage.analysis.events import Selector, selector_name
from engage.analysis.funnel import funnel, funnel_segment
from engage.analysis.reach import reach
from engage.analysis.segment_builder import segment_sql
from engage.analysis.segment_change import breakdown, export_people, moved, overlap, segment_sizes
from engage.analysis.segment_conditions import Condition, Not, Sent
from engage.analysis.segment_diff import SegmentChange, segment_diff
from engage.analysis.segment_files import count_draft, sample_draft, save_segment
from engage.analysis.segments import Segment, draft_segment, find_segment
from engage.errors import QueryError
from engage.workspace.asking import asks
from engage.workspace.base import Base, Time
from engage.workspace.guarding import guarded

__all__ = ["SegmentFace"]

_NAME = re.compile(r"\w+")


class SegmentFace(Base):
    """What writes segments and tells of the people in them."""

    def build_segment(self, condition: Condition) -> str:
        """Write the SQL of a condition; see :mod:`engage.analysis.segment_conditions`.

        Returns:
            One select of ``user_id``, to edit, count and keep.

        Raises:
            QueryError: A part of it cannot be answered.
        """
        return segment_sql(condition, self.settings.timezone)

    @guarded(Right.ANALYSE)
    def count_preview(self, sql: str, as_of: Time = None, **params: object) -> int:
        """How many people a select finds, saved or not.

        Raises:
            QueryError: It is wrong or not reproducible.
        """
        return count_draft(self.engine, sql, params, as_of=self.moment(as_of))

    @guarded(Right.ANALYSE)
    def sample_preview(self, sql: str, size: int = 20, as_of: Time = None, **params: object) -> pl.DataFrame:
        """Some of the people a select finds, with what is known of them.

        Returns:
            One row a user; see :func:`engage.analysis.segment_files.sample_draft`.
        """
        return sample_draft(self.engine, sql, size, params, as_of=self.moment(as_of))

    def reach(self, segment: str | Segment, as_of: Time = None, **params: object) -> pl.DataFrame:
        """How many of a segment's people can be reached on each channel: opted in, live address, not suppressed.

        Args:
            segment: A segment's name, a segment, or a select of ``user_id``.
            as_of: As of then; an open segment has its own time and parameters.
            params: Values in place of its defaults.

        Returns:
            `channel`, `users`, `reachable`, `rate`: one row a channel; see :func:`engage.analysis.reach.reach`.

        Raises:
            UnknownSegmentError: There is none of that name.
            QueryError: The select is wrong or not reproducible.
        """
        return reach(self.people(segment, as_of, **params))

    def people(self, segment: str | Segment, as_of: Time = None, **params: object) -> Segment:
        """Some people, as a segment: by name, by SQL that is not kept, or as they are.

        Args:
            segment: A segment's name, a segment, or a select of ``user_id``.
            as_of: As of then; an open segment has its own time and parameters.
            params: Values in place of its defaults.

        Raises:
            UnknownSegmentError: There is none of that name.
        """
        if isinstance(segment, Segment):
            return segment
        if _NAME.fullmatch(segment.strip()):
            return find_segment(self.engine, segment.strip(), as_of=self.moment(as_of), params=params)
        return self._draft(segment, self.moment(as_of), params)

    @guarded(Right.ANALYSE)
    def _draft(self, sql: str, as_of: datetime | None, params: Mapping[str, object]) -> Segment:
        return draft_segment(self.engine, sql, as_of=as_of, params=params)

    @guarded(Right.ANALYSE)
    def some_people(
        self, segment: str | Segment, most: int = 200, as_of: Time = None, **params: object
    ) -> pl.DataFrame:
        """Some of a segment's people, with what is known of them.

        Args:
            segment: As for :meth:`people`.
            most: How many at most.
            as_of: As of then.
            params: Values in place of its defaults.

        Returns:
            `user_id`, `name`, `email`, `phone`, `country`, `language`, `updated_at`: one row a person, by id.
        """
        return self.people(segment, as_of, **params).ask(
            "select people.user_id, name, email, phone, country, language, updated_at from people "
            f"left join profiles using (user_id) order by 1 limit {int(most)}"
        )

    def segment_sizes(
        self, segment: str | Segment, since: Time, until: Time = None, every: str = "week", **params: object
    ) -> pl.DataFrame:
        """How many people were in a segment at the start of each period.

        Args:
            segment: As for :meth:`people`.
            since: From then.
            until: Until then; now by default.
            every: hour, day, week or month.
            params: Values in place of its defaults.

        Returns:
            `as_of`, `users`: one row a period; see :func:`engage.analysis.segment_change.segment_sizes`.
        """
        found = self.people(segment, None, **params)
        return segment_sizes(found, self._time(since), self.moment(until) or datetime.now(UTC), every)

    def segment_overlap(self, first: str | Segment, second: str | Segment, as_of: Time = None) -> pl.DataFrame:
        """How many people two segments share.

        Returns:
            `part` (first, both, second), `users`, `rate`: three rows.
        """
        return overlap(self.people(first, as_of), self.people(second, as_of))

    def segment_moved(self, segment: str | Segment, since: Time, until: Time = None, **params: object) -> pl.DataFrame:
        """Who came into a segment and who dropped out of it between two times.

        Returns:
            `user_id`, `change` (came_in, dropped_out): one row a user who was in it at one of the times only.
        """
        return moved(self.people(segment, None, **params), self._time(since), self.moment(until))

    def segment_breakdown(
        self, segment: str | Segment, name: str, *, top: int = 20, as_of: Time = None, **params: object
    ) -> pl.DataFrame:
        """How many people of a segment have each value of a profile property.

        Returns:
            `value`, `users`, `rate`: one row a value, the most frequent first.
        """
        return breakdown(self.people(segment, as_of, **params), name, top=top)

    @guarded(Right.ANALYSE, "people.export")
    def export_people(
        self,
        segment: str | Segment,
        path: str | Path,
        properties: Sequence[str] = (),
        as_of: Time = None,
        **params: object,
    ) -> int:
        """Write a segment's people into a ``.csv`` or ``.parquet`` file, with profile properties beside them.

        Returns:
            How many people.

        Raises:
            QueryError: The file's ending is neither, or the SQL is wrong.
        """
        return export_people(self.people(segment, as_of, **params), Path(path), tuple(properties))

    def segment_diff(self, revision: str, as_of: Time = None) -> list[SegmentChange]:
        """What the SQL changed since a git revision does to each segment.

        Returns:
            The segments that change, each with its size before and after, who comes in and who drops out.

        Raises:
            QueryError: The workspace is not in git, or there is no such revision.
        """
        return segment_diff(self.engine, revision, as_of=self.moment(as_of) or datetime.now(UTC))

    def _time(self, time: Time) -> datetime:
        found = self.moment(time)
        if found is None:
            raise QueryError("a time is missing", hint="say since when")
        return found

    @guarded(Right.ANALYSE, "segment.save")
    def save_label_segment(self, label: str, name: str = "", *, was_sent: bool = True, replace: bool = False) -> Path:
        """Keep the people who were sent a message label as a segment, or those who were not.

        Args:
            label: The message label.
            name: The segment's name; ``sent_<label>`` or ``not_sent_<label>`` by default.
            was_sent: False for everyone else.
            replace: Whether a segment of that name may be replaced.

        Returns:
            ``sql/segments/<name>.sql``.

        Raises:
            QueryError: The name will not do, or is taken.
        """
        words = "_".join(re.findall(r"[a-z0-9]+", label.lower())) or "label"
        sent = Sent(label=label)
        sql = self.build_segment(sent if was_sent else Not(sent))
        title = f"People who were {'' if was_sent else 'not '}sent a message labelled {label}"
        return self.save_segment(sql, name or f"{'' if was_sent else 'not_'}sent_{words}", title, replace=replace)

    @guarded(Right.ANALYSE, "segment.save")
    @asks(funnel_segment, funnel, without=("as_of",))
    def save_funnel_segment(
        self,
        steps: Sequence[Selector],
        step: int,
        name: str,
        within: str = "7 days",
        *,
        is_dropped: bool = False,
        replace: bool = False,
        **question: Any,
    ) -> Path:
        """Keep who reached a step of a funnel as a segment, or who went no further than the one before it.

        Args:
            steps: 2 to 10 events.
            step: Which, from 1.
            name: The segment's name.
            within: The time an attempt has, from its first step.
            is_dropped: Those who reached the step before, and not this one.
            replace: Whether a segment of that name may be replaced.
            question: As for :meth:`funnel`.

        Returns:
            ``sql/segments/<name>.sql``.

        Raises:
            QueryError: There is no such step, or the name will not do or is taken.
        """
        sql = funnel_segment(self.engine, steps, step, within=within, is_dropped=is_dropped, **question)
        reached = selector_name(steps[step - 1])
        what = f"{selector_name(steps[step - 2])} and not {reached}" if is_dropped else reached
        return self.save_segment(sql, name, f"Those of the funnel who reached {what}", replace=replace)

    @guarded(Right.ANALYSE, "segment.save")
    def save_segment(self, sql: str, name: str, title: str, *, replace: bool = False) -> Path:
        """Keep a select as ``sql/segments/<name>.sql``.

        Args:
            sql: One select of ``user_id``.
            name: Small letters, digits and _.
            title: What it is, in one sentence.
            replace: Whether a segment of that name may be replaced.

        Raises:
            QueryError: It will not do; it tells why.
        """
        return save_segment(self.engine, sql, name, title, replace=replace)
