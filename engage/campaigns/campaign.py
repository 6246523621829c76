"""What a campaign is: whom it reaches, with what, when, under which limits, to what end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from engage.campaigns.connected import Connected
from engage.campaigns.limits import Cap, QuietHours
from engage.campaigns.schedule import Schedule
from engage.campaigns.tracking import Tracking
from engage.vocabulary import CampaignStatus, DeliveryType, Event

__all__ = ["Campaign", "Goal", "Variant", "Winner"]


@dataclass(frozen=True, slots=True)
class Goal:
    """What a campaign is to bring about.

    Args:
        event: The event that counts as a conversion.
        within: How long after the message it counts.
        revenue: The property of the event that is money.
    """

    event: str = Event.CHARGED.value
    within: timedelta = timedelta(days=14)
    revenue: str = "amount"


@dataclass(frozen=True, slots=True)
class Variant:
    """One version of a campaign's message.

    Args:
        name: Its name; empty when there is only one.
        weight: Its share, relative to the others'.
        content: Templates and values by field.
    """

    name: str
    weight: float
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Winner:
    """How the best variant is chosen.

    Args:
        sample_percent: How many of a hundred people are sent the variants by weight first.
        after: How long their answers are waited for.
        metric: ``clicked``, ``viewed`` or ``converted``: the share of those sent that counts.
    """

    sample_percent: float
    after: timedelta
    metric: str = "clicked"


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign as its folder says.

    Args:
        campaign_id: The folder's name.
        title: What people call it.
        channel: Where its messages go.
        folder: Where it lies.
        segment: The segment's name; or `sql`, or neither for everyone.
        sql: A select of `user_id`.
        exclude: Segments that are left out.
        labels: Message labels, as in Message Settings.
        status: draft, scheduled, running, paused, completed or stopped.
        delivery_type: How its sends come about.
        provider: Which provider sends; None for the channel's.
        control_percent: How many of a hundred people are held out.
        throttle_per_second: The most messages a second.
        transactional: Consent to marketing is not asked for.
        goal: What it is to bring about.
        variants: Its message's versions, at least one.
        topic: The subscription topic its messages are about; empty for none.
        priority: The higher is planned first among those due together.
        not_in: Campaigns whose people, sent or held out, are left out; its own name sends each person once.
        start: Nothing leaves before.
        end: Nothing leaves from then on.
        caps: Frequency caps of its own, beside the workspace's.
        quiet_hours: When people are left in peace; None for never.
        schedule: When its messages are due.
        context_sql: A select of `user_id` and what templates call ``data``, one row a user.
        connected: Content fetched over HTTP while planning, which templates call ``connected.<name>``.
        winner: How the best variant is chosen after a sample; None sends all by weight.
        tracking: What its mail reports back.
        launched_at: Since when its schedule counts; None before it was launched.
        approved: The largest run that was approved when it was launched.
        fallback: The same campaign on other channels, tried in turn for those this one does not reach.
        journey_id: The journey whose message it is, if it is one's.
    """

    campaign_id: str
    title: str
    channel: str
    folder: Path
    segment: str | None = None
    sql: str | None = None
    exclude: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    status: str = CampaignStatus.DRAFT.value
    delivery_type: str = DeliveryType.ONE_TIME.value
    provider: str | None = None
    control_percent: float = 0.0
    throttle_per_second: float | None = None
    transactional: bool = False
    goal: Goal = field(default_factory=Goal)
    variants: tuple[Variant, ...] = ()
    topic: str = ""
    priority: int = 0
    not_in: tuple[str, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    caps: tuple[Cap, ...] = ()
    quiet_hours: QuietHours | None = None
    schedule: Schedule = field(default_factory=Schedule)
    context_sql: str | None = None
    connected: tuple[Connected, ...] = ()
    winner: Winner | None = None
    tracking: Tracking = field(default_factory=Tracking)
    launched_at: datetime | None = None
    approved: int = 0
    fallback: tuple[Campaign, ...] = ()
    journey_id: str | None = None

    @property
    def ways(self) -> tuple[Campaign, ...]:
        """The campaign on its own channel, then on each of its fallbacks."""
        return (self, *self.fallback)
