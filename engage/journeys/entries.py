"""Who enters a journey in a span of time, and exactly when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from cronsim import CronSim

from engage.analysis.events import Binder, select_events
from engage.analysis.segments import find_segment
from engage.journeys.facts import EFFECTIVE, Asked, changes_sql, value_condition
from engage.journeys.graph import ENTRY, Journey
from engage.query.engine import Engine
from engage.query.files import literal, with_literals

__all__ = ["Span", "entries_sql", "segment_times"]

Span = tuple[datetime, datetime]
"""From a time until before another."""


def segment_times(journey: Journey, timezone: str, span: Span, launched_at: datetime) -> list[datetime]:
    """When a journey asks its segment, within a span: at the times of its cron, or once, at launch."""
    since, until = span
    if journey.entry.cron is None:
        return [launched_at] if since <= launched_at < until else []
    found = []
    # cronsim gives times after its start: one second before includes the start itself.
    start = datetime.fromtimestamp(since.timestamp() - 1, UTC).replace(microsecond=0)
    for tick in CronSim(journey.entry.cron, start.astimezone(ZoneInfo(timezone))):
        moment = tick.astimezone(UTC)
        if moment >= until:
            break
        if moment >= since:
            found.append(moment)
    return found


def entries_sql(
    engine: Engine,
    journey: Journey,
    asked: Asked,
    binder: Binder,
    *,
    span: Span,
    open_spans: Sequence[Span],
    launched_at: datetime,
    walks: str,
    folder: Path,
    drafts: Mapping[str, str],
    detailed: bool = True,
) -> str:
    """SQL of the entries: `user_id`, `entry_at`, `detail`, one row an entry.

    Args:
        engine: What answers.
        journey: Whose.
        asked: Numbers of the properties asked.
        binder: Takes the values.
        span: The tick's.
        open_spans: When people may enter: not while it was paused.
        launched_at: When a segment without cron is asked.
        walks: SQL of all walks so far: `user_id`, `entry_at`.
        folder: Where it may put what it has to ask first.
        drafts: See :func:`segment_sql`.
        detailed: Whether the event that lets somebody in is told, in `detail`.
    """
    entry = journey.entry
    begin = max(span[0], journey.start) if journey.start else span[0]
    end = min(span[1], journey.end) if journey.end else span[1]
    told = _told(engine, journey, binder, (begin, end), launched_at, folder, drafts, detailed)
    spans = " or ".join(f"t >= {literal(since)} and t < {literal(until)}" for since, until in open_spans) or "false"
    gap = int(entry.again_after.total_seconds() * 1_000_000) if entry.again_after else None
    detail = (
        "json_object('name', told.detail.name, 'time', told.detail.event_time::varchar, "
        "'properties', coalesce(told.detail.properties, '{}')::json)::varchar"
        if entry.kind == "event" and detailed
        else "told.detail"
    )
    # Who enters only once enters by the first; of what happens at the same instant the first id counts.
    first = (
        f"select user_id, min(t) as t, {'arg_min(detail, (t, detail))' if detailed else 'null::varchar'} as detail"
        if gap is None
        else "select user_id, t, min(detail) as detail"
    )
    told = f"select user_id, t, detail from ({told}) where t >= {literal(begin)} and t < {literal(end)} and ({spans})"
    conditions = []
    for name, condition in entry.where.items():
        p = asked.property(name)
        value = f"max(one.value) filter (where one.p = {p})"
        conditions.append(value_condition(name, condition, binder, value))
    if conditions:
        changes = changes_sql(asked, binder, span[1], "select user_id from told")
        told = (
            f"with told as ({told}), changes as materialized ({changes}), asof as ("
            "select told.user_id, told.t, any_value(told.detail) as detail, changes.p, "
            "arg_max(changes.value, (changes.t, changes.change_id)) as value from told "
            "left join changes on changes.user_id = told.user_id and changes.t <= told.t group by all) "
            "select user_id, t, any_value(detail) as detail from asof as one group by user_id, t "
            f"having {' and '.join(conditions)}"
        )
    limit = f"where (select count(*) from walks) + row_number_all <= {entry.limit}" if entry.limit else ""
    if gap is None:  # once: those who never did, by their first
        number = "row_number() over (order by t, user_id)" if limit else "null"
        chosen = (
            f"select user_id, t as entry_at, detail, {number} as row_number_all from told "
            "where user_id not in (select user_id from walks)"
        )
        return (
            f"with told as materialized ({first} from ({told}) where user_id is not null group by user_id), "
            f"walks as ({walks}) select user_id, entry_at, {detail} as detail from ({chosen}) as told {limit}"
        )
    # Times as microseconds, and each as a list of one, so that one fold keeps those far enough from the last kept.
    kept = (
        "list_reduce(list_prepend([last_us], list_transform(times, lambda t: [t])), lambda kept, t: "
        f"case when kept[len(kept)] is null or t[1] - kept[len(kept)] >= {gap} "
        "then list_concat(kept, t) else kept end)[2:]"
    )
    most = f"where n_before + position <= {entry.most_per_person}" if entry.most_per_person else ""
    return f"""
with told as materialized ({first} from ({told}) where user_id is not null group by user_id, t),
walks as ({walks}),
before as (
    select user_id, max(epoch_us(entry_at)) as last_us, count(*) as n_before
    from walks where user_id in (select user_id from told) group by user_id
),
listed as (select user_id, list(epoch_us(t) order by t) as times from told group by user_id),
kept as (
    select user_id, coalesce(n_before, 0) as n_before, {kept} as times
    from listed left join before using (user_id)
),
numbered as (
    select user_id, n_before, unnest(times) as us, generate_subscripts(times, 1) as position from kept
),
chosen as (
    select user_id, make_timestamptz(us) as entry_at,
        row_number() over (order by us, user_id) as row_number_all
    from numbered {most}
)
select chosen.user_id, chosen.entry_at, {detail} as detail
from chosen join told on told.user_id = chosen.user_id and told.t = chosen.entry_at {limit}
"""


def segment_sql(engine: Engine, name: str, drafts: Mapping[str, str]) -> str:
    """SQL of a segment with its parameters' defaults in place.

    Args:
        engine: What answers.
        name: Which.
        drafts: Such SQL by name of segments that have no file yet; they go before those that have.
    """
    if name in drafts:
        return drafts[name]
    segment = find_segment(engine, name)
    return with_literals(segment.sql.rstrip().rstrip(";"), segment.params)


def _told(
    engine: Engine,
    journey: Journey,
    binder: Binder,
    span: Span,
    launched_at: datetime,
    folder: Path,
    drafts: Mapping[str, str],
    detailed: bool,
) -> str:
    """SQL of all who might enter: `user_id`, `t`, `detail`."""
    entry = journey.entry
    since, until = span
    if entry.kind == "segment":
        name = str(entry.segment)
        parts = []
        for number, moment in enumerate(segment_times(journey, engine.settings.timezone, span, launched_at)):
            body = segment_sql(engine, name, drafts)
            path = folder / f"segment-{number}.parquet"
            engine.copy(f"select distinct user_id::varchar as user_id from ({body}\n)", None, path, as_of=moment)
            parts.append(
                f"select user_id, {literal(moment)} as t, null::varchar as detail "
                f"from read_parquet({literal(str(path))})"
            )
        nobody = "select ''::varchar as user_id, null::timestamptz as t, null::varchar as detail where false"
        return " union all ".join(parts) or nobody
    if entry.kind == "date":
        return _dated(engine, journey, binder, span)
    found = select_events(entry.event, binder)
    # The event as it is: only of those who enter is it made into JSON.
    detail = (
        "struct_pack(id := event_id, name := event_name, event_time := event_time, properties := properties)"
        if detailed
        else "null::varchar"
    )
    return (
        f"select user_id, {EFFECTIVE.format(time='event_time')} as t, {detail} as detail from {found.relation} "
        f"where {found.condition} and event_time < {literal(until)} "
        f"and event_time > {literal(since)} - 86400 * interval 1 second"
    )


def _dated(engine: Engine, journey: Journey, binder: Binder, span: Span) -> str:
    """Everyone's date, as it was known on the day; 29 February is the 28th in a common year."""
    entry = journey.entry
    asked = Asked(properties=[str(entry.date_property), "timezone"])
    changes = changes_sql(asked, binder, span[1])
    seconds = entry.time_of_day.hour * 3600 + entry.time_of_day.minute * 60
    zone = literal(engine.settings.timezone)
    first, last = span[0].year - 1, span[1].year + 1
    shift = f"+ {entry.offset_days}"
    days = (
        "make_date(y, month(day), case when month(day) = 2 and day(day) = 29 "
        "and not (y % 4 = 0 and (y % 100 <> 0 or y % 400 = 0)) then 28 else day(day) end)"
        if entry.yearly
        else "day"
    )
    years = f"cross join range({first}, {last + 1}) as years(y) where y >= year(day)" if entry.yearly else ""
    return f"""
with changes as materialized ({changes}),
zones as (select distinct name from pg_timezone_names()),
lasting as (
    select user_id, p, value, t, lead(t) over (partition by user_id, p order by t, change_id) as until
    from changes
),
dates as (
    select user_id, t, until, try_cast(left(json_extract_string(value, '$'), 10) as date) as day
    from lasting where p = 0
),
days as (select user_id, t, until, {days} {shift} as day from dates {years}),
zoned as (
    select days.user_id, days.t as since, days.until,
        timezone(coalesce(zones.name, {zone}), days.day::timestamp + {seconds} * interval 1 second) as t,
        lasting.t as zone_since, lasting.until as zone_until
    from days
    left join lasting on lasting.user_id = days.user_id and lasting.p = 1
    left join zones on zones.name = json_extract_string(lasting.value, '$')
    where days.day is not null
)
select user_id, t, null::varchar as detail from zoned
where t >= since and (until is null or t < until)
    and (zone_since is null or (t >= zone_since and (zone_until is null or t < zone_until)))
"""


def entry_rows(journey: Journey, version: int, entries: str) -> str:
    """SQL of the entries as transitions, with `ends_at`, when the same person enters anew."""
    again = "over (partition by user_id order by entry_at)" if journey.entry.again_after else None
    return (
        f"select {literal(journey.journey_id)} as journey_id, {version} as version, user_id, entry_at, 0 as seq, "
        f"'{ENTRY}' as node, null::varchar as came_from, null::varchar as port, entry_at as entered_at, "
        "entry_at as due_at, detail, "
        f"{f'lead(entry_at) {again}' if again else 'null::timestamptz'} as ends_at, "
        f"{f'row_number() {again}' if again else '1'}::integer as generation "
        f"from ({entries})"
    )
