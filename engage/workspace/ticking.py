"""The tick of campaigns: everything launched that is due is planned and sent; what a worker calls again and again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from engage.access.roles import Right
from engage.campaigns.audience import has_triggers
from engage.campaigns.campaign import Campaign
from engage.campaigns.definition import list_campaigns, read_campaign
from engage.campaigns.schedule import Occurrence, occurrences_due
from engage.campaigns.status import is_live, set_status
from engage.delivery.ledger import Ledger
from engage.delivery.sender import summarise
from engage.delivery.summary import Report, Summary
from engage.errors import ConfigurationError, EngageError
from engage.lake.collected import collected_until
from engage.lake.runs import Run, discard_run, list_runs
from engage.settings import Settings
from engage.vocabulary import CampaignStatus
from engage.workspace.base import Base, Time
from engage.workspace.guarding import guarded
from engage.workspace.open_campaign import OpenCampaign
from engage.workspace.sending import open_ledger

__all__ = ["Ticked", "TickingFace"]

_MISSED = timedelta(days=1)  # a recurring send this late is left out; one begun is finished
_LOOKED_AGAIN = 60.0  # seconds
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

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._immediate: Sequence[str] = ()
        self._looked: dict[str, tuple[datetime, float]] = {}

    @guarded(Right.SEND)
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
        return self._tick_all(list_campaigns(self.settings), now, report)

    @guarded(Right.SEND)
    def tick_triggers(self, now: Time = None, *, report: Report | None = None) -> list[Ticked]:
        """The part of :meth:`tick_campaigns` that cannot wait: messages due at the very event.

        Campaigns that were not live at the last :meth:`tick_campaigns` are left to its next.
        """
        return self._tick_all(self._immediate, now, report)

    def _tick_all(self, names: Sequence[str], now: Time, report: Report | None) -> list[Ticked]:
        clock = self.moment(now) or datetime.now(UTC)
        done: list[Ticked] = []
        live: list[Campaign] = []
        for name in names:
            try:
                campaign = read_campaign(self.settings, name)
            except (EngageError, ConfigurationError) as error:
                done.append(Ticked(name, "", error=str(error)))
                continue
            if is_live(campaign):
                live.append(campaign)
        self._immediate = tuple(one.campaign_id for one in live if one.schedule.immediate)
        runs = list_runs(self.settings) if live else []
        for campaign in sorted(live, key=lambda one: (-one.priority, one.campaign_id)):
            own = [run for run in runs if run.campaign_id == campaign.campaign_id]
            done += self._tick(campaign, own, clock, now is not None, report)
        return done

    def _tick(
        self, campaign: Campaign, runs: list[Run], clock: datetime, played: bool, report: Report | None
    ) -> list[Ticked]:
        done = []
        seen = clock
        if campaign.schedule.event is not None:
            runs = [run for run in runs if run.planned_at > clock - _MISSED] or runs[-1:]
            if not played:  # of what was received later, some may not have landed yet
                seen = min(clock, collected_until(self.settings) or clock)
        with closing(open_ledger(self)) as ledger:
            states = {run.run_id: record.state for run in runs if (record := ledger.run(run.run_id))}
        for occurrence in _due(campaign, runs, states, seen):
            run_id = f"{campaign.campaign_id}-{occurrence.id}"
            if self.rests(run_id) or (self.stop is not None and self.stop.is_set()):
                continue
            try:
                opened = OpenCampaign(self, campaign)
                # What was sent at this very instant, by a campaign before this one, counts.
                as_of = (clock if played else datetime.now(UTC)) + timedelta(microseconds=1)
                if occurrence.until and run_id not in states:
                    if not self._has_triggers(campaign, occurrence, as_of, played):
                        continue
                    planned = opened.plan(as_of, clock, occurrence=occurrence)
                    if not planned.counts.audience:
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

    def _has_triggers(self, campaign: Campaign, occurrence: Occurrence, as_of: datetime, played: bool) -> bool:
        """Whether a stretch of time is worth planning.

        What was looked at before is looked at again once a minute only, for what was landed late by others than the
        server; a stretch that gave nobody stays part of the next.
        """
        assert occurrence.until is not None
        name, now = campaign.campaign_id, time.monotonic()
        upto, whole_at = self._looked.get(name, (None, 0.0))
        if not played and upto is not None and now - whole_at < _LOOKED_AGAIN:
            if occurrence.until <= upto:
                return False
            self._looked[name] = (occurrence.until, whole_at)
            return has_triggers(self.engine, campaign, replace(occurrence, since=upto), as_of=as_of)
        self._looked[name] = (occurrence.until, now)
        return has_triggers(self.engine, campaign, occurrence, as_of=as_of)

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
                name = run.run_id.removeprefix(f"{campaign.campaign_id}-")
                found.append(Occurrence(name, ended, until=ended))
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
