"""Planning: who is to get what, decided in one SQL pass and frozen in a recipients file."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engage.campaigns.campaign import Campaign
from engage.campaigns.connected import Fetcher
from engage.campaigns.schedule import Occurrence
from engage.campaigns.statement import statement
from engage.campaigns.tracking import public_url
from engage.campaigns.winner import best_variant
from engage.content.localised import make_renderer
from engage.errors import ContentError, PlanError
from engage.lake.runs import Run, discard_run, read_run, recipients_path, run_folder, write_run
from engage.lake.schema import RECIPIENTS
from engage.query.engine import Engine
from engage.settings import Settings

__all__ = ["Plan", "bucket", "plan", "preview_for", "renderers", "sample_messages"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A run that was planned: what will be sent, to be looked at before it is.

    Args:
        run: What was frozen; its `counts` say how the audience was split.
        path: The recipients file.
        is_new: It was planned just now; False when the run was there already.
    """

    run: Run
    path: Path
    is_new: bool

    @property
    def plan_id(self) -> str:
        """What approves exactly this plan: the beginning of the recipients file's sha256."""
        return self.run.recipients_sha256[:12]


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
    renderers(campaign.channel, {variant.name: dict(variant.content) for variant in campaign.variants})
    if anew:
        discard_run(settings, run_id)
    if (run_folder(settings, run_id) / "run.json").exists():
        return Plan(read_run(settings, run_id), recipients_path(settings, run_id), is_new=False)
    clock = now or as_of or datetime.now(UTC)
    due = Occurrence(name, clock) if isinstance(occurrence, str) else occurrence
    options: dict[str, Any] = {"until": due.until.isoformat()} if due.until else {}
    if campaign.transactional:
        options["transactional"] = True
    tracking = campaign.tracking.options(settings)
    if tracking["url"] or tracking["utm"]:
        options["tracking"] = tracking
    share = (0.0, 1.0)
    if campaign.winner and due.part:
        cut = campaign.winner.sample_percent / 100
        share = (0.0, cut) if due.part == "sample" else (cut, 1.0)
        if due.part == "rest":
            best = best_variant(engine, campaign, run_id.removesuffix("-rest"), as_of=as_of or clock)
            campaign = replace(campaign, variants=tuple(v for v in campaign.variants if v.name == best))
            options["winner"] = best
    query, params = statement(engine, campaign, run_id, due, clock, share)
    run = Run(
        run_id=run_id,
        campaign_id=campaign.campaign_id,
        campaign_name=campaign.title,
        channel=campaign.channel,
        planned_at=clock,
        provider=campaign.provider,
        delivery_type=campaign.delivery_type,
        labels=campaign.labels,
        journey_id=campaign.journey_id,
        as_of=as_of or clock,
        content={variant.name: dict(variant.content) for variant in campaign.variants},
        throttle_per_second=campaign.throttle_per_second,
        start_at=campaign.start,
        end_at=campaign.end,
        options=options,
    )
    (settings.lake / ".staging").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.lake, prefix=".plan-") as folder:
        found, final = Path(folder) / "found.parquet", Path(folder) / "recipients.parquet"
        engine.copy(query, params, found, as_of=as_of or clock)
        _in_schema(found, final, _enricher(settings, campaign))
        run = write_run(settings, run, final)
    return Plan(run, recipients_path(settings, run_id), is_new=True)


def _enricher(settings: Settings, campaign: Campaign) -> Callable[[list[dict[str, Any]]], None] | None:
    """What puts connected content into contexts, where the campaign has any."""
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


def _in_schema(source: Path, target: Path, enrich: Callable[[list[dict[str, Any]]], None] | None) -> None:
    """The same rows in the recipients' schema, numbered and with connected content, a row group at a time."""
    seq = 0
    with pq.ParquetFile(source) as found, pq.ParquetWriter(target, RECIPIENTS, compression="zstd") as writer:
        for batch in found.iter_batches(50_000):
            numbers = pa.array(range(seq, seq + batch.num_rows), pa.int64())
            table = pa.Table.from_batches([batch]).append_column("seq", numbers)
            seq += batch.num_rows
            if enrich:
                table = _enriched(table, enrich)
            writer.write_table(table.select(RECIPIENTS.names).cast(RECIPIENTS))


def renderers(channel: str, content: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Compile each variant's content.

    Raises:
        ContentError: A field, template or variable is wrong.
    """
    return {variant: make_renderer(channel, fields) for variant, fields in content.items()}


def sample_messages(planned: Plan, count: int = 10) -> list[dict[str, Any]]:
    """The first messages of a plan, rendered.

    Args:
        planned: The plan.
        count: How many.

    Returns:
        `user_id`, `address`, `variant` and the rendered fields, or an `error`; one dict a person.
    """
    compiled = renderers(planned.run.channel, {name: dict(fields) for name, fields in planned.run.content.items()})
    with pq.ParquetFile(planned.path) as file:
        rows = next(file.iter_batches(max(count, 1)), None)
    links = _preview_links(planned.run.options.get("tracking", {}).get("url", ""))
    shown: list[dict[str, Any]] = []
    for row in rows.to_pylist() if rows is not None else []:
        if row["planned"] != "send" or len(shown) == count:
            break
        base = {"user_id": row["user_id"], "address": row["address"], "variant": row["variant"]}
        try:
            context = json.loads(row["context"]) | {"message_id": row["message_id"]} | links
            shown.append(base | compiled[row["variant"] or ""].render(context))
        except ContentError as error:
            shown.append(base | {"error": str(error)})
    return shown


def preview_for(
    engine: Engine, campaign: Campaign, user_id: str, *, as_of: datetime | None = None
) -> list[dict[str, Any]]:
    """A campaign's message for one real person, in every variant, whether or not they are in its audience.

    Args:
        engine: What answers.
        campaign: The campaign.
        user_id: The person.
        as_of: As of then.

    Returns:
        `user_id`, `address`, `variant` and the rendered fields, or an `error`; one dict a variant.

    Raises:
        PlanError: Nothing is known of the person.
    """
    profile = engine.frame(
        "select properties, email, phone from profiles where user_id = $user", {"user": user_id}, as_of=as_of
    )
    if profile.is_empty():
        raise PlanError(f"nothing is known of user {user_id!r}", where=campaign.campaign_id, hint="see profiles")
    properties, email, phone = profile.row(0)
    context: dict[str, Any] = {"user_id": user_id, "profile": json.loads(properties or "{}"), "message_id": "preview"}
    context |= _preview_links(public_url(engine.settings))
    if campaign.context_sql:
        body = campaign.context_sql.rstrip().rstrip(";")
        query = f"select to_json(detail)::varchar as data from (\n{body}\n) as detail where user_id::varchar = $user"
        rows = engine.frame(query, {"user": user_id}, as_of=as_of)
        context["data"] = json.loads(rows.item(0, 0)) if rows.height else {}
    if campaign.schedule.event is not None:
        context["event"] = {}
    if enrich := _enricher(engine.settings, campaign):
        enrich([context])
    base = {"user_id": user_id, "address": {"email": email, "sms": phone}.get(campaign.channel, user_id)}
    shown: list[dict[str, Any]] = []
    for variant, renderer in renderers(campaign.channel, {v.name: dict(v.content) for v in campaign.variants}).items():
        try:
            shown.append(base | {"variant": variant} | renderer.render(context))
        except ContentError as error:
            shown.append(base | {"variant": variant, "error": str(error)})
    return shown


def _preview_links(url: str) -> dict[str, str]:
    """Addresses that look like those of a sent message, and do nothing."""
    return {"unsubscribe_url": f"{url}/u/preview", "preferences_url": f"{url}/p/preview"} if url else {}
