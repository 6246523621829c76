"""Labels, campaigns, sends and their report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from engage.access.roles import Right
from engage.analysis.campaign_detail import CampaignDetail, campaign_detail
from engage.analysis.campaign_report import CampaignFacts, campaign_report
from engage.campaigns.campaign import Campaign
from engage.campaigns.definition import campaign_from, list_campaigns, read_campaign
from engage.campaigns.editing import copy_campaign, create_campaign, edit_campaign, set_labels
from engage.campaigns.estimate import read_prices
from engage.campaigns.labels import Label, create_label, list_labels
from engage.delivery.summary import Summary
from engage.journeys.files import list_journeys, read_journey
from engage.journeys.graph import Message
from engage.query.files import read_sql
from engage.settings import Settings
from engage.vocabulary import CampaignStatus, DeliveryType
from engage.workspace.base import Time
from engage.workspace.deliveries import DeliveryFace
from engage.workspace.guarding import guarded
from engage.workspace.open_campaign import OpenCampaign

__all__ = ["CampaignFace", "OpenCampaign"]


class CampaignFace(DeliveryFace):
    """What keeps labels and campaigns, sends them and reports on them."""

    def labels(self) -> list[Label]:
        """Every message label."""
        return list_labels(self.settings)

    @guarded(Right.COMPOSE, "label.create")
    def create_label(self, name: str, description: str = "", *, now: datetime | None = None) -> Label:
        """Make a message label.

        Raises:
            ConfigurationError: The name is taken or not one.
        """
        return create_label(self.settings, name, description, now=now or datetime.now(UTC))

    def campaigns(self) -> list[Campaign]:
        """Every campaign's definition."""
        return [read_campaign(self.settings, name) for name in list_campaigns(self.settings)]

    def campaign(self, name: str) -> OpenCampaign:
        """Open a campaign.

        Raises:
            UnknownCampaignError: There is none of that name.
        """
        return OpenCampaign(self, read_campaign(self.settings, name))

    @guarded(Right.COMPOSE, "campaign.create")
    def create_campaign(
        self, name: str, values: Mapping[str, Any], files: Mapping[str, str | bytes] | None = None
    ) -> OpenCampaign:
        """Make a campaign's folder; see :func:`engage.campaigns.editing.create_campaign`."""
        return OpenCampaign(self, create_campaign(self.settings, name, values, files or {}))

    @guarded(Right.COMPOSE, "campaign.edit")
    def edit_campaign(
        self, name: str, values: Mapping[str, Any], files: Mapping[str, str | None] | None = None
    ) -> OpenCampaign:
        """Change a campaign from the next run on; see :func:`engage.campaigns.editing.edit_campaign`."""
        return OpenCampaign(self, edit_campaign(self.settings, name, values, files))

    @guarded(Right.COMPOSE, "campaign.copy")
    def copy_campaign(self, name: str, new: str) -> OpenCampaign:
        """Make a draft like a campaign; see :func:`engage.campaigns.editing.copy_campaign`."""
        return OpenCampaign(self, copy_campaign(self.settings, name, new))

    def draft_campaign(self, name: str, values: Mapping[str, Any]) -> OpenCampaign:
        """A campaign that is not kept: to preview it while it is written.

        Args:
            name: What it is to be called.
            values: What ``campaign.toml`` would say.

        Raises:
            ConfigurationError: The values are not a campaign's.
            UnknownLabelError: It carries a label that was never made.
        """
        folder = self.settings.campaigns / (name or "draft")
        return OpenCampaign(self, campaign_from(self.settings, name or "draft", values, folder, "the draft"))

    @guarded(Right.COMPOSE, "campaign.labels")
    def set_labels(self, campaign: str, *labels: str) -> OpenCampaign:
        """Put labels on a campaign; they go with messages planned from then on."""
        return OpenCampaign(self, set_labels(self.settings, campaign, labels))

    def label_report(self, as_of: Time = None, *, as_now: bool = False) -> pl.DataFrame:
        """One row a message label, over all campaigns and channels.

        Args:
            as_of: As of then.
            as_now: Group by the labels campaigns carry now, instead of those their messages were sent with.

        Returns:
            `label` ('' for none), `campaigns`, `users_sent`, `held_out` (people), `sent`, `delivered`, `viewed`,
            `clicked`, `failed`, `unsubscribed` (messages). A message with two labels counts under both.
        """
        pairs = [
            {"campaign_id": campaign.campaign_id, "label": label}
            for campaign in self.campaigns()
            for label in campaign.labels
        ]
        file = read_sql(self.settings.sql / "reports" / "labels.sql")
        params = {"as_now": as_now, "now": json.dumps(pairs)}
        return self.engine.frame(file.text, params, as_of=self.moment(as_of))

    def campaign_report(self, as_of: Time = None) -> pl.DataFrame:
        """One row a campaign over all channels; see :func:`engage.analysis.campaign_report.campaign_report`."""
        runs = self.runs()
        facts = [_facts(campaign, runs) for campaign in self.campaigns()]
        facts += [_journey_facts(self.settings, name, runs) for name in list_journeys(self.settings)]
        prices, _ = read_prices(self.settings)
        return campaign_report(self.engine, facts, prices=prices, as_of=self.moment(as_of))

    def campaign_detail(self, campaign: str, as_of: Time = None) -> CampaignDetail:
        """One campaign's days, variants, links and failures.

        Args:
            campaign: Its id; one that only the lake knows will do.
            as_of: As of then.
        """
        fact = None
        if campaign in list_campaigns(self.settings):
            fact = _facts(read_campaign(self.settings, campaign), ())
        elif campaign in list_journeys(self.settings):
            fact = _journey_facts(self.settings, campaign, ())
        return campaign_detail(self.engine, campaign, fact, as_of=self.moment(as_of))


def _facts(campaign: Campaign, runs: Sequence[Summary]) -> CampaignFacts:
    own = [run for run in runs if run.campaign_id == campaign.campaign_id and not run.retry_of]
    known: Callable[[str], bool] = {status.value for status in CampaignStatus}.__contains__
    last = next((run for run in reversed(own) if not run.fallback_of), None)
    return CampaignFacts(
        campaign_id=campaign.campaign_id,
        name=campaign.title,
        channel=campaign.channel,
        status=last.state if last and known(last.state) else campaign.status,
        delivery_type=campaign.delivery_type,
        labels=campaign.labels,
        segment=campaign.segment or ("a select" if campaign.sql else "everyone"),
        audience=sum(run.audience for run in own) if own else None,
        left_out=sum(sum(run.excluded.values()) for run in own),
        goal=campaign.goal.event,
        goal_seconds=int(campaign.goal.within.total_seconds()),
        goal_property=campaign.goal.revenue,
    )


def _journey_facts(settings: Settings, name: str, runs: Sequence[Summary]) -> CampaignFacts:
    journey = read_journey(settings, name)
    channels = {node.does.channel for node in journey.messages.values() if isinstance(node.does, Message)}
    own = [run for run in runs if run.campaign_id == name and not run.retry_of]
    return CampaignFacts(
        campaign_id=name,
        name=journey.title,
        channel=", ".join(sorted(channels)),
        status=journey.status,
        delivery_type=DeliveryType.JOURNEY.value,
        labels=journey.labels,
        left_out=sum(sum(run.excluded.values()) for run in own),
        goal=journey.goal.event,
        goal_seconds=int(journey.goal.within.total_seconds()),
        goal_property=journey.goal.revenue,
    )
