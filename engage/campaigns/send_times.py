"""When a campaign's messages leave, as SQL: each person's local time or usual hour, their clock, quiet hours."""

from __future__ import annotations

from datetime import datetime

from engage.analysis.events import Binder
from engage.campaigns.campaign import Campaign
from engage.campaigns.limits import QuietHours
from engage.campaigns.schedule import Occurrence
from engage.query.files import literal

__all__ = ["late_sql", "quiet_sql", "send_at_sql", "zone_sql"]

_SEND_AT = "case when $start_at::timestamptz > $at::timestamptz then $start_at end"


def send_at_sql(
    campaign: Campaign, occurrence: Occurrence, more: list[tuple[str, str]], joins: list[str], binder: Binder
) -> str:
    """SQL of when a person's message leaves, null for at once; it has parameters ``$at`` and ``$start_at``.

    Args:
        campaign: Whose schedule.
        occurrence: The time it is due.
        more: Gets the common table expressions it needs.
        joins: Gets the joins it needs.
        binder: Binds values.
    """
    schedule = campaign.schedule
    if schedule.local_time is not None:
        day = binder.bind(datetime.combine(occurrence.day or occurrence.at.date(), schedule.local_time))
        return f"greatest(timezone(zone, {day}::timestamp), $start_at::timestamptz)"
    if schedule.usual_hour:
        more.append(
            (
                "habits",
                "select user_id, arg_max(hour, (n, -hour)) as hour from (select user_id, "
                "extract('hour' from timezone('UTC', event_time)) as hour, count(*) as n from activity "
                "where event_time > $at::timestamptz - interval 60 day and event_time <= $at::timestamptz "
                "group by all) group by user_id",
            )
        )
        joins.append("left join habits on habits.user_id = everyone.user_id")
        begun = "timezone('UTC', date_trunc('day', timezone('UTC', $at::timestamptz)))"
        usual = f"{begun} + habits.hour * interval 1 hour"
        return (
            f"greatest(case when habits.hour is not null then case when {usual} < $at::timestamptz "
            f"then {usual} + interval 1 day else {usual} end end, {_SEND_AT})"
        )
    return _SEND_AT if campaign.start else "null::timestamptz"


def zone_sql(timezone: str, more: list[tuple[str, str]], joins: list[str]) -> str:
    """SQL of a person's time zone, or the workspace's where theirs is not known.

    Args:
        timezone: The workspace's.
        more: Gets the common table expressions it needs.
        joins: Gets the joins it needs; `profiles` is joined already.
    """
    more.append(("zones", "select distinct name from pg_timezone_names()"))
    joins.append("left join zones on zones.name = profiles.timezone")
    return f"coalesce(zones.name, {literal(timezone)})"


def quiet_sql(quiet: QuietHours, binder: Binder) -> str:
    """SQL of the rows of `judged` with what quiet hours change of their `send_at` or `reason`.

    Args:
        quiet: When people are left in peace.
        binder: Binds values; ``$at`` is when messages leave that have no `send_at`.
    """
    begin, end = binder.bind(quiet.begin), binder.bind(quiet.end)
    local = "timezone(zone, coalesce(send_at, $at::timestamptz))"
    clock = f"{local}::time"
    between = f"({clock} >= {begin} {'or' if quiet.begin > quiet.end else 'and'} {clock} < {end})"
    if quiet.skip:
        reason = f"coalesce(reason, case when {between} then 'quiet_hours' end)"
        return f"select * exclude (reason), {reason} as reason from judged"
    seconds = quiet.end.hour * 3600 + quiet.end.minute * 60
    morning = f"date_trunc('day', {local}) + {seconds} * interval 1 second"
    waits = f"timezone(zone, {morning} + case when {clock} >= {end} then interval 1 day else interval 0 day end)"
    return f"select * exclude (send_at), case when {between} then {waits} else send_at end as send_at from judged"


def late_sql(campaign: Campaign) -> str:
    """SQL of the case of those whose local time has passed already."""
    if campaign.schedule.local_time is None:
        return ""
    return "when send_at < $at::timestamptz - interval 1 hour then 'local_time_passed'"
