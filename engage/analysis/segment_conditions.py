"""What a segment may ask of a person: plain values, put together with All, Any and Not.

::

    All(Did("Charged", at_least=2, since="90 days ago"), Not(Sent(label="Winter", reaction="clicked")))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any as Anything
from typing import Literal

__all__ = ["All", "Any", "Condition", "Did", "InSegment", "Instant", "Not", "Profile", "Reaction", "Sent"]

Instant = str | date | datetime | None
"""``"30 days ago"`` (minutes, hours, days, weeks, months, years), a time, or a date; a date is its first instant."""

Reaction = Literal["delivered", "viewed", "clicked", "failed", "converted"]
"""What may follow a message."""


@dataclass(frozen=True, slots=True)
class Did:
    """They did an event, so many times, in a window.

    Args:
        event: Its name; None for any activity.
        where: Conditions on its properties; see :func:`engage.analysis.events.property_condition`.
        at_least: How often at least; once unless one of the three is given.
        at_most: How often at most; those who never did it are among them unless `at_least` says otherwise.
        exactly: How often exactly; 0 is never.
        since: The window's first instant; None for the beginning.
        before: The first instant after the window; None for no end.
        occurrence: Which of their times must lie in the window: any, their first ever or their latest. With first or
            latest the counts are over all time.
    """

    event: str | None = None
    where: Mapping[str, Anything] = field(default_factory=dict)
    at_least: int | None = None
    at_most: int | None = None
    exactly: int | None = None
    since: Instant = None
    before: Instant = None
    occurrence: Literal["any", "first", "latest"] = "any"


@dataclass(frozen=True, slots=True)
class Profile:
    """Their profile has properties; someone without a profile has none set.

    Args:
        where: Conditions, all of which hold; see :func:`engage.analysis.events.property_condition`.
    """

    where: Mapping[str, Anything]


@dataclass(frozen=True, slots=True)
class Sent:
    """They were sent a message, and did something with it or not.

    Args:
        label: Its message label, or any of several.
        campaign: Its campaign's id, or any of several.
        channel: Its channel, or any of several.
        since: When it was sent, at the earliest.
        before: When it was sent, before this.
        reaction: What followed for one such message at least; None for nothing in particular.
        reacted: False for those sent such a message none of which was followed by it.
        goal: The event that is a conversion, with ``reaction="converted"``.
        goal_where: Conditions on its properties.
        within: How long after the message it counts, as "14 days"; a day is 24 hours.
    """

    label: str | Sequence[str] | None = None
    campaign: str | Sequence[str] | None = None
    channel: str | Sequence[str] | None = None
    since: Instant = None
    before: Instant = None
    reaction: Reaction | None = None
    reacted: bool = True
    goal: str = "Charged"
    goal_where: Mapping[str, Anything] = field(default_factory=dict)
    within: str = "14 days"


@dataclass(frozen=True, slots=True)
class InSegment:
    """They are in another segment, with its default parameters.

    Args:
        name: The file's name under ``sql/segments/``.
    """

    name: str


@dataclass(frozen=True, init=False)
class All:
    """Every condition holds."""

    conditions: tuple[Condition, ...]

    def __init__(self, *conditions: Condition) -> None:
        object.__setattr__(self, "conditions", conditions)


@dataclass(frozen=True, init=False)
class Any:
    """One condition holds at least."""

    conditions: tuple[Condition, ...]

    def __init__(self, *conditions: Condition) -> None:
        object.__setattr__(self, "conditions", conditions)


@dataclass(frozen=True, slots=True)
class Not:
    """A condition does not hold; of everyone who ever did something, was sent something or has a profile.

    Args:
        condition: Which.
    """

    condition: Condition


Condition = Did | Profile | Sent | InSegment | All | Any | Not
"""What a segment asks."""
