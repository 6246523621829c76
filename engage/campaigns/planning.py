"""Planning: who is to get what, decided in one SQL pass and frozen in a recipients file."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engage.campaigns.attachments import freeze_attachments
from engage.campaigns.campaign import Campaign
from engage.campaigns.connected import Fetcher
from engage.campaigns.schedule import Occurrence
from engage.campaigns.statement import UNREACHED, statement
from engage.campaigns.winner import best_variant
from engage.content.localised import make_renderer
from engage.lake.runs import Counts, Run, discard_run, read_run, recipients_path, run_folder, write_run
from engage.lake.schema import RECIPIENTS
from engage.query.engine import Engine
from engage.query.files import literal
from engage.settings import Settings
from engage.vocabulary import Channel

__all__ = ["Plan", "bucket", "enricher", "frozen_run", "plan", "planned_before", "to_recipients", "unreached"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A run that was planned: what will be sent, to be looked at before it is.

    Args:
        run: What was frozen; its `counts` say how its people were split.
        path: The recipients file.
        is_new: It was planned just now; False when the run was there already.
        others: Plans for those whom another channel is to reach (``[[fallback]]``); each person is in one of all.
    """

    run: Run
    path: Path
    is_new: bool
    others: tuple[Plan, ...] = ()

    @property
    def runs(self) -> tuple[Run, ...]:
        """Its run, and those on other channels."""
        return (self.run, *(other.run for other in self.others))

    @property
    def counts(self) -> Counts:
        """How the whole audience was split, over all channels."""
        excluded: Counter[str] = Counter()
        for run in self.runs:
            excluded.update(run.counts.excluded)
        send, held_out = (sum(getattr(run.counts, name) for run in self.runs) for name in ("send", "held_out"))
        return Counts(send, held_out, dict(sorted(excluded.items())))

    @property
    def plan_id(self) -> str:
        """What approves exactly this plan: the beginning of the recipients files' sha256."""
        if not self.others:
            return self.run.recipients_sha256[:12]
        return hashlib.sha256(" ".join(run.recipients_sha256 for run in self.runs).encode()).hexdigest()[:12]


def bucket(salt: str, user_id: str) -> float:
    """Where a user falls in a split, from 0 to 1: the same in SQL, in Python and in any other engine.

    Args:
        salt: Names the split; different splits are independent.
        user_id: The user.

    Returns:
        The first 32 bits of SHA-256 of ``salt:user_id``, divided by 2³².
    """
    return int(hashlib.sha256(f"{salt}:{user_id}".encode()).hexdigest()[:8], 16) / 2**32


def plan(
    engine: Engine,
    campaign: Campaign,
    *,
    as_of: datetime | None = None,
    now: datetime | None = None,
    occurrence: Occurrence | str = "once",
    anew: bool = False,
) -> Plan:
    """Plan a run of a campaign.

    Args:
        engine: What answers.
        campaign: The campaign.
        as_of: Whom to reach as of then; None for now.
        now: The clock of the plan; `as_of`, or the present.
        occurrence: The time it is due, or only a name: it names the run among the campaign's.
        anew: Nothing of the run was sent yet, so a plan that is there may be put aside.

    Returns:
        The plan. Planning a run again gives the one there is, unless `anew`.

    Raises:
        PlanError: The audience's SQL does not give users.
        ContentError: A template is wrong; it names file, line and variable.
        QueryError: The audience's SQL is wrong or not reproducible.
    """
    settings = engine.settings
    name = occurrence if isinstance(occurrence, str) else occurrence.id
    run_id = f"{campaign.campaign_id}-{name}"
    for one in campaign.ways:
        for variant in one.variants:
            make_renderer(one.channel, dict(variant.content))
    if anew:
        _discard(settings, run_id)
    if (run_folder(settings, run_id) / "run.json").exists():
        return planned_before(settings, run_id)
    _discard(settings, run_id)  # what a plan that was cut off had written already
    clock = now or as_of or datetime.now(UTC)
    due = Occurrence(name, clock) if isinstance(occurrence, str) else occurrence
    options: dict[str, Any] = {"until": due.until.isoformat()} if due.until else {}
    share = (0.0, 1.0)
    if campaign.winner and due.part:
        cut = campaign.winner.sample_percent / 100
        share = (0.0, cut) if due.part == "sample" else (cut, 1.0)
        if due.part == "rest":
            best = best_variant(engine, campaign, run_id.removesuffix("-rest"), as_of=as_of or clock)
            campaign = replace(campaign, variants=tuple(v for v in campaign.variants if v.name == best))
            options["winner"] = best
    query, params = statement(engine, campaign, run_id, due, clock, share)
    (settings.lake / ".staging").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.lake, prefix=".plan-") as folder:
        found = Path(folder) / "found.parquet"
        engine.copy(query, params, found, as_of=as_of or clock)
        enrich, others, taken = enricher(settings, campaign), [], pa.array([], pa.string())
        left = found
        for n, other in enumerate(campaign.fallback):
            among = unreached(left)
            left = Path(folder) / f"found{n}.parquet"
            part = f"{run_id}-{other.channel}"
            query, params = statement(engine, other, part, due, clock, people=among)
            engine.copy(query, params, left, as_of=as_of or clock)
            final = Path(folder) / f"recipients{n}.parquet"
            to_recipients(left, final, enrich, _reached)
            users = pq.read_table(final, columns=["user_id"])["user_id"].combine_chunks()
            if len(users):
                run = frozen_run(settings, other, part, clock, as_of or clock, {"fallback_of": run_id})
                run = write_run(settings, run, final)
                others.append(Plan(run, recipients_path(settings, part), is_new=True))
                taken = pa.concat_arrays([taken, users])
        final = Path(folder) / "recipients.parquet"
        to_recipients(
            found, final, enrich, (lambda table: pc.invert(pc.is_in(table["user_id"], taken))) if others else None
        )
        if campaign.fallback:
            options["fallback"] = [
                {"channel": other.channel, "provider": other.provider, "content": dict(other.variants[0].content)}
                for other in campaign.fallback
            ]
            options["others"] = [other.run.run_id for other in others]
        # Last, so that a plan that is cut off is made anew, and never one of its parts sent without the others.
        run = write_run(settings, frozen_run(settings, campaign, run_id, clock, as_of or clock, options), final)
    return Plan(run, recipients_path(settings, run_id), True, tuple(others))


def planned_before(settings: Settings, run_id: str) -> Plan:
    """A plan that is there, with its parts on other channels.

    Raises:
        PlanError: There is no such run.
    """
    run = read_run(settings, run_id)
    others = [read_run(settings, other) for other in run.options.get("others", ())]
    parts = tuple(Plan(one, recipients_path(settings, one.run_id), is_new=False) for one in others)
    return Plan(run, recipients_path(settings, run_id), False, parts)


def _discard(settings: Settings, run_id: str) -> None:
    """Put aside the plan of a run and of its parts, the run first: without it the parts are nobody's."""
    discard_run(settings, run_id)
    for channel in Channel:
        part = f"{run_id}-{channel}"
        there = (run_folder(settings, part) / "run.json").exists()
        if there and read_run(settings, part).options.get("fallback_of") == run_id:
            discard_run(settings, part)


def unreached(found: Path) -> str:
    """SQL of the people of a plan whom its channel does not reach or may not, with what triggered it."""
    return f"select user_id, event from read_parquet({literal(str(found))}) where reason in {UNREACHED}"


def frozen_run(
    settings: Settings, campaign: Campaign, run_id: str, clock: datetime, as_of: datetime, options: dict[str, Any]
) -> Run:
    """What is frozen of a campaign with a run of it.

    Args:
        settings: The workspace.
        campaign: The campaign, on the run's channel.
        run_id: The run.
        clock: When it is planned.
        as_of: As of when its people were asked for.
        options: What else is kept with it.
    """
    if campaign.transactional:
        options = {**options, "transactional": True}
    tracking = campaign.tracking.options(settings)
    if tracking["url"] or tracking["utm"]:
        options = {**options, "tracking": tracking}
    return Run(
        run_id=run_id,
        campaign_id=campaign.campaign_id,
        campaign_name=campaign.title,
        channel=campaign.channel,
        planned_at=clock,
        provider=campaign.provider,
        delivery_type=campaign.delivery_type,
        labels=campaign.labels,
        journey_id=campaign.journey_id,
        as_of=as_of,
        content={v.name: freeze_attachments(settings, v.content, campaign.folder) for v in campaign.variants},
        throttle_per_second=campaign.throttle_per_second,
        start_at=campaign.start,
        end_at=campaign.end,
        options=options,
    )


def enricher(settings: Settings, campaign: Campaign) -> Callable[[list[dict[str, Any]]], None] | None:
    """What puts connected content into people's contexts; None where the campaign has none."""
    if not campaign.connected:
        return None
    fetcher = Fetcher(allow_private=settings.options.get("connected_allow_private") is True)
    return lambda contexts: fetcher.add(campaign.connected, contexts)


def _enriched(table: pa.Table, enrich: Callable[[list[dict[str, Any]]], None]) -> pa.Table:
    texts = table["context"].to_pylist()
    contexts = [json.loads(text) for text in texts if text is not None]
    enrich(contexts)
    filled = iter(contexts)
    changed = [None if text is None else json.dumps(next(filled), ensure_ascii=False) for text in texts]
    return table.set_column(table.column_names.index("context"), "context", pa.array(changed, pa.string()))


Keep = Callable[[pa.Table], pa.ChunkedArray]
"""Which rows of a statement are kept: a mask."""


def to_recipients(
    source: Path, target: Path, enrich: Callable[[list[dict[str, Any]]], None] | None, keep: Keep | None = None
) -> None:
    """Write a statement's rows in the recipients' schema, numbered and with connected content, a row group at a time.

    Args:
        source: The statement's rows.
        target: The recipients file.
        enrich: Puts connected content in.
        keep: Which of them; all by default.
    """
    seq = 0
    with pq.ParquetFile(source) as found, pq.ParquetWriter(target, RECIPIENTS, compression="zstd") as writer:
        for batch in found.iter_batches(50_000):
            table = pa.Table.from_batches([batch])
            if keep is not None:
                table = table.filter(keep(table))
            numbers = pa.array(range(seq, seq + table.num_rows), pa.int64())
            table = table.append_column("seq", numbers)
            seq += table.num_rows
            if enrich:
                table = _enriched(table, enrich)
            writer.write_table(table.select(RECIPIENTS.names).cast(RECIPIENTS))


def _reached(table: pa.Table) -> pa.ChunkedArray:
    return pc.invert(pc.is_in(table["reason"], pa.array(UNREACHED)))
