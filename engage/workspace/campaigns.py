"""Labels, campaigns, sends and their report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from engage.analysis.campaign_report import CampaignFacts, campaign_report
from engage.campaigns.definition import Campaign, create_campaign, list_campaigns, read_campaign, set_labels
from engage.campaigns.labels import Label, create_label, list_labels
from engage.campaigns.planning import Plan, plan, sample_messages
from engage.channels.registry import provider
from engage.content.localised import make_renderer
from engage.delivery.ledger import Ledger
from engage.delivery.pacing import Limits
from engage.delivery.sender import deliver, summarise
from engage.delivery.summary import Report, Summary
from engage.errors import PlanError
from engage.lake.runs import list_runs
from engage.vocabulary import CampaignStatus
from engage.workspace.base import Base, Time

__all__ = ["CampaignFace", "OpenCampaign"]


@dataclass(frozen=True, slots=True)
class OpenCampaign:
    """A campaign that can be planned, looked at and sent.

    Args:
        workspace: Where it lies.
        definition: What its folder says.
    """

    workspace: Base
    definition: Campaign

    def plan(self, as_of: Time = None, now: Time = None) -> Plan:
        """Decide who gets what; nothing is sent. Once sending has begun the plan is frozen.

        Args:
            as_of: Whom to reach as of then.
            now: The clock; `as_of`, or the present.
        """
        moment = self.workspace.moment
        run_id = f"{self.definition.campaign_id}-once"
        with closing(_ledger(self.workspace)) as ledger:
            begun = ledger.run(run_id) is not None
        return plan(self.workspace.engine, self.definition, as_of=moment(as_of), now=moment(now), anew=not begun)

    def preview(self, as_of: Time = None, count: int = 1) -> list[dict[str, Any]]:
        """The first messages as they would be sent."""
        return sample_messages(self.plan(as_of), count)

    def send(self, as_of: Time = None, now: Time = None, *, report: Report | None = None) -> Summary:
        """Plan, if that is not done, and send what is still to be sent.

        Args:
            as_of: Whom to reach as of then; only the outbox may send as of the past.
            now: The clock of the messages; `as_of`, or the present.
            report: Told of progress.

        Returns:
            People by outcome. Sending again sends nobody anything twice.

        Raises:
            PlanError: As of the past, to real people.
            ConfigurationError: The channel is not set up right; nobody is left out.
            ChannelError: The provider cannot be reached; send again later.
        """
        space, campaign = self.workspace, self.definition
        settings = space.settings
        options = dict(settings.channel(campaign.channel))
        if campaign.provider:
            options["provider"] = campaign.provider
        chosen = provider(campaign.channel, options, outbox=settings.outbox)
        clock = space.moment(now) or space.moment(as_of)
        if clock and clock < datetime.now(UTC) and not chosen.past:
            raise PlanError(
                f"{chosen.name} cannot send as of the past",
                where=campaign.campaign_id,
                hint="leave out the time, or use the outbox",
            )
        planned = self.plan(as_of, now)
        pace: Mapping[str, Any] = settings.options.get("delivery", {})
        with closing(_ledger(space)) as ledger:
            return deliver(
                planned.run,
                lake=space.lake,
                ledger=ledger,
                provider=chosen,
                make_renderer=make_renderer,
                now=clock,
                limits=Limits(**{"unreachable": 3.0, **pace}),
                report=report,
            )


def _ledger(workspace: Base) -> Ledger:
    """The ledger: a SQLite file, or what ``ledger = "postgresql://…"`` names."""
    return Ledger.open(workspace.settings.options.get("ledger") or workspace.settings.ledger)


class CampaignFace(Base):
    """What keeps labels and campaigns, sends them and reports on them."""

    def labels(self) -> list[Label]:
        """Every message label."""
        return list_labels(self.settings)

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

    def create_campaign(
        self, name: str, values: Mapping[str, Any], files: Mapping[str, str] | None = None
    ) -> OpenCampaign:
        """Make a campaign's folder; see :func:`engage.campaigns.definition.create_campaign`."""
        return OpenCampaign(self, create_campaign(self.settings, name, values, files or {}))

    def set_labels(self, campaign: str, *labels: str) -> OpenCampaign:
        """Put labels on a campaign; they go with messages planned from then on."""
        return OpenCampaign(self, set_labels(self.settings, campaign, labels))

    def runs(self) -> list[Summary]:
        """What became of every run, oldest first."""
        runs = list_runs(self.settings)
        if not runs:
            return []
        with closing(_ledger(self)) as ledger:
            return [summarise(run, ledger) for run in runs]

    def campaign_report(self, as_of: Time = None) -> pl.DataFrame:
        """One row a campaign over all channels; see :func:`engage.analysis.campaign_report.campaign_report`."""
        states = {summary.run_id: summary.state for summary in self.runs()}
        facts = [_facts(campaign, states) for campaign in self.campaigns()]
        return campaign_report(self.engine, facts, as_of=self.moment(as_of))


def _facts(campaign: Campaign, states: Mapping[str, str]) -> CampaignFacts:
    own = [state for run, state in states.items() if run.rpartition("-")[0] == campaign.campaign_id]
    known: Callable[[str], bool] = {status.value for status in CampaignStatus}.__contains__
    status = own[-1] if own and known(own[-1]) else campaign.status
    return CampaignFacts(
        campaign_id=campaign.campaign_id,
        name=campaign.title,
        channel=campaign.channel,
        status=status,
        delivery_type=campaign.delivery_type,
        labels=campaign.labels,
        goal=campaign.goal.event,
        goal_seconds=int(campaign.goal.within.total_seconds()),
        goal_property=campaign.goal.revenue,
    )
