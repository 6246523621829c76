"""A journey that can be checked, simulated, launched and watched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from engage.access.roles import Right
from engage.analysis.lift import Lift, lift
from engage.analysis.lift_result import LIFT_SCHEMA
from engage.campaigns.estimate import read_prices
from engage.errors import PlanError, UnknownCampaignError
from engage.journeys.advance import advance
from engage.journeys.definition import journey_from
from engage.journeys.files import journey_file, read_values, set_values
from engage.journeys.graph import Journey
from engage.journeys.migration import migrate
from engage.journeys.picture import mermaid
from engage.journeys.record import Record, Version, fingerprint
from engage.journeys.report import edge_counts, node_counts, path
from engage.journeys.simulation import Simulation, simulate
from engage.journeys.validation import Fault, check_journey
from engage.windows import parse_window
from engage.workspace.base import Base, Time
from engage.workspace.guarding import guarded
from engage.workspace.journey_tick import JourneyTicked, tick_journey

__all__ = ["OpenJourney"]


@dataclass(frozen=True, slots=True)
class OpenJourney:
    """A journey that can be checked, simulated, launched and watched.

    Args:
        workspace: Where it lies.
        definition: What its file says.
    """

    workspace: Base
    definition: Journey

    @property
    def record(self) -> Record:
        """Its moves, and what was decided about it."""
        return Record(self.workspace.settings, self.definition.journey_id)

    def values(self) -> dict[str, Any]:
        """What its file says, as TOML values."""
        return read_values(journey_file(self.workspace.settings, self.definition.journey_id))

    def as_drawn(self, values: Mapping[str, Any]) -> Journey:
        """It as other values than its file's would have it, not saved.

        Raises:
            ConfigurationError: They are not a journey's; it names the node and the key.
        """
        return journey_from(self.workspace.settings, self.definition.journey_id, values, self.definition.journey_id)

    def check(self, values: Mapping[str, Any] | None = None) -> list[Fault]:
        """Every fault; none when it may be launched.

        Args:
            values: What is drawn and not saved; its file by default.
        """
        return check_journey(self.workspace.engine, self.as_drawn(values) if values is not None else self.definition)

    def simulate(
        self, since: Time, until: Time, *, step: str | None = None, values: Mapping[str, Any] | None = None
    ) -> Simulation:
        """Run it over history; nothing is sent; see :func:`engage.journeys.simulation.simulate`.

        Args:
            since: From when.
            until: Until before when.
            step: How far each tick goes, such as "1 day"; matters for conditions on segments only.
            values: Another version of it, as TOML values: one that is drawn and not saved, or was published before.
        """
        begin, end = self.workspace.moment(since), self.workspace.moment(until)
        if begin is None or end is None or end <= begin:
            raise PlanError("the span has no length", where=self.definition.journey_id, hint="give from and to")
        length = parse_window(step) if step else None
        given = self.values() if values is None else values
        prices, _ = read_prices(self.workspace.settings)
        drawn = self.definition if values is None else self.as_drawn(values)
        return simulate(self.workspace.engine, drawn, given, begin, end, step=length, prices=prices)

    def version(self, number: int) -> dict[str, Any]:
        """A published version's file, as TOML values.

        Raises:
            PlanError: There is none of that number.
        """
        versions = {one.number: one.values for one in self.record.state().versions}
        if number not in versions:
            hint = f"there are {', '.join(map(str, versions))}" if versions else "it was never launched"
            raise PlanError(f"there is no version {number}", where=self.definition.journey_id, hint=hint)
        return versions[number]

    @guarded(Right.SEND, "journey.launch", keep=("inside",))
    def launch(self, now: Time = None, *, inside: str = "finish", to: str | None = None) -> OpenJourney:
        """Let people in, go on after a pause, or publish what was changed as a new version.

        Args:
            now: The clock.
            inside: What those inside an older version do: ``finish`` it, ``move`` to the same node of the new version
                (or to the node `to`), or ``leave``.
            to: The node they move to.

        Raises:
            PlanError: It has faults, was stopped, or people cannot move so.
        """
        name = self.definition.journey_id
        if faults := self.check():
            more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
            raise PlanError(
                f"{faults[0].node}: {faults[0].what}{more}", where=name, hint=f"engage journey check {name}"
            )
        if self.definition.status == "stopped":
            raise PlanError("was stopped", where=name, hint="make a copy under another name")
        if inside not in ("finish", "move", "leave"):
            raise PlanError(f"inside = {inside!r} is not known", where=name, hint="use finish, move or leave")
        clock = self.workspace.moment(now) or datetime.now(UTC)
        record = self.record
        with record.alone() as free:
            if not free:
                raise PlanError("is being ticked", where=name, hint="try again in a moment")
            state = record.state()
            if state.closed and state.closed[-1][1] is None:
                state.closed[-1] = (state.closed[-1][0], clock)
            values = self.values()
            if not state.versions or fingerprint(state.versions[-1].values) != fingerprint(values):
                advance(self.workspace.engine, record, state, clock)
                state.versions.append(Version(len(state.versions) + 1, clock, values))
                state.launched_at = state.launched_at or clock
                record.save(state)
                if inside != "finish" and len(state.versions) > 1:
                    migrate(self.workspace.engine, record, self.definition, state, clock, inside=inside, to=to)
            record.save(state)
        return OpenJourney(self.workspace, set_values(self.workspace.settings, name, status="running"))

    @guarded(Right.COMPOSE, "journey.pause")
    def pause(self, now: Time = None) -> OpenJourney:
        """Let nobody in and nothing happen until it is launched again; waits go on meanwhile."""
        clock = self.workspace.moment(now) or datetime.now(UTC)
        state = self.record.state()
        if state.launched_at is None:
            raise PlanError("was never launched", where=self.definition.journey_id)
        if not state.closed or state.closed[-1][1] is not None:
            state.closed.append((clock, None))
            self.record.save(state)
        return OpenJourney(
            self.workspace, set_values(self.workspace.settings, self.definition.journey_id, status="paused")
        )

    @guarded(Right.COMPOSE, "journey.stop")
    def stop(self) -> OpenJourney:
        """End it for good: nobody moves any more, nothing more leaves."""
        return OpenJourney(
            self.workspace, set_values(self.workspace.settings, self.definition.journey_id, status="stopped")
        )

    def status(self, as_of: Time = None) -> pl.DataFrame:
        """People at each node; see :func:`engage.journeys.report.node_counts`."""
        return node_counts(self.workspace.engine, self.record.moves(), as_of=self.workspace.moment(as_of))

    def edges(self, as_of: Time = None) -> pl.DataFrame:
        """Walks along each way; see :func:`engage.journeys.report.edge_counts`."""
        return edge_counts(self.workspace.engine, self.record.moves(), as_of=self.workspace.moment(as_of))

    @guarded(Right.ANALYSE)
    def path(self, user_id: str) -> pl.DataFrame:
        """One person's walks; see :func:`engage.journeys.report.path`."""
        return path(self.workspace.engine, self.record.moves(), user_id)

    def lift(self, as_of: Time = None, *, version: int | None = None) -> Lift:
        """What it caused, its people against its control group, by its goal.

        Args:
            as_of: As of then.
            version: Only what this version sent or held out; of who was moved on to it too, from there on.

        Raises:
            UnknownCampaignError: Nobody was sent or held out of a message of it.
        """
        days = max(1, round(self.definition.goal.within.total_seconds() / 86_400))
        return lift(
            self.workspace.engine,
            self.definition.journey_id,
            "conversion",
            f"{days} days",
            self.workspace.moment(as_of),
            goal=self.definition.goal.event,
            control_share=self.definition.control_percent / 100 or None,
            runs=None if version is None else rf"-{version}x\d+T\d+x\d+T\d+",
        )

    def lifts(self, as_of: Time = None) -> pl.DataFrame:
        """What it caused, and what each of its versions did.

        Returns:
            `version` (``all`` or its number), then the fields of :class:`engage.analysis.lift_result.Lift`; one row a
            version that sent or held out something, all together first. Empty where none did.
        """
        found = []
        for version in (None, *(one.number for one in self.record.state().versions)):
            try:
                frame = self.lift(as_of, version=version).frame()
            except UnknownCampaignError:
                continue
            named = pl.lit("all" if version is None else str(version)).alias("version")
            found.append(frame.select(named, pl.all()))
        return pl.concat(found) if found else pl.DataFrame(schema={"version": pl.String, **LIFT_SCHEMA})

    def inside(self, to: str | None = None) -> pl.DataFrame:
        """Who is inside, and where publishing what the file says now would move them; see :meth:`launch`.

        Args:
            to: The node all would move to; None for the one of the same name.

        Returns:
            `version`, `node`, `people` (walks that wait there), `moves_to` (null for those who would leave); one row a
            version and node.
        """
        target = pl.lit(to, pl.String) if to else pl.col("node")
        nodes = list(self.definition.nodes)
        return (
            self.status()
            .filter(pl.col("waiting") > 0)
            .select(
                "version",
                "node",
                pl.col("waiting").alias("people"),
                pl.when(target.is_in(nodes)).then(target).alias("moves_to"),
            )
        )

    def picture(self, as_of: Time = None) -> str:
        """It as a Mermaid flowchart, with counts once it was launched."""
        counts = self.status(as_of).group_by("node").agg(pl.col("entered").sum())
        return mermaid(self.definition, dict(counts.rows()) if counts.height else None)

    @guarded(Right.SEND)
    def tick(self, now: Time = None) -> JourneyTicked:
        """Bring it up to now; see :func:`engage.workspace.journey_tick.tick_journey`."""
        return tick_journey(self.workspace, self.definition, now)
