"""Whom a simulated journey would have sent what: consent, addresses, control groups, caps and quiet hours are asked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path

import polars as pl

from engage.analysis.events import Binder
from engage.campaigns.campaign import Campaign
from engage.campaigns.limits import PERIODS, Cap, relevant_caps
from engage.campaigns.schedule import Occurrence
from engage.campaigns.send_times import quiet_sql, zone_sql
from engage.campaigns.statement import UNREACHED, statement
from engage.journeys.graph import Journey
from engage.journeys.messages import message_campaign
from engage.query.engine import Engine
from engage.query.files import literal

__all__ = ["simulated_recipients"]

_TIMED = """
with {more}
judged as (
    select
        moved.user_id, moved.entered_at, moved.entry_at, moved.seq,
        greatest(moved.entered_at, $start_at::timestamptz) as send_at,
        found.planned, found.reason as own_reason, null::varchar as reason, {zone} as zone
    from ({moves}) as moved
    join read_parquet({found}) as found on found.user_id = moved.user_id
    {joins}
    where moved.node = {node} and {mine}
)
select
    {node} as node, {channel} as channel, user_id, entered_at, entry_at, seq, send_at, planned, own_reason,
    case when reason is not null then reason when send_at >= $end_at::timestamptz then 'after_end' end as late_reason,
from ({timed})
"""
_CROWDED = """
with messages as (
    select user_id, entered_at as moment, true as is_own from read_parquet({own}) where own_reason is null
    union all
    select user_id, event_time, false from ({others})
),
counted as (
    select user_id, is_own, {counts} from messages
)
select distinct user_id from counted where is_own and ({crowded})
"""
_ORDER = ("user_id", "entered_at", "node", "entry_at", "seq")  # a tick sends its messages in the order of their names


@dataclass(frozen=True, slots=True)
class _Sent:
    at: datetime
    channel: str
    labels: frozenset[str]


def simulated_recipients(
    engine: Engine, journey: Journey, moves: str, span: tuple[datetime, datetime], folder: Path
) -> pl.DataFrame:
    """Plan every message of a simulated journey as its tick would have, without writing anything of it.

    Consent, addresses, suppressions, excluded segments and control groups are asked as of the end of the span, as a
    plan of a campaign asks them; on the channels of ``[[fallback]]`` of whom the first does not reach. Caps count what
    the journey would have sent a person before, and what other campaigns did send; quiet hours are those of the
    moment a message is reached.

    Args:
        engine: What answers.
        journey: Whose messages.
        moves: SQL of its moves.
        span: From when until before when they are.
        folder: For files in between, inside the lake.

    Returns:
        `node`, `channel`, `user_id`, `entered_at` (when they reached the node), `send_at`, `planned` (``send``,
        ``held_out`` or ``excluded``) and `reason` as in a plan; one row a message, by time.

    Raises:
        ConfigurationError: A message is not a campaign's; it names the node.
    """
    reached = set(engine.frame(f"select distinct node from ({moves})")["node"])
    parts, caps, labels = [], {}, {}
    for number, node in enumerate(node for node in journey.messages.values() if node.id in reached):
        campaign = message_campaign(engine.settings, journey, node, span)
        labels[node.id] = frozenset(label.lower() for label in campaign.labels)
        for way in campaign.ways:
            own = () if way.transactional else relevant_caps(engine.settings, way.caps, way.channel, way.labels)
            caps[node.id, way.channel] = own
        parts += _planned(engine, campaign, node.id, moves, span[1], folder, number)
    if not parts:
        return pl.DataFrame(schema=_SCHEMA)
    found = pl.concat(parts)
    every = {cap for own in caps.values() for cap in own}
    if every:
        found = found.sort(_ORDER)
    capped = _capped(engine, journey.journey_id, found, every, caps, labels, span, folder) if every else None
    found = found.with_columns(pl.lit(capped, pl.String).alias("cap_reason"))
    reason = pl.coalesce("own_reason", "cap_reason", "late_reason")
    held = pl.when(pl.col("planned") == "held_out").then(pl.col("held_reason"))
    return (
        found.with_columns(
            pl.when(reason.is_not_null()).then(pl.lit("excluded")).otherwise("planned").alias("planned"),
            pl.coalesce(reason, held).alias("reason"),
        )
        .sort("entered_at", "user_id", "entry_at", "seq")
        .select(list(_SCHEMA))
    )


_SCHEMA = pl.Schema(
    {
        "node": pl.String(),
        "channel": pl.String(),
        "user_id": pl.String(),
        "entered_at": pl.Datetime("us", "UTC"),
        "send_at": pl.Datetime("us", "UTC"),
        "planned": pl.String(),
        "reason": pl.String(),
    }
)


def _planned(
    engine: Engine, campaign: Campaign, node: str, moves: str, until: datetime, folder: Path, number: int
) -> list[pl.DataFrame]:
    """What does not depend on what was sent before: one frame a channel, of those it is for."""
    people = f"select distinct user_id, null::varchar as event from ({moves}) where node = {literal(node)}"
    files = []
    for n, way in enumerate(campaign.ways):
        run = f"{campaign.campaign_id}-{node}"
        asked = replace(way, context_sql=None, connected=(), fallback=(), start=None, end=None)
        query, params = statement(engine, asked, run, Occurrence(run, until), until, people=people, timed=False)
        files.append(folder / f"message-{number}-{n}.parquet")
        engine.copy(f"select user_id, planned, reason from ({query})", params, files[-1], as_of=until)
        people = (
            f"select user_id, null::varchar as event from read_parquet({literal(str(files[-1]))}) "
            f"where reason in {UNREACHED}"
        )
    taken = "".join(
        f" and moved.user_id not in (select user_id from read_parquet({literal(str(file))}) "
        f"where reason is null or reason not in {UNREACHED})"
        for file in files[1:]
    )
    return [
        _timed(
            engine,
            way,
            node,
            moves,
            file,
            f"true{taken}" if n == 0 else f"(found.reason is null or found.reason not in {UNREACHED})",
            until,
        )
        for n, (way, file) in enumerate(zip(campaign.ways, files, strict=True))
    ]


def _timed(
    engine: Engine, way: Campaign, node: str, moves: str, file: Path, mine: str, until: datetime
) -> pl.DataFrame:
    binder = Binder()
    more: list[tuple[str, str]] = []
    joins: list[str] = []
    quiet = None if way.transactional else way.quiet_hours
    zone = "null::varchar"
    if quiet:
        joins.append("left join profiles on profiles.user_id = moved.user_id")
        zone = zone_sql(engine.settings.timezone, more, joins)
    query = _TIMED.format(
        more=" ".join(f"{name} as ({sql})," for name, sql in more),
        zone=zone,
        moves=moves,
        found=literal(str(file)),
        joins=" ".join(joins),
        node=literal(node),
        channel=literal(way.channel),
        mine=mine,
        timed=quiet_sql(quiet, binder) if quiet else "select * from judged",
    )
    params = {**binder.params, "start_at": way.start, "end_at": way.end, "at": until}
    used = engine.parameters(query)
    found = engine.frame(query, {name: value for name, value in params.items() if name in used}, as_of=until)
    # A plan says of whom another group holds out why: that is no reason to leave them out.
    held = pl.col("planned") == "held_out"
    return found.with_columns(
        pl.when(held).then("own_reason").alias("held_reason"), pl.when(~held).then("own_reason").alias("own_reason")
    )


def _capped(
    engine: Engine,
    journey_id: str,
    found: pl.DataFrame,
    every: Collection[Cap],
    caps: Mapping[tuple[str, str], tuple[Cap, ...]],
    labels: Mapping[str, frozenset[str]],
    span: tuple[datetime, datetime],
    folder: Path,
) -> pl.Series:
    """Which cap stops each message; null where none does."""
    longest = timedelta(seconds=max(PERIODS[cap.period] for cap in every))
    others = (
        "select user_id, event_time, channel, labels from notifications where event_name = 'Notification Sent' "
        f"and campaign_id is distinct from {literal(journey_id)} "
        f"and event_time > {literal(span[0] - longest)} and event_time <= {literal(span[1])}"
    )
    crowded = _crowded(engine, found, every, others, folder)
    sent: dict[str, list[_Sent]] = {}
    if len(crowded):
        crowd = folder / "crowded.parquet"
        crowded.to_frame("user_id").write_parquet(crowd)
        rows = engine.frame(f"{others} and user_id in (select user_id from read_parquet({literal(str(crowd))}))")
        for user, at, channel, worn in rows.iter_rows():
            sent.setdefault(user, []).append(_Sent(at, channel, frozenset(label.lower() for label in worn or ())))
    numbered = found.with_row_index("row")
    picked = numbered.join(crowded.to_frame("user_id"), on="user_id", how="semi", maintain_order="left")
    picked = picked.filter(pl.col("own_reason").is_null())
    columns = picked.select("user_id", "row", "node", "channel", "entered_at", "send_at", "planned", "late_reason")
    reasons: dict[int, str] = {}
    for user, messages in groupby(columns.iter_rows(), key=lambda row: row[0]):
        reasons |= _of_one(messages, sent.get(user, []), caps, labels)
    given = pl.DataFrame(
        {"row": list(reasons), "cap_reason": list(reasons.values())}, schema={"row": pl.UInt32, "cap_reason": pl.String}
    )
    return numbered.join(given, on="row", how="left", maintain_order="left")["cap_reason"]


def _crowded(engine: Engine, found: pl.DataFrame, caps: Iterable[Cap], others: str, folder: Path) -> pl.Series:
    """Users who get enough messages close together that a cap may matter; only they are gone through one by one."""
    least: dict[str, int] = {}
    for cap in caps:
        least[cap.period] = min(cap.most, least.get(cap.period, cap.most))
    # A message counts from when it leaves, which quiet hours may put off: the span looked at is longer by that.
    put_off = found.select((pl.col("send_at") - pl.col("entered_at")).dt.total_microseconds().max()).item() or 0
    counts = ", ".join(
        "count(*) over (partition by user_id order by moment range between "
        f"to_microseconds({PERIODS[period] * 1_000_000 + put_off}) preceding and current row) as {period}s"
        for period in least
    )
    own = folder / "messages.parquet"
    found.select("user_id", "entered_at", "own_reason").write_parquet(own)
    many = " or ".join(f"{period}s > {most}" for period, most in least.items())
    query = _CROWDED.format(own=literal(str(own)), others=others, counts=counts, crowded=many)
    return engine.frame(query)["user_id"]


def _of_one(
    messages: Iterable[tuple[str, int, str, str, datetime, datetime, str, str | None]],
    others: Sequence[_Sent],
    caps: Mapping[tuple[str, str], tuple[Cap, ...]],
    labels: Mapping[str, frozenset[str]],
) -> dict[int, str]:
    """One person's messages in turn: each counts against those after it, if it is sent."""
    reasons: dict[int, str] = {}
    before = list(others)
    for _, row, node, channel, at, send_at, planned, late in messages:
        for cap in caps[node, channel]:
            begin = at - timedelta(seconds=PERIODS[cap.period])
            if sum(begin < one.at <= at and _counts(cap, one) for one in before) >= cap.most:
                reasons[row] = cap.reason
                break
        else:
            if planned == "send" and late is None:
                before.append(_Sent(send_at, channel, labels[node]))
    return reasons


def _counts(cap: Cap, sent: _Sent) -> bool:
    if cap.scope == "channel":
        return sent.channel == cap.name
    return cap.scope != "label" or cap.name.lower() in sent.labels
