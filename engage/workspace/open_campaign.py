"""One campaign, opened: plan it, look at it, approve it, send it, launch it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from engage.access.roles import Right
from engage.campaigns.attachments import read_attachments
from engage.campaigns.campaign import Campaign
from engage.campaigns.estimate import Estimate, approval_above, estimate
from engage.campaigns.planning import Plan, plan, planned_before
from engage.campaigns.preview import preview_for, sample_messages
from engage.campaigns.schedule import Occurrence
from engage.campaigns.status import set_status
from engage.channels.in_app.mailbox import Mailbox
from engage.channels.message import Message, Outcome
from engage.channels.provider import Provider
from engage.delivery.beside import beside_loop
from engage.delivery.control import pause, resume
from engage.delivery.ledger import Ledger
from engage.delivery.summary import Report, Summary
from engage.delivery.trial import send_trial
from engage.errors import ChannelError, ConfigurationError, ContentError, PlanError
from engage.lake.runs import Run, has_begun, list_runs, run_folder
from engage.stopping import stopping
from engage.vocabulary import PULLED_CHANNELS, CampaignStatus
from engage.workspace.base import Base, Time
from engage.workspace.guarding import guarded
from engage.workspace.sending import deliver_run, open_ledger, run_provider

__all__ = ["DryRun", "OpenCampaign"]


@dataclass(frozen=True, slots=True)
class DryRun:
    """A plan, looked at before anything is sent.

    Args:
        plan: The plan; its run's `counts` say who is sent, held out and left out, by reason.
        samples: Up to ten messages as they would be sent.
        estimate: What it will take.
    """

    plan: Plan
    samples: Sequence[Mapping[str, Any]]
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class OpenCampaign:
    """A campaign that can be planned, looked at and sent.

    Args:
        workspace: Where it lies.
        definition: What its folder says.
    """

    workspace: Base
    definition: Campaign

    @guarded(Right.COMPOSE)
    def plan(self, as_of: Time = None, now: Time = None, *, occurrence: Occurrence | None = None) -> Plan:
        """Decide who gets what; nothing is sent. Once sending has begun the plan is frozen.

        Args:
            as_of: Whom to reach as of then.
            now: The clock; `as_of`, or the present.
            occurrence: The time it is due; None for a send by hand.
        """
        moment = self.workspace.moment
        clock = moment(now) or moment(as_of) or datetime.now(UTC)
        due = occurrence or Occurrence("once", clock)
        run_id = f"{self.definition.campaign_id}-{due.id}"
        settings = self.workspace.settings
        runs = [run_id]
        if (run_folder(settings, run_id) / "run.json").exists():
            runs += [run.run_id for run in planned_before(settings, run_id).runs[1:]]
        with closing(open_ledger(self.workspace)) as ledger:
            begun = any(ledger.run(one) is not None or has_begun(settings, one) for one in runs)
        return plan(
            self.workspace.engine, self.definition, as_of=moment(as_of), now=clock, occurrence=due, anew=not begun
        )

    @guarded(Right.COMPOSE)
    def dry_run(self, as_of: Time = None, now: Time = None, *, samples: int = 10) -> DryRun:
        """Plan, and tell what would be sent, to whom not and why, how long it takes and what it costs.

        Args:
            as_of: Whom to reach as of then.
            now: The clock.
            samples: How many messages to show.
        """
        planned = self.plan(as_of, now)
        shown = sample_messages(planned, samples) if samples else []
        return DryRun(planned, shown, estimate(self.workspace.settings, planned, real=self._reaches_people()))

    @guarded(Right.COMPOSE)
    def preview(self, as_of: Time = None, count: int = 1, *, user: str | None = None) -> list[dict[str, Any]]:
        """Messages as they would be sent.

        Args:
            as_of: As of then.
            count: How many, from the first.
            user: Every variant for this person instead, whether or not they are in the audience.

        Raises:
            PlanError: There is no such person.
        """
        if user is not None:
            return preview_for(self.workspace.engine, self.definition, user, as_of=self.workspace.moment(as_of))
        return sample_messages(self.plan(as_of), count)

    @guarded(Right.COMPOSE, "campaign.test")
    def test_send(self, address: str, *, user: str, variant: str | None = None) -> Outcome:
        """Send one message to an address of your own, with a real person's details; nothing is recorded.

        Args:
            address: Where to.
            user: Whose details fill the template.
            variant: Which variant; None for the first.

        Raises:
            PlanError: There is no such person or variant.
            ContentError: It cannot be rendered for them.
        """
        shown = preview_for(self.workspace.engine, self.definition, user)
        chosen = [one for one in shown if variant in (None, one["variant"])]
        if not chosen:
            raise PlanError(f"there is no variant {variant!r}", where=self.definition.campaign_id)
        if "error" in chosen[0]:
            raise ContentError(str(chosen[0]["error"]))
        fields = {name: value for name, value in chosen[0].items() if name not in ("user_id", "address", "variant")}
        message = Message(
            message_id=f"test-{time.time_ns()}",
            user_id=user,
            channel=self.definition.channel,
            address=address,
            content=read_attachments(fields, self.definition.folder),
            campaign_id=self.definition.campaign_id,
        )
        return beside_loop(lambda _: send_trial(self._provider(), message, country=self.workspace.settings.country))

    @guarded(Right.SEND, "campaign.send", keep=("approve",))
    def send(
        self,
        as_of: Time = None,
        now: Time = None,
        *,
        approve: str | None = None,
        occurrence: Occurrence | None = None,
        report: Report | None = None,
    ) -> Summary:
        """Plan, if that is not done, and send what is still to be sent.

        Args:
            as_of: Whom to reach as of then; only the outbox may send as of the past.
            now: The clock of the messages; `as_of`, or the present.
            approve: The id of the plan that was looked at: exactly that plan is sent. Needed above
                ``[tool.engage] approval_above`` people.
            occurrence: The time it is due; None for a send by hand.
            report: Told of progress.

        Returns:
            People by outcome. Sending again sends nobody anything twice.

        Raises:
            PlanError: As of the past, to real people; or the plan is not approved, or not the one approved.
            ConfigurationError: The channel is not set up right; nobody is left out.
            ChannelError: The provider cannot be reached; send again later.
        """
        space, name = self.workspace, self.definition.campaign_id
        chosen = self._providers()
        # A tick asks for the audience as of this instant, which is past when it is sent; its clock is the present.
        clock = space.moment(now) or (space.moment(as_of) if occurrence is None else None)
        real = next((one for one in chosen if not one.past), None)
        if clock and clock < datetime.now(UTC) and real is not None:
            raise PlanError(
                f"{real.name} cannot send as of the past", where=name, hint="leave out the time, or use the outbox"
            )
        planned = self._approved(approve, as_of, now, occurrence)
        # The run itself last: while it has not begun, whoever goes on after a kill begins with the others.
        done, wrong = [], None
        with stopping(space.stop) as stop:
            for run in (*planned.runs[1:], planned.run):
                try:
                    done.append(deliver_run(space, run, now=clock, report=report, stop=stop))
                except (ChannelError, ConfigurationError) as error:  # one channel's fault does not stop the others
                    wrong = wrong or error
        if wrong is not None:
            raise wrong
        return done[-1].joined(done[:-1])

    @guarded(Right.SEND, "campaign.launch", keep=("approve",))
    def launch(self, now: Time = None, *, approve: str | None = None) -> OpenCampaign:
        """Let its schedule run, or go on after a pause; `engage worker` sends what falls due.

        Args:
            now: The clock: what fell due before is not sent.
            approve: The plan's id, needed when as many people as it has now need an approval. Later runs may be
                that large too; a larger one waits to be approved.

        Raises:
            PlanError: It was stopped, or is not approved.
        """
        name, settings = self.definition.campaign_id, self.workspace.settings
        clock = self.workspace.moment(now) or datetime.now(UTC)
        first = self.definition.launched_at is None or not self.definition.approved
        if first and approval_above(settings, real=self._reaches_people()) is not None:
            size: int | None = self._approved(approve, None, now, None).counts.send
        else:
            size = None
        changed = set_status(settings, name, CampaignStatus.SCHEDULED, now=clock, approved=size)
        self._each_run(resume)
        return OpenCampaign(self.workspace, changed)

    @guarded(Right.COMPOSE, "campaign.pause")
    def pause(self) -> OpenCampaign:
        """Let nothing more leave until it is launched again; senders at work stop within one commit."""
        changed = set_status(self.workspace.settings, self.definition.campaign_id, CampaignStatus.PAUSED)
        self._each_run(pause)
        return OpenCampaign(self.workspace, changed)

    @guarded(Right.COMPOSE, "campaign.stop")
    def stop(self) -> OpenCampaign:
        """End it for good: nothing more leaves, and what waits in the mailbox is taken back."""
        settings, name = self.workspace.settings, self.definition.campaign_id
        changed = set_status(settings, name, CampaignStatus.STOPPED)
        self._each_run(pause)
        if any(way.channel in PULLED_CHANNELS for way in self.definition.ways) and settings.mailbox.exists():
            with closing(Mailbox(settings.mailbox)) as mailbox:
                mailbox.withdraw(name, now=datetime.now(UTC))
        return OpenCampaign(self.workspace, changed)

    def _each_run(self, act: Callable[[Run, Ledger], bool]) -> None:
        with closing(open_ledger(self.workspace)) as ledger:
            for run in list_runs(self.workspace.settings):
                if run.campaign_id == self.definition.campaign_id:
                    act(run, ledger)

    def _approved(self, approve: str | None, as_of: Time, now: Time, occurrence: Occurrence | None) -> Plan:
        space, name = self.workspace, self.definition.campaign_id
        if approve is not None:
            due = occurrence.id if occurrence else "once"
            found = plan(
                space.engine, self.definition, as_of=space.moment(as_of), now=space.moment(now), occurrence=due
            )
            if found.plan_id != approve:
                hint = f"look at it, then approve {found.plan_id}"
                raise PlanError(f"plan {approve[:16]!r} is not the one there is", where=name, hint=hint)
            return found
        planned = self.plan(as_of, now, occurrence=occurrence)
        limit = approval_above(space.settings, real=self._reaches_people())
        size = planned.counts.send
        with closing(open_ledger(space)) as ledger:
            begun = any(ledger.run(run.run_id) is not None for run in planned.runs)
        allowed = max(limit or 0, self.definition.approved if occurrence else 0)
        if limit is not None and size > allowed and not begun:
            raise PlanError(
                f"{size:,} people are more than are sent to without approval",
                where=planned.run.run_id,
                hint=f"look at `engage campaign preview {name}`, then send with --approve {planned.plan_id}",
            )
        return planned

    def _provider(self) -> Provider:
        return run_provider(self.workspace, self.definition.channel, self.definition.provider)

    def _providers(self) -> list[Provider]:
        """Who sends on its channel, and on each of its fallbacks; all must be complete before anything leaves."""
        return [run_provider(self.workspace, way.channel, way.provider) for way in self.definition.ways]

    def _reaches_people(self) -> bool:
        return any(not one.past for one in self._providers())
