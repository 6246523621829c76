"""Clever Campaigns: ready-made journeys, filled in from the lake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from engage.access.roles import Right
from engage.campaigns.estimate import read_prices
from engage.journeys.simulation import Simulation
from engage.playbooks.playbook import (
    Filled,
    Playbook,
    create_from_playbook,
    fill,
    list_playbooks,
    preview,
    read_playbook,
)
from engage.workspace.base import Time
from engage.workspace.guarding import guarded
from engage.workspace.journeys import JourneyFace
from engage.workspace.open_journey import OpenJourney

__all__ = ["FromPlaybook", "PlaybookFace"]


@dataclass(frozen=True, slots=True)
class FromPlaybook:
    """What was made of a playbook.

    Args:
        journey: The journey, a draft.
        filled: What was asked and answered, and how many people it would reach today.
        simulation: What it would have done in the past 30 days.
    """

    journey: OpenJourney
    filled: Filled
    simulation: Simulation


class PlaybookFace(JourneyFace):
    """What offers playbooks and makes journeys of them."""

    def playbooks(self) -> list[Playbook]:
        """Every playbook."""
        return list_playbooks()

    def fill_playbook(self, name: str, answers: Mapping[str, Any] | None = None, as_of: Time = None) -> Filled:
        """Make a playbook fit this workspace, to be looked at; see :func:`engage.playbooks.playbook.fill`."""
        return fill(self.engine, read_playbook(name), answers, as_of=self.moment(as_of))

    def preview_playbook(self, filled: Filled, now: Time = None) -> Simulation:
        """What a playbook would have done in the past 30 days; see :func:`engage.playbooks.playbook.preview`."""
        clock = self.moment(now) or datetime.now(UTC)
        prices, _ = read_prices(self.settings)
        return preview(self.engine, filled, now=clock, prices=prices)

    @guarded(Right.COMPOSE, "playbook.create")
    def create_from_playbook(
        self, playbook: str, name: str | None = None, answers: Mapping[str, Any] | None = None, now: Time = None
    ) -> FromPlaybook:
        """Write a playbook's files into the workspace as a draft, and tell what it would have done in the past 30 days.

        Args:
            playbook: Which.
            name: The journey's name; the playbook's by default.
            answers: In place of what the lake suggests.
            now: The clock.

        Raises:
            PlanError: There is no such playbook, or the name is taken.
        """
        clock = self.moment(now) or datetime.now(UTC)
        filled = fill(self.engine, read_playbook(playbook), answers, as_of=clock)
        name = name or playbook
        create_from_playbook(self.engine, filled, name, now=clock)
        return FromPlaybook(self.journey(name), filled, self.preview_playbook(filled, clock))
