"""People one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from engage.analysis.people import Person, find_people, person, timeline
from engage.workspace.base import Base, Time

__all__ = ["PeopleFace"]


class PeopleFace(Base):
    """What finds people and tells of one of them."""

    def find_people(self, text: str | None = None, *, as_of: Time = None, **question: Any) -> pl.DataFrame:
        """Search for people by id, address or name, profile, event, segment, label; what is given must all hold.

        Args:
            text: The beginning of a user_id, part of an address or name, or a whole device token or message id.
            as_of: As of then.
            question: `where`, `event`, `segment`, `label`, `channel`, `most`; see
                :func:`engage.analysis.people.find_people`.

        Returns:
            `user_id`, `name`, `email`, `phone`, `country`, `language`, `last_seen`, `events`: one row a user.

        Raises:
            QueryError: A condition cannot be answered.
        """
        return find_people(self.engine, text, as_of=self.moment(as_of), **question)

    def person(self, user_id: str, as_of: Time = None) -> Person:
        """All that is known of one person.

        Raises:
            QueryError: Nothing is known of them.
        """
        return person(self.engine, user_id, as_of=self.moment(as_of))

    def timeline(
        self, user_id: str, *, kinds: Sequence[str] = (), before: Time = None, most: int = 500, as_of: Time = None
    ) -> pl.DataFrame:
        """What one person did, was sent and told, the latest first; see :func:`engage.analysis.people.timeline`.

        Returns:
            `time`, `kind`, `name`, `channel`, `campaign`, `labels`, `properties`, `source`: one row a thing.
        """
        moments = {"before": self.moment(before), "as_of": self.moment(as_of)}
        return timeline(self.engine, user_id, kinds=kinds, most=most, **moments)
