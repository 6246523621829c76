"""What keeps journeys and runs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engage.access.roles import Right
from engage.errors import ConfigurationError, EngageError
from engage.journeys.files import create_journey, list_journeys, read_journey, save_journey
from engage.journeys.graph import Journey
from engage.workspace.base import Base, Time
from engage.workspace.guarding import guarded
from engage.workspace.journey_tick import JourneyTicked
from engage.workspace.open_journey import OpenJourney

__all__ = ["JourneyFace"]


class JourneyFace(Base):
    """What keeps journeys and runs them."""

    def journeys(self) -> list[Journey]:
        """Every journey's definition."""
        return [read_journey(self.settings, name) for name in list_journeys(self.settings)]

    def journey(self, name: str) -> OpenJourney:
        """Open a journey.

        Raises:
            UnknownJourneyError: There is none of that name.
        """
        return OpenJourney(self, read_journey(self.settings, name))

    @guarded(Right.COMPOSE, "journey.create")
    def create_journey(self, name: str, values: Mapping[str, Any]) -> OpenJourney:
        """Make a journey's file; see :func:`engage.journeys.files.create_journey`."""
        return OpenJourney(self, create_journey(self.settings, name, values))

    @guarded(Right.COMPOSE, "journey.edit")
    def save_journey(self, name: str, values: Mapping[str, Any]) -> OpenJourney:
        """Write a journey's file; see :func:`engage.journeys.files.save_journey`."""
        return OpenJourney(self, save_journey(self.settings, name, values))

    @guarded(Right.SEND)
    def tick_journeys(self, now: Time = None) -> list[JourneyTicked]:
        """Bring every running journey up to now; a fault of one does not stop the others.

        Args:
            now: The clock; the present. Of the past only where the provider is the outbox.
        """
        done = []
        for name in list_journeys(self.settings):
            try:
                opened = self.journey(name)
                if opened.definition.status == "running":
                    done.append(opened.tick(now))
            except (EngageError, ConfigurationError) as error:
                done.append(JourneyTicked(name, None, error=str(error)))
        return done
