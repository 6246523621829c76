"""The one SQL pass of a plan: who qualifies, who is left out and why, who is held out, what each is sent and when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from engage.analysis.events import Binder
from engage.campaigns.audience import bucket_sql, everyone_sql, excluded_sql
from engage.campaigns.campaign import Campaign
from engage.campaigns.limits import PERIODS, Cap, global_control, relevant_caps
from engage.campaigns.reach import reached_at, written_sql
from engage.campaigns.schedule import Occurrence
from engage.campaigns.send_times import late_sql, quiet_sql, send_at_sql, zone_sql
from engage.query.check import require_reproducible
from engage.query.engine import Engine
from engage.vocabulary import Channel

__all__ = ["UNREACHED", "statement"]

UNREACHED = ("no_address", "unsubscribed", "not_opted_in", "suppressed")
"""Reasons that say nothing against another channel: this one does not reach the person, or may not."""

_QUERY = """
with everyone as ({everyone}),
excluded as ({excluded}),
consent as (
    select
        user_id,
        bool_or(not subscribed) filter (where topic = '') as has_left,
        bool_or(subscribed) filter (where topic = '') as has_joined,
        bool_or(subscribed) filter (where topic = $topic and topic <> '') as topic_state,
        max(since) filter (where topic = '') as channel_since,
        max(since) filter (where topic = $topic) as topic_since,
    from consents
    where channel = $channel and topic in ('', $topic)
    group by user_id
),
suppressed as (
    select {dead} as dead_address, reason as dead_reason from suppressions where channel = $channel
),
{more}
judged as (
    select
        everyone.user_id,
        everyone.event,
        {address} as address,
        {zone} as zone,
        {send_at} as send_at,
        case
            when excluded.user_id is not null then 'excluded_segment'
            {in_campaign}
            when {address} is null then 'no_address'
            when not $transactional and coalesce(has_left, false)
                and not (coalesce(topic_state, false) and topic_since > channel_since) then 'unsubscribed'
            when not $transactional and not coalesce(topic_state, true) then 'unsubscribed_topic'
            when $opt_in and not $transactional and not coalesce(topic_state, has_joined, false) then 'not_opted_in'
            when dead_address is not null and not ($transactional and dead_reason = 'unsubscribed') then 'suppressed'
            {capped}
        end as reason,
        {variant} as variant_share,
        profiles.properties,
        {data} as data,
    from everyone
    left join excluded on excluded.user_id = everyone.user_id
    left join consent on consent.user_id = everyone.user_id
    left join profiles on profiles.user_id = everyone.user_id
    {joins}
    left join suppressed on dead_address = {address_key}
),
timed as ({timed}),
limited as (
    select
        * exclude (reason),
        case
            when reason is not null then reason
            {late}
            when $end_at::timestamptz is not null and coalesce(send_at, $at::timestamptz) >= $end_at then 'after_end'
        end as reason,
        {global_control} < $global_control and not $transactional as is_global,
        {control} < $control as is_own,
    from timed
),
planned as (
    select
        *,
        case when reason is not null then 'excluded' when is_global or is_own then 'held_out' else 'send' end
            as planned,
    from limited
)
select
    $run as run_id,
    left(sha256(concat_ws(chr(31), $campaign, $run, user_id, $channel, '')), 32) as message_id,
    user_id,
    planned,
    case when planned = 'held_out' and is_global then 'global_control' else reason end as reason,
    $channel as channel,
    case when planned = 'send' then {variants} end as variant,
    case when planned = 'send' then address end as address,
    case when planned = 'send' then send_at end as send_at,
    case when planned = 'send' then {context} end as context,
    {event}
from planned
order by planned <> 'send', planned, user_id
"""
_UNTIMED = "select * from judged"


def statement(
    engine: Engine,
    campaign: Campaign,
    run_id: str,
    occurrence: Occurrence,
    clock: datetime,
    share: tuple[float, float] = (0.0, 1.0),
    people: str | None = None,
    timed: bool = True,
) -> tuple[str, dict[str, object]]:
    """The plan's SQL and the values of its parameters.

    Its rows are in the order of a recipients file, those to send first; `seq` is their number.

    Args:
        engine: Tells what columns an audience has.
        campaign: Whose plan.
        run_id: The run.
        occurrence: The time it is due.
        clock: When the messages would leave.
        share: The part of a stable split of all people it is for: all, a sample, or the rest.
        people: SQL of `user_id` and `event` in place of the campaign's own audience: whom another channel does not
            reach.
        timed: False asks only what does not depend on when a message leaves: no caps, no quiet hours.

    Raises:
        PlanError: The audience's SQL does not give users.
        QueryError: Some SQL is wrong or not reproducible.
        ConfigurationError: A limit in the settings is wrong.
    """
    settings = engine.settings
    binder = Binder()
    params: dict[str, object] = {
        "campaign": campaign.campaign_id,
        "run": run_id,
        "channel": campaign.channel,
        "topic": campaign.topic,
        "opt_in": campaign.channel in settings.opt_in,
        "control": campaign.control_percent / 100,
        "global_control": global_control(settings),
        "transactional": campaign.transactional,
        "at": clock,
        "start_at": campaign.start,
        "end_at": campaign.end,
    }
    caps: tuple[Cap, ...] = ()
    if timed and not campaign.transactional:
        caps = relevant_caps(settings, campaign.caps, campaign.channel, campaign.labels)
    more: list[tuple[str, str]] = []
    joins: list[str] = []
    capped = _caps(caps, more, joins, binder)
    in_campaign = _not_in(campaign, more, joins, binder)
    data = _data(campaign, more, joins)
    send_at = send_at_sql(campaign, occurrence, more, joins, binder)
    quiet = campaign.quiet_hours if timed and not campaign.transactional else None
    by_clock = quiet or campaign.schedule.local_time or campaign.schedule.usual_hour
    address = reached_at(settings, campaign, more, joins, binder)
    zone = zone_sql(settings.timezone, more, joins) if by_clock else "null"
    query = _QUERY.format(
        everyone=people or everyone_sql(engine, campaign, occurrence, clock, share, binder),
        excluded=excluded_sql(engine, campaign),
        address=address,
        dead=written_sql(campaign.channel, "address"),
        address_key=f"lower({address})" if campaign.channel == Channel.EMAIL else address,
        more=" ".join(f"{name} as ({sql})," for name, sql in more),
        joins=" ".join(joins),
        zone=zone,
        send_at=send_at,
        in_campaign=in_campaign,
        capped=capped,
        data=data,
        timed=quiet_sql(quiet, binder) if quiet else _UNTIMED,
        late=late_sql(campaign),
        variant=bucket_sql("'variant:' || $campaign"),
        control=bucket_sql("'control:' || $campaign", "user_id"),
        global_control=bucket_sql("'global-control'", "user_id"),
        variants=_variants(campaign, params),
        context=_context(campaign),
        # Whom another channel is tried for takes along what triggered it.
        event=f"case when reason in {UNREACHED} then event end as event," if campaign.fallback or people else "",
    )
    used = engine.parameters(query)
    return query, {name: value for name, value in (params | binder.params).items() if name in used}


def _caps(caps: Sequence[Cap], more: list[tuple[str, str]], joins: list[str], binder: Binder) -> str:
    if not caps:
        return ""
    counts = []
    for number, cap in enumerate(caps):
        scope = "true" if cap.scope == "overall" else f"channel = {binder.bind(cap.name)}"
        if cap.scope == "label":
            scope = f"list_contains(list_transform(labels, lambda l: lower(l)), {binder.bind(cap.name.lower())})"
        within = f"event_time > $at::timestamptz - {PERIODS[cap.period]} * interval 1 second"
        counts.append(f"count(*) filter (where {scope} and {within}) as n{number}")
    longest = max(PERIODS[cap.period] for cap in caps)
    sql = (
        f"select user_id, {', '.join(counts)} from notifications where event_name = 'Notification Sent' "
        f"and event_time > $at::timestamptz - {longest} * interval 1 second group by user_id"
    )
    more.append(("recent", sql))
    joins.append("left join recent on recent.user_id = everyone.user_id")
    return " ".join(
        f"when coalesce(recent.n{number}, 0) >= {cap.most} then {binder.bind(cap.reason)}"
        for number, cap in enumerate(caps)
    )


def _not_in(campaign: Campaign, more: list[tuple[str, str]], joins: list[str], binder: Binder) -> str:
    if not campaign.not_in:
        return ""
    names = binder.bind(list(campaign.not_in))
    more.append(
        (
            "reached",
            "select distinct user_id from notifications where event_name in ('Notification Sent', "
            f"'Notification Held Out') and campaign_id in (select unnest({names}::varchar[]))",
        )
    )
    joins.append("left join reached on reached.user_id = everyone.user_id")
    return "when reached.user_id is not null then 'in_campaign'"


def _data(campaign: Campaign, more: list[tuple[str, str]], joins: list[str]) -> str:
    if not campaign.context_sql:
        return "null::varchar"
    require_reproducible(campaign.context_sql, campaign.folder / "context.sql")
    body = campaign.context_sql.rstrip().rstrip(";")
    more.append(
        (
            "details",
            "select user_id::varchar as user_id, case when count(*) > 1 "
            "then error('context_sql gives more than one row for a user') "
            f"else any_value(to_json(detail))::varchar end as data from (\n{body}\n) as detail group by 1",
        )
    )
    joins.append("left join details on details.user_id = everyone.user_id")
    return "details.data"


def _variants(campaign: Campaign, params: dict[str, object]) -> str:
    total = sum(variant.weight for variant in campaign.variants)
    share, cases = 0.0, []
    for number, variant in enumerate(campaign.variants):
        share += variant.weight / total
        params[f"variant{number}"] = variant.name
        cases.append(f"when variant_share < {share!r} then $variant{number}")
    return f"case {' '.join(cases)} else $variant{len(campaign.variants) - 1} end"


def _context(campaign: Campaign) -> str:
    parts = ["'user_id', user_id", "'profile', coalesce(properties, '{}')::json"]
    if campaign.schedule.event is not None:
        parts.append("'event', event::json")
    if campaign.context_sql:
        parts.append("'data', coalesce(data, '{}')::json")
    return f"json_object({', '.join(parts)})::varchar"
