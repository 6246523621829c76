"""What every part of the face stands on: the settings, the lake and the engine of one workspace."""

from __future__ import annotations

import threading
import time
from datetime import date, datetime
from functools import cached_property
from pathlib import Path

from engage.access.actor import Actor, acting
from engage.delivery.pacing import Gate
from engage.lake.landing import Lake
from engage.query.engine import Engine
from engage.settings import Settings
from engage.windows import moment

__all__ = ["Base", "Time"]

Time = str | date | datetime | None
"""A point in time; a date or a time without a zone is taken in the workspace's time zone."""


class Base:
    """The settings, lake and engine of one workspace.

    Args:
        settings: Its folders and options.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stop: threading.Event | None = None
        """Set by a worker, so that what is being sent stops when it is told to stop."""
        self.gates: dict[str, Gate] = {}
        """How each provider last wanted to be asked."""
        self._actor: Actor | None = None
        self._resting: dict[str, tuple[int, float]] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.root)!r})"

    @property
    def actor(self) -> Actor:
        """Who acts: in a notebook the server serves, whoever clicked; otherwise whose shell it is."""
        return self._actor or acting()

    def acts_as(self, actor: Actor | None) -> None:
        """Let all that is done with this object be done by somebody; None for whoever it is each time."""
        self._actor = actor

    @property
    def root(self) -> Path:
        """The workspace's folder."""
        return self.settings.root

    @cached_property
    def lake(self) -> Lake:
        """What writes to the lake."""
        return Lake(self.settings)

    @cached_property
    def engine(self) -> Engine:
        """What answers queries."""
        return Engine(self.settings)

    def rests(self, name: str) -> bool:
        """Whether a worker leaves something alone for now, since it went wrong a moment ago."""
        return self.stop is not None and time.monotonic() < self._resting.get(name, (0, 0.0))[1]

    def went(self, name: str, *, wrong: bool) -> None:
        """Note how something went: what goes wrong rests for 5 s, then twice as long each time, up to 5 minutes."""
        if not wrong:
            self._resting.pop(name, None)
            return
        times = self._resting.get(name, (0, 0.0))[0]
        self._resting[name] = (times + 1, time.monotonic() + min(300.0, 5.0 * 2 ** min(times, 10)))

    def moment(self, value: Time) -> datetime | None:
        """A point in time, in UTC."""
        return moment(value, self.settings.timezone)
