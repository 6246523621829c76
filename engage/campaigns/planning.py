"""Planning: who is to get what, decided in one SQL pass and frozen in a recipients file."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engage.campaigns.definition import Campaign
from engage.content.renderer import Renderer
from engage.errors import ContentError, PlanError
from engage.lake.runs import Run, discard_run, read_run, recipients_path, run_folder, write_run
from engage.lake.schema import RECIPIENTS
from engage.query.check import require_reproducible
from engage.query.engine import Engine
from engage.query.files import read_sql, with_literals
from engage.vocabulary import PULLED_CHANNELS, Channel

__all__ = ["Plan", "bucket", "plan", "renderers", "sample_messages"]

_DEVICE = "select user_id, arg_max(token, (updated_at, token)) as address from devices where channel = '{}' group by 1"
_ADDRESSES = {
    Channel.EMAIL: "select user_id, nullif(trim(email), '') as address from profiles",
    Channel.SMS: "select user_id, nullif(trim(phone), '') as address from profiles",
    Channel.PUSH: _DEVICE.format("push"),
    Channel.WEB_PUSH: _DEVICE.format("web_push"),
    **dict.fromkeys(
        (*PULLED_CHANNELS, Channel.WEBHOOK, Channel.FACEBOOK_AUDIENCE),
        "select user_id, user_id as address from everyone",
    ),
}
_QUERY = """
with everyone as (
    select distinct user_id::varchar as user_id from ({audience}) where user_id is not null
),
excluded as ({excluded}),
addresses as ({addresses}),
consent as (
    select user_id, not subscribed as has_left from consents where channel = $channel and topic = ''
),
suppressed as (
    select address as dead_address, reason as dead_reason from suppressions where channel = $channel
),
judged as (
    select
        everyone.user_id,
        addresses.address,
        case
            when excluded.user_id is not null then 'excluded_segment'
            when addresses.address is null then 'no_address'
            when not $transactional and coalesce(consent.has_left, false) then 'unsubscribed'
            when dead_address is not null and not ($transactional and dead_reason = 'unsubscribed') then 'suppressed'
        end as reason,
        {control} < $control as is_held_out,
        {variant} as variant_share,
        profiles.properties,
    from everyone
    left join excluded on excluded.user_id = everyone.user_id
    left join addresses on addresses.user_id = everyone.user_id
    left join suppressed on dead_address = {address_key}
    left join consent on consent.user_id = everyone.user_id
    left join profiles on profiles.user_id = everyone.user_id
),
planned as (
    select
        *,
        case when reason is not null then 'excluded' when is_held_out then 'held_out' else 'send' end as planned,
    from judged
)
select
    $run as run_id,
    row_number() over (order by planned <> 'send', planned, user_id) - 1 as seq,
    left(sha256(concat_ws(chr(31), $campaign, $run, user_id, $channel, '')), 32) as message_id,
    user_id,
    planned,
    reason,
    $channel as channel,
    case when planned = 'send' then {variants} end as variant,
    case when planned = 'send' then address end as address,
    null::timestamptz as send_at,
    case when planned = 'send' then
        json_object('user_id', user_id, 'profile', coalesce(properties, '{{}}')::json)::varchar
    end as context,
from planned
order by seq
"""


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


def _bucket_sql(salt: str) -> str:
    return f"(('0x' || left(sha256({salt} || ':' || everyone.user_id), 8))::ubigint / 4294967296.0)"


def plan(
    engine: Engine,
    campaign: Campaign,
    *,
    as_of: datetime | None = None,
    now: datetime | None = None,
    occurrence: str = "once",
    anew: bool = False,
) -> Plan:
    """Plan a run of a campaign.

    Args:
        engine: What answers.
        campaign: The campaign.
        as_of: Whom to reach as of then; None for now.
        now: The clock of the plan; `as_of`, or the present.
        occurrence: Names the run among the campaign's; a one-time campaign has one.
        anew: Nothing of the run was sent yet, so a plan that is there may be put aside.

    Returns:
        The plan. Planning a run again gives the one there is, unless `anew`.

    Raises:
        PlanError: The audience's SQL does not give users.
        ContentError: A template is wrong; it names file, line and variable.
        QueryError: The audience's SQL is wrong or not reproducible.
    """
    settings = engine.settings
    run_id = f"{campaign.campaign_id}-{occurrence}"
    renderers(campaign.channel, {variant.name: dict(variant.content) for variant in campaign.variants})
    if anew:
        discard_run(settings, run_id)
    if (run_folder(settings, run_id) / "run.json").exists():
        return Plan(read_run(settings, run_id), recipients_path(settings, run_id), is_new=False)
    clock = now or as_of or datetime.now(UTC)
    query, params = _statement(engine, campaign, run_id)
    run = Run(
        run_id=run_id,
        campaign_id=campaign.campaign_id,
        campaign_name=campaign.title,
        channel=campaign.channel,
        planned_at=clock,
        provider=campaign.provider,
        delivery_type=campaign.delivery_type,
        labels=campaign.labels,
        as_of=as_of or clock,
        content={variant.name: dict(variant.content) for variant in campaign.variants},
        throttle_per_second=campaign.throttle_per_second,
    )
    (settings.lake / ".staging").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.lake, prefix=".plan-") as folder:
        found, final = Path(folder) / "found.parquet", Path(folder) / "recipients.parquet"
        engine.copy(query, params, found, as_of=as_of or clock)
        _in_schema(found, final)
        run = write_run(settings, run, final)
    return Plan(run, recipients_path(settings, run_id), is_new=True)


def _in_schema(source: Path, target: Path) -> None:
    """The same rows in the recipients' schema, a row group at a time."""
    with pq.ParquetFile(source) as found, pq.ParquetWriter(target, RECIPIENTS, compression="zstd") as writer:
        for batch in found.iter_batches(50_000):
            table = pa.Table.from_batches([batch])
            writer.write_table(table.select(RECIPIENTS.names).cast(RECIPIENTS))


def _statement(engine: Engine, campaign: Campaign, run_id: str) -> tuple[str, dict[str, object]]:
    total = sum(variant.weight for variant in campaign.variants)
    share, cases = 0.0, []
    params: dict[str, object] = {
        "campaign": campaign.campaign_id,
        "run": run_id,
        "channel": campaign.channel,
        "control": campaign.control_percent / 100,
        "transactional": campaign.transactional,
    }
    for number, variant in enumerate(campaign.variants):
        share += variant.weight / total
        params[f"variant{number}"] = variant.name
        cases.append(f"when variant_share < {share!r} then $variant{number}")
    last = f"$variant{len(campaign.variants) - 1}"
    query = _QUERY.format(
        audience=_audience(engine, campaign),
        excluded=_excluded(engine, campaign),
        addresses=_ADDRESSES[Channel(campaign.channel)],
        address_key="lower(trim(addresses.address))" if campaign.channel == Channel.EMAIL else "addresses.address",
        control=_bucket_sql("'control:' || $campaign"),
        variant=_bucket_sql("'variant:' || $campaign"),
        variants=f"case {' '.join(cases)} else {last} end",
    )
    return query, params


def _audience(engine: Engine, campaign: Campaign) -> str:
    if campaign.segment:
        return _segment(engine, campaign.segment)
    if campaign.sql:
        where = campaign.folder / "campaign.toml"
        require_reproducible(campaign.sql, where)
        if "user_id" not in engine.columns(campaign.sql):
            raise PlanError("sql gives no column user_id", where=str(where), hint="select user_id from …")
        return campaign.sql.rstrip().rstrip(";") + "\n"
    return "select user_id from activity union select user_id from profiles"


def _excluded(engine: Engine, campaign: Campaign) -> str:
    parts = [f"select user_id::varchar as user_id from ({_segment(engine, name)})" for name in campaign.exclude]
    return " union ".join(parts) or "select null::varchar as user_id where false"


def _segment(engine: Engine, name: str) -> str:
    path = engine.settings.sql / "segments" / f"{name}.sql"
    if not path.is_file():
        raise PlanError(f"there is no segment {name!r}", where="campaign.toml", hint="see `engage segment list`")
    file = read_sql(path)
    require_reproducible(file.text, path)
    return with_literals(file.text.rstrip().rstrip(";"), file.params) + "\n"


def renderers(channel: str, content: dict[str, dict[str, Any]]) -> dict[str, Renderer]:
    """Compile each variant's content.

    Raises:
        ContentError: A field, template or variable is wrong.
    """
    return {variant: Renderer(channel, fields) for variant, fields in content.items()}


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
    shown: list[dict[str, Any]] = []
    for row in rows.to_pylist() if rows is not None else []:
        if row["planned"] != "send" or len(shown) == count:
            break
        base = {"user_id": row["user_id"], "address": row["address"], "variant": row["variant"]}
        try:
            context = json.loads(row["context"]) | {"message_id": row["message_id"]}
            shown.append(base | compiled[row["variant"] or ""].render(context))
        except ContentError as error:
            shown.append(base | {"error": str(error)})
    return shown
