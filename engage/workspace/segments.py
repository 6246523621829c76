"""Segments and their people: build, count, keep."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from engage.analysis.segment_builder import segment_sql
from engage.analysis.segment_conditions import Condition
from engage.analysis.segment_files import count_draft, sample_draft, save_segment
from engage.workspace.base import Base, Time

__all__ = ["SegmentFace"]


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
