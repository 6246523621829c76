"""Segments and their people: build, count, keep."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from engage.analysis.reach import reach
from engage.analysis.segment_builder import segment_sql
from engage.analysis.segment_conditions import Condition
from engage.analysis.segment_files import count_draft, sample_draft, save_segment
from engage.analysis.segments import Segment, draft_segment, find_segment
from engage.workspace.base import Base, Time

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

    def count_preview(self, sql: str, as_of: Time = None, **params: object) -> int:
        """How many people a select finds, saved or not.

        Raises:
            QueryError: It is wrong or not reproducible.
        """
        return count_draft(self.engine, sql, params, as_of=self.moment(as_of))

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
        return draft_segment(self.engine, segment, as_of=self.moment(as_of), params=params)

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
