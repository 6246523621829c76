"""Who a campaign is for, as SQL: a segment, a select, everyone; those an event or a date makes due."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from engage.analysis.events import Binder, select_events
from engage.campaigns.campaign import Campaign
from engage.campaigns.schedule import Occurrence
from engage.errors import PlanError
from engage.query.check import require_reproducible
from engage.query.engine import Engine
from engage.query.files import read_sql, with_literals

__all__ = ["bucket_sql", "everyone_sql", "excluded_sql", "has_triggers"]


def bucket_sql(salt: str, user: str = "everyone.user_id") -> str:
    """Where a user falls in a split, 0 to 1, as `engage.campaigns.planning.bucket` says.

    Args:
        salt: SQL of the split's name.
        user: SQL of the user's id.
    """
    return f"(('0x' || left(sha256({salt} || ':' || {user}), 8))::ubigint / 4294967296.0)"


def everyone_sql(
    engine: Engine,
    campaign: Campaign,
    occurrence: Occurrence,
    clock: datetime,
    share: tuple[float, float],
    binder: Binder,
) -> str:
    audience = (
        f"select distinct user_id::varchar as user_id from ({_audience(engine, campaign)}) where user_id is not null"
    )
    event = "null"
    if campaign.schedule.event is not None:
        audience, event = _triggered(campaign, occurrence, clock, audience, binder), "event"
    elif campaign.schedule.date_property:
        day = occurrence.day or clock.date()
        audience = _dated(campaign, day - timedelta(days=campaign.schedule.offset_days), audience, binder)
    cut = ""
    if share != (0.0, 1.0):
        salt = bucket_sql("'sample:' || $campaign", "user_id")
        cut = f"where {salt} >= {share[0]!r} and {salt} < {share[1]!r}"
    return f"select user_id, {event}::varchar as event from ({audience}) {cut}"


def has_triggers(engine: Engine, campaign: Campaign, occurrence: Occurrence, *, as_of: datetime) -> bool:
    """Whether any event of a triggered campaign falls due in a stretch of time, whoever did it.

    It costs far less than planning, and mostly there is none.
    """
    binder = Binder()
    query = f"select 1 as due from {_due_triggers(campaign, occurrence, as_of, binder)} limit 1"
    return not engine.frame(query, binder.params, as_of=as_of).is_empty()


def _due_triggers(campaign: Campaign, occurrence: Occurrence, clock: datetime, binder: Binder) -> str:
    """SQL of the events that fall due, with a `where` that more may be added to.

    A trigger that was received late, but within a day, falls due when it was received, so that none is missed.
    """
    schedule = campaign.schedule
    found = select_events(schedule.event, binder)
    after = f"{int(schedule.after.total_seconds())} * interval 1 second"
    since = occurrence.since or clock - timedelta(days=1)
    earliest = binder.bind(
        since - max(schedule.after, timedelta(days=1))
    )  # what fell due since is no older: skips files
    return (
        f"(select *, case when received_at < event_time + interval 1 day "
        f"then greatest(event_time + {after}, received_at) else event_time + {after} end as due_at "
        f"from {found.relation} where ({found.condition}) and event_time > {earliest}) as trigger "
        f"where due_at > {binder.bind(since)} and due_at <= {binder.bind(occurrence.until or clock)}"
    )


def _triggered(campaign: Campaign, occurrence: Occurrence, clock: datetime, audience: str, binder: Binder) -> str:
    """People whose trigger falls due in the occurrence's stretch of time, with their latest trigger."""
    schedule = campaign.schedule
    triggers = _due_triggers(campaign, occurrence, clock, binder)
    # Whoever did it is one of everyone; to list all the others first takes most of a plan's time.
    within = f"and user_id in (select user_id from ({audience}))" if campaign.segment or campaign.sql else ""
    unless = ""
    if schedule.unless is not None:
        other = select_events(schedule.unless, binder)
        after = f"{int(schedule.after.total_seconds())} * interval 1 second"
        unless = (
            f"and not exists (select 1 from (select user_id, event_time from {other.relation} where {other.condition}) "
            f"as other where other.user_id = trigger.user_id and other.event_time > trigger.event_time "
            f"and other.event_time <= trigger.event_time + {after})"
        )
    return (
        "select user_id, arg_max(json_object('name', event_name, 'time', event_time::varchar, 'properties', "
        "coalesce(properties, '{}')::json), (event_time, event_id))::varchar as event "
        f"from {triggers} and user_id is not null {within} {unless} "
        "group by user_id"
    )


def _dated(campaign: Campaign, day: date, audience: str, binder: Binder) -> str:
    """People whose date it is; those born on 29 February have theirs on the 28th in a common year."""
    pointer = "/" + str(campaign.schedule.date_property).replace("~", "~0").replace("/", "~1")
    date = f"try_cast(left(json_extract_string(properties, {binder.bind(pointer)}), 10) as date)"
    condition = f"{date} = {binder.bind(day)}"
    if campaign.schedule.yearly:
        days = [f"{day:%m-%d}"]
        if days == ["02-28"] and (day + timedelta(days=1)).month == 3:
            days.append("02-29")
        condition = f"strftime({date}, '%m-%d') in (select unnest({binder.bind(days)}::varchar[]))"
    return f"select user_id from profiles where user_id in (select user_id from ({audience})) and {condition}"


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


def excluded_sql(engine: Engine, campaign: Campaign) -> str:
    """The people of the segments that are left out: `user_id`."""
    parts = [f"select user_id::varchar as user_id from ({_segment(engine, name)})" for name in campaign.exclude]
    return " union ".join(parts) or "select null::varchar as user_id where false"


def _segment(engine: Engine, name: str) -> str:
    path = engine.settings.sql / "segments" / f"{name}.sql"
    if not path.is_file():
        raise PlanError(f"there is no segment {name!r}", where="campaign.toml", hint="see `engage segment list`")
    file = read_sql(path)
    require_reproducible(file.text, path)
    return with_literals(file.text.rstrip().rstrip(";"), file.params) + "\n"
