"""People one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from engage.access.roles import Right
from engage.analysis.people import Person, find_people, person, timeline
from engage.lake.erasure import Erased, erase_user
from engage.workspace.asking import asks
from engage.workspace.base import Time
from engage.workspace.deliveries import DeliveryFace
from engage.workspace.guarding import guarded
from engage.workspace.onsite import OnSiteFace

__all__ = ["PeopleFace"]


class PeopleFace(DeliveryFace, OnSiteFace):
    """What finds people and tells of one of them."""

    @guarded(Right.ANALYSE)
    @asks(find_people)
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

    def some_user(self, as_of: Time = None) -> str | None:
        """Somebody with a profile, to preview a message for: the first by id; None where there is nobody."""
        found = self.engine.frame("select min(user_id) as user_id from profiles", as_of=self.moment(as_of))
        return str(found.item()) if found.item() is not None else None

    @guarded(Right.ANALYSE)
    def person(self, user_id: str, as_of: Time = None) -> Person:
        """All that is known of one person.

        Raises:
            QueryError: Nothing is known of them.
        """
        return person(self.engine, user_id, as_of=self.moment(as_of))

    @guarded(Right.ANALYSE)
    def timeline(
        self, user_id: str, *, kinds: Sequence[str] = (), before: Time = None, most: int = 500, as_of: Time = None
    ) -> pl.DataFrame:
        """What one person did, was sent and told, the latest first; see :func:`engage.analysis.people.timeline`.

        Returns:
            `time`, `kind`, `name`, `channel`, `campaign`, `labels`, `properties`, `source`: one row a thing.
        """
        moments = {"before": self.moment(before), "as_of": self.moment(as_of)}
        return timeline(self.engine, user_id, kinds=kinds, most=most, **moments)

    @guarded(Right.ADMINISTER, "person.erase")
    def erase_user(self, user_id: str) -> Erased:
        """Take one person out for good: events, messages, profile, devices, ids, recipients files, mailbox.

        Args:
            user_id: Who.

        Returns:
            What was taken away; see :func:`engage.lake.erasure.erase_user`.

        Raises:
            LandingError: They are in a run that is not finished; nothing has changed.
        """
        finished = {run.run_id for run in self.runs() if run.state in ("completed", "stopped")}
        erased = erase_user(self.lake, user_id, finished=finished)
        if self.settings.mailbox.exists():
            self.mailbox.erase(user_id)
        return erased
