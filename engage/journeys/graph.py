"""What a journey is made of: an entry, nodes with ways out of them, what ends it and what it is to bring about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any

from engage.analysis.events import Selector
from engage.campaigns.campaign import Goal

__all__ = [
    "AGAIN",
    "ENTRY",
    "EXIT_MET",
    "GOAL_MET",
    "LEFT",
    "Branch",
    "Case",
    "ChannelChoice",
    "Entry",
    "Exit",
    "ExitCriteria",
    "Join",
    "Journey",
    "Message",
    "Node",
    "Split",
    "Update",
    "Wait",
]

ENTRY = "entry"
GOAL_MET, EXIT_MET, AGAIN, LEFT = "_goal", "_exit", "_again", "_left"
"""Where a walk ends that does not end in a node: goal reached, exit criteria met, entered anew, taken out."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Who enters, and when.

    Args:
        to: The first node.
        event: An event lets people in at its own time; or
        segment: everyone in it, at the times of `cron`, or once at launch; or
        date_property: a date in the profile, at `time_of_day` by the person's own clock.
        where: Conditions on the profile's properties at that time.
        cron: When a segment is asked; None for once, at launch.
        offset_days: Days after (before, if negative) the date.
        yearly: The date comes back each year.
        time_of_day: When on that day.
        again_after: How long after an entry the same person may enter anew, which ends the earlier walk;
            None for never.
        most_per_person: How often one person may enter.
        limit: How many entries there may be at all.
    """

    to: str
    event: Selector = None
    segment: str | None = None
    date_property: str | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    cron: str | None = None
    offset_days: int = 0
    yearly: bool = False
    time_of_day: time = time(9)
    again_after: timedelta | None = None
    most_per_person: int | None = None
    limit: int | None = None

    @property
    def kind(self) -> str:
        """``event``, ``segment`` or ``date``."""
        return "segment" if self.segment else "date" if self.date_property else "event"


@dataclass(frozen=True, slots=True)
class Message:
    """Sends a message and goes on at once, by ``next``.

    Args:
        values: What ``campaign.toml`` would say of it: channel, content, variants …
    """

    values: Mapping[str, Any]

    @property
    def channel(self) -> str:
        """Where it goes."""
        return str(self.values.get("channel", ""))


@dataclass(frozen=True, slots=True)
class Wait:
    """Waits, then goes by ``next``; a wait for an event that does not come goes by ``timeout``.

    Args:
        length: That long; for an event, the time-out.
        until: Until this time of day by the person's clock.
        weekdays: Of these weekdays only, 0 for Monday; with `until`.
        event: Until this event.
    """

    length: timedelta | None = None
    until: time | None = None
    weekdays: tuple[int, ...] = ()
    event: Selector = None


@dataclass(frozen=True, slots=True)
class Case:
    """One way out of a branch.

    Args:
        port: Its name.
        event: They did this event, counted
        within: over that long before; ``None`` since they entered the journey, ``"ever"`` at any time,
        at_least: that often.
        message: The message node they were sent something by, and
        did: ``sent``, ``delivered``, ``viewed`` or ``clicked`` it; or
        where: conditions that hold of the event's properties; of the profile's where there is no event.
        segment: They are in this segment when the tick runs.
    """

    port: str
    event: str | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    within: timedelta | str | None = None
    at_least: int = 1
    message: str | None = None
    did: str = "clicked"
    segment: str | None = None

    @property
    def kind(self) -> str:
        """``message``, ``segment``, ``event`` or ``property``."""
        return "message" if self.message else "segment" if self.segment else "event" if self.event else "property"


@dataclass(frozen=True, slots=True)
class Branch:
    """Goes by the port of the first case that is true on entering, by ``else`` when none is."""

    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """Goes by a port chosen by a stable hash of journey, node and person.

    Args:
        weights: Each port's share, relative to the others'.
    """

    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ChannelChoice:
    """Goes by the port of the best channel that reaches the person, by ``none`` when none does.

    Args:
        channels: Those to choose from, the preferred first.
        by_engagement: The one they viewed or clicked most often is best; equals by preference.
    """

    channels: tuple[str, ...]
    by_engagement: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """Writes properties into the profile.

    Args:
        values: What becomes of each; None takes it away.
    """

    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Join:
    """Brings ways together."""


@dataclass(frozen=True, slots=True)
class Exit:
    """The walk ends here."""


Kind = Message | Wait | Branch | Split | ChannelChoice | Update | Join | Exit


@dataclass(frozen=True, slots=True)
class Node:
    """One node.

    Args:
        id: Its name in the file.
        kind: ``message``, ``webhook``, ``wait``, ``branch``, ``split``, ``channel``, ``update``, ``join`` or ``exit``.
        does: What it does.
        to: The node each port leads to.
        title: What people call it.
        position: Where the canvas shows it, in pixels from the left and the top.
    """

    id: str
    kind: str
    does: Kind
    to: Mapping[str, str]
    title: str = ""
    position: tuple[float, float] | None = None

    @property
    def ports(self) -> tuple[str, ...]:
        """Every way out, in order."""
        match self.does:
            case Exit():
                return ()
            case Wait(event=event) if event is not None:
                return ("next", "timeout")
            case Branch(cases=cases):
                return (*(case.port for case in cases), "else")
            case Split(weights=weights):
                return tuple(weights)
            case ChannelChoice(channels=channels):
                return (*channels, "none")
        return ("next",)


@dataclass(frozen=True, slots=True)
class ExitCriteria:
    """What ends a walk wherever it is.

    Args:
        events: Any of these events.
    """

    events: tuple[Selector, ...] = ()


@dataclass(frozen=True, slots=True)
class Journey:
    """A journey, as its file says.

    Args:
        journey_id: The file's name.
        title: What people call it.
        entry: Who enters.
        nodes: By id, in the file's order.
        goal: What it is to bring about.
        goal_ends: Reaching the goal ends the walk.
        exits: What else ends it.
        status: draft, running, paused or stopped.
        labels: Message labels of all its messages.
        control_percent: How many of a hundred people walk it without being sent anything.
        defaults: What every message has unless it says otherwise: topic, caps, quiet_hours, transactional …
        start: Nobody enters before.
        end: Nobody enters from then on.
    """

    journey_id: str
    title: str
    entry: Entry
    nodes: Mapping[str, Node]
    goal: Goal = field(default_factory=Goal)
    goal_ends: bool = True
    exits: ExitCriteria = field(default_factory=ExitCriteria)
    status: str = "draft"
    labels: tuple[str, ...] = ()
    control_percent: float = 0.0
    defaults: Mapping[str, Any] = field(default_factory=dict)
    start: datetime | None = None
    end: datetime | None = None

    @property
    def messages(self) -> dict[str, Node]:
        """The nodes that send something."""
        return {name: node for name, node in self.nodes.items() if isinstance(node.does, Message)}

    def edges(self) -> list[tuple[str, str, str]]:
        """Every connection: node, port, node it leads to; the entry's first."""
        found = [(ENTRY, "next", self.entry.to)]
        return found + [
            (node.id, port, node.to[port]) for node in self.nodes.values() for port in node.ports if port in node.to
        ]
