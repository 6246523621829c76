"""People one by one: find them, and see what happened to one of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from engage.analysis.events import Selector
from engage.analysis.segment_builder import segment_sql
from engage.analysis.segment_conditions import All, Condition, Did, InSegment, Profile, Sent
from engage.errors import QueryError
from engage.query.engine import Engine

__all__ = ["Person", "find_people", "person", "timeline"]

_NAMED = """
    select user_id from profiles
    where starts_with(user_id, $text) or contains(lower(concat_ws(' ', email, phone, name, first_name)), lower($text))
    union
    select user_id from user_events where starts_with(user_id, $text) or anonymous_id = $text
    union
    select user_id from notifications where starts_with(user_id, $text) or message_id = $text
    union
    select user_id from identities where anonymous_id = $text
    union
    select user_id from devices where starts_with(user_id, $text) or token = $text
"""
_SHOWN = """
with people as materialized (
    select distinct user_id::varchar as user_id from (
{found}
    ) where user_id is not null order by user_id limit $most
),

seen as (
    select user_id, max(event_time) as last_seen, count(*)::bigint as events
    from activity
    where user_id in (select user_id from people)
    group by user_id
)

select
    people.user_id, profiles.name, profiles.email, profiles.phone, profiles.country, profiles.language,
    seen.last_seen, coalesce(seen.events, 0) as events,
from people
left join profiles on profiles.user_id = people.user_id
left join seen on seen.user_id = people.user_id
order by people.user_id
"""
_EVERYONE = "select user_id from user_events union select user_id from notifications union select user_id from profiles"
_TIMELINE = """
with former as (
    select anonymous_id from identities where user_id = $user
),

happened as (
    select
        event_time as time, 'event' as kind, event_name as name, null::varchar as channel,
        null::varchar as campaign, null::varchar[] as labels, properties, source, event_id
    from user_events
    where user_id = $user
    union all
    select
        event_time, 'message', event_name, channel, coalesce(campaign_name, campaign_id), labels, properties, source,
        event_id
    from notifications
    where user_id = $user
    union all
    select changed_at, 'profile', 'Profile Changed', null, null, null, properties, source, change_id
    from read_parquet(lake('profiles'), hive_partitioning = false)
    where (user_id = $user or source = 'anonymous' and user_id in (from former)) and visible(changed_at)
    union all
    select
        changed_at, 'device', case when active then 'Device Added' else 'Device Removed' end, channel, null, null,
        json_object('platform', platform)::varchar, source, change_id
    from read_parquet(lake('devices'), hive_partitioning = false)
    where (user_id = $user or source = 'anonymous' and user_id in (from former)) and visible(changed_at)
)
select * exclude (event_id)
from happened
where
    ($before::timestamptz is null or time < $before)
    and (len($kinds) = 0 or kind in (select unnest($kinds::varchar[])))
order by time desc, event_id desc
limit $most
"""


def find_people(
    engine: Engine,
    text: str | None = None,
    *,
    where: Mapping[str, Any] | None = None,
    event: Selector = None,
    segment: str | None = None,
    label: str | Sequence[str] | None = None,
    channel: str | None = None,
    most: int = 100,
    as_of: datetime | None = None,
) -> pl.DataFrame:
    """Search for people; what is given must all hold.

    Args:
        engine: What answers.
        text: The beginning of a user_id; part of an e-mail address, telephone number or name, in any case; or a whole
            anonymous id, device token or message id.
        where: Conditions on profile properties; see :func:`engage.analysis.events.property_condition`.
        event: An event they did, as a name or ``{"event", "where"}``.
        segment: A segment they are in.
        label: A label of a message they were sent, or any of several.
        channel: The channel it was sent on.
        most: How many to show at most; the first by user_id.
        as_of: As of then; None for now.

    Returns:
        `user_id`, `name`, `email`, `phone`, `country`, `language`, `last_seen`, `events` (how many they did); one row a
        user, by user_id.

    Raises:
        QueryError: A condition cannot be answered.
    """
    conditions: list[Condition] = []
    if where:
        conditions.append(Profile(where))
    if event is not None:
        asked: Mapping[str, Any] = event if isinstance(event, Mapping) else {"event": event}
        conditions.append(Did(asked.get("event"), asked.get("where") or {}))
    if segment:
        conditions.append(InSegment(segment))
    if label or channel:
        conditions.append(Sent(label=label, channel=channel))
    found = segment_sql(All(*conditions), engine.settings.timezone) if conditions else _EVERYONE
    params: dict[str, object] = {"most": max(int(most), 0)}
    if text and text.strip():
        params["text"] = text.strip()
        found = f"select user_id from (\n{found}\n) where user_id in ({_NAMED})" if conditions else _NAMED
    return engine.frame(_SHOWN.format(found=found), params, as_of=as_of)


def timeline(
    engine: Engine,
    user_id: str,
    *,
    kinds: Sequence[str] = (),
    before: datetime | None = None,
    most: int = 500,
    as_of: datetime | None = None,
) -> pl.DataFrame:
    """What one person did, what they were sent, and what became known of them, the latest first.

    Args:
        engine: What answers.
        user_id: Who.
        kinds: Only some of event, message, profile, device; none for all.
        before: Only what came before, to turn pages.
        most: How many rows at most.
        as_of: As of then; None for now.

    Returns:
        `time`, `kind`, `name`, `channel`, `campaign`, `labels`, `properties` (JSON text), `source`; one row a thing.
    """
    params = {"user": user_id, "kinds": list(kinds), "before": before, "most": max(int(most), 0)}
    return engine.frame(_TIMELINE, params, as_of=as_of)


@dataclass(frozen=True, slots=True)
class Person:
    """What is known of one person.

    Args:
        user_id: Who.
        profile: Their properties, the latest word on each.
        events: How many events they did.
        messages: How many messages they were sent.
        first_seen: Their first event; None for none.
        last_seen: Their latest.
        anonymous_ids: Ids they were known by before.
        devices: `channel`, `platform`, `token`, `environment`, `updated_at`; one row a living device.
        consents: `channel`, `topic`, `subscribed`, `since`; one row a channel and topic they spoke on.
        reachable: `channel`, `address`, `is_opted_in`; one row a channel that needs an address and has one for them.
    """

    user_id: str
    profile: Mapping[str, Any]
    events: int
    messages: int
    first_seen: datetime | None
    last_seen: datetime | None
    anonymous_ids: tuple[str, ...]
    devices: pl.DataFrame
    consents: pl.DataFrame
    reachable: pl.DataFrame


def person(engine: Engine, user_id: str, *, as_of: datetime | None = None) -> Person:
    """All that is known of one person; see :func:`timeline` for what happened.

    Args:
        engine: What answers.
        user_id: Who.
        as_of: As of then; None for now.

    Raises:
        QueryError: Nothing is known of them.
    """

    def ask(query: str) -> pl.DataFrame:
        return engine.frame(query, {"user": user_id}, as_of=as_of)

    profile = ask("select properties from profiles where user_id = $user")
    events, first, last = ask(
        "select count(*), min(event_time), max(event_time) from activity where user_id = $user"
    ).row(0)
    (told, messages) = ask(
        "select count(*), count(*) filter (where event_name = 'Notification Sent') from notifications "
        "where user_id = $user"
    ).row(0)
    devices = ask(
        "select channel, platform, token, environment, updated_at from devices where user_id = $user "
        "order by updated_at desc, token"
    )
    names = ask("select anonymous_id from identities where user_id = $user order by anonymous_id")
    if not (profile.height or events or told or devices.height or names.height):
        raise QueryError("there is no such person", where="user", hint="see `engage people find`")
    return Person(
        user_id,
        json.loads(profile.item()) if profile.height and profile.item() else {},
        events,
        messages,
        first,
        last,
        tuple(names["anonymous_id"].to_list()),
        devices,
        ask("select channel, topic, subscribed, since from consents where user_id = $user order by channel, topic"),
        ask("select channel, address, is_opted_in from reachable where user_id = $user order by channel"),
    )
