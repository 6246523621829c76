"""The tick of campaigns: everything launched that is due is planned and sent; what a worker calls again and again."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from engage.campaigns.campaign import Campaign
from engage.campaigns.definition import list_campaigns, read_campaign
from engage.campaigns.schedule import Occurrence, occurrences_due
from engage.campaigns.status import is_live, set_status
from engage.delivery.ledger import Ledger
from engage.delivery.sender import summarise
from engage.delivery.summary import Report, Summary
from engage.errors import ConfigurationError, EngageError
from engage.lake.runs import Run, discard_run, list_runs
from engage.vocabulary import CampaignStatus
from engage.workspace.base import Base, Time
from engage.workspace.deliveries import open_ledger
from engage.workspace.open_campaign import OpenCampaign

__all__ = ["Ticked", "TickingFace"]

_MISSED = timedelta(days=1)  # a recurring send this late is left out; one begun is finished
_OVER = ("completed", "stopped", "stopping", "paused")


@dataclass(frozen=True, slots=True)
class Ticked:
    """What a tick did for one occurrence of one campaign.

    Args:
        campaign_id: The campaign.
        run_id: The run; empty where the campaign itself is at fault.
        summary: What became of its people so far; None when it was not sent.
        error: Why it was not sent or not to the end: not approved, provider down, wrong settings. One line.
    """

    campaign_id: str
    run_id: str
    summary: Summary | None = None
    error: str = ""


class TickingFace(Base):
    """What follows the schedules of campaigns."""

    def tick_campaigns(self, now: Time = None, *, report: Report | None = None) -> list[Ticked]:
        """Plan and send all that is due of the campaigns that were launched, those of higher priority first.

        Doing it again, after a kill too, sends nobody anything twice: each occurrence has one run, planned once
        anything of it was sent. A fault of one campaign does not stop the others.

        Args:
            now: The clock; the present. Of the past only where the provider is the outbox.
            report: Told of progress.

        Returns:
            What was done, one row an occurrence; empty when nothing was due.
        """
        clock = self.moment(now) or datetime.now(UTC)
        done: list[Ticked] = []
        live: list[Campaign] = []
        for name in list_campaigns(self.settings):
            try:
                campaign = read_campaign(self.settings, name)
            except (EngageError, ConfigurationError) as error:
                done.append(Ticked(name, "", error=str(error)))
                continue
            if is_live(campaign):
                live.append(campaign)
        runs = list_runs(self.settings) if live else []
        for campaign in sorted(live, key=lambda one: (-one.priority, one.campaign_id)):
            own = [run for run in runs if run.campaign_id == campaign.campaign_id]
            done += self._tick(campaign, own, clock, now is not None, report)
        return done

    def _tick(
        self, campaign: Campaign, runs: list[Run], clock: datetime, played: bool, report: Report | None
    ) -> list[Ticked]:
        done = []
        with closing(open_ledger(self)) as ledger:
            states = {run.run_id: record.state for run in runs if (record := ledger.run(run.run_id))}
        for occurrence in _due(campaign, runs, states, clock):
            run_id = f"{campaign.campaign_id}-{occurrence.id}"
            if self.rests(run_id) or (self.stop is not None and self.stop.is_set()):
                continue
            try:
                opened = OpenCampaign(self, campaign)
                # What was sent at this very instant, by a campaign before this one, counts.
                as_of = (clock if played else datetime.now(UTC)) + timedelta(microseconds=1)
                if occurrence.until and run_id not in states:
                    planned = opened.plan(as_of, clock, occurrence=occurrence)
                    if not planned.run.counts.audience:
                        discard_run(self.settings, run_id)
                        continue
                summary = opened.send(as_of, clock if played else None, occurrence=occurrence, report=report)
                self.went(run_id, wrong=False)
                done.append(Ticked(campaign.campaign_id, run_id, summary))
            except (EngageError, ConfigurationError) as error:
                self.went(run_id, wrong=True)
                done.append(Ticked(campaign.campaign_id, run_id, error=str(error)))
        self._complete(campaign, clock)
        return done

    def _complete(self, campaign: Campaign, clock: datetime) -> None:
        """A campaign is completed when its one run is, or when its end has come."""
        once = not (campaign.schedule.cron or campaign.schedule.date_property) and campaign.schedule.event is None
        runs = [run for run in list_runs(self.settings) if run.campaign_id == campaign.campaign_id]
        last = f"{campaign.campaign_id}-once-rest" if campaign.winner else f"{campaign.campaign_id}-once"
        with closing(open_ledger(self)) as ledger:
            over = once and any(run.run_id == last and _state(run, ledger) == "completed" for run in runs)
        if over or (campaign.end and clock >= campaign.end):
            set_status(self.settings, campaign.campaign_id, CampaignStatus.COMPLETED)


def _state(run: Run, ledger: Ledger) -> str:
    return summarise(run, ledger).state


def _due(campaign: Campaign, runs: list[Run], states: dict[str, str], clock: datetime) -> list[Occurrence]:
    """What is due: unfinished runs of triggers, then new occurrences."""
    launched = campaign.launched_at or clock
    since = max(launched, campaign.start or launched) - timedelta(microseconds=1)
    until = min(clock, campaign.end) if campaign.end else clock
    found: list[Occurrence] = []
    if campaign.schedule.event is not None:
        for run in runs:
            if upto := run.options.get("until"):
                ended = datetime.fromisoformat(upto)
                found.append(Occurrence(f"{ended:%Y%m%dT%H%M}", ended, until=ended))
                since = max(since, ended)
    elif campaign.schedule.cron or campaign.schedule.date_property:
        known = {run.run_id for run in runs}
        late = clock - _MISSED
        return [
            part
            for occurrence in occurrences_due(campaign.schedule, since, until)
            for part in occurrence.parts(campaign.winner.after if campaign.winner else None, clock)
            if states.get(name := f"{campaign.campaign_id}-{part.id}") not in _OVER
            and (part.at >= late or name in known)
        ]
    found += [
        part
        for occurrence in occurrences_due(campaign.schedule, since, until)
        for part in occurrence.parts(campaign.winner.after if campaign.winner else None, clock)
    ]
    return [one for one in found if states.get(f"{campaign.campaign_id}-{one.id}") not in _OVER]
