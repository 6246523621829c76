"""What a journey's conditions ask of the lake, brought down to rows of who, what and when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from engage.analysis.events import Binder, Selector, property_condition, select_events
from engage.journeys.graph import Branch, Case, Journey, Wait
from engage.query.files import literal
from engage.vocabulary import PULLED_CHANNELS

__all__ = ["EFFECTIVE", "Asked", "asked_by", "case_selector", "changes_sql", "facts_sql", "reach_sql"]

EFFECTIVE = (
    "case when received_at > {time} and received_at < {time} + 86400 * interval 1 second "
    "then received_at else {time} end"
)
"""When something counts: at its own time; where it was received late, but within a day, when it was received. So no
tick misses what comes late, and a span ticked again gives the same moves. What is received later still is history:
conditions asked afterwards see it at its own time."""

_DID = {
    "sent": "Notification Sent",
    "delivered": "Notification Delivered",
    "viewed": "Notification Viewed",
    "clicked": "Notification Clicked",
}


@dataclass(slots=True)
class Asked:
    """Numbers for what is asked, so that rows need not carry names.

    Args:
        events: Selectors of events, by the number they have.
        messages: Message node and what was done with its message, numbered after the events.
        properties: Properties of the profile, by the number they have.
    """

    events: list[Selector] = field(default_factory=list)
    messages: list[tuple[str, str]] = field(default_factory=list)
    properties: list[str] = field(default_factory=list)

    def event(self, selector: Selector) -> int:
        """The number of an event."""
        return _number(self.events, selector)

    def message(self, node: str, did: str) -> int:
        """The number of what was done with a message; negative, apart from events."""
        return -1 - _number(self.messages, (node, did))

    def property(self, name: str) -> int:
        """The number of a property."""
        return _number(self.properties, name)


def _number(known: list[Any], one: Any) -> int:
    if one not in known:
        known.append(one)
    return known.index(one)


def case_selector(case: Case) -> Selector:
    """The event a case of a branch asks for."""
    return {"event": case.event, "where": dict(case.where)} if case.where else case.event


def asked_by(journey: Journey) -> Asked:
    """Everything a journey asks."""
    asked = Asked()
    if journey.goal_ends:
        asked.event(journey.goal.event)
    for selector in journey.exits.events:
        asked.event(selector)
    for name in journey.entry.where:
        asked.property(name)
    for node in journey.nodes.values():
        match node.does:
            case Wait(event=event) if event is not None:
                asked.event(event)
            case Wait(until=until) if until is not None:
                asked.property("timezone")
            case Branch(cases=cases):
                for case in cases:
                    if case.kind == "event":
                        asked.event(case_selector(case))
                    elif case.kind == "message":
                        asked.message(str(case.message), case.did)
                    elif case.kind == "property":
                        for name in case.where:
                            asked.property(name)
    return asked


def facts_sql(
    journey: Journey,
    asked: Asked,
    numbers: Iterable[int],
    binder: Binder,
    since: datetime | None,
    until: datetime,
    people: str | None = None,
) -> str:
    """SQL of events: `user_id`, `k` (what was asked), `t` (when it counts), one row an event.

    Args:
        journey: Whose.
        asked: What the numbers mean.
        numbers: Which to give.
        binder: Takes the values.
        since: Only what counts from then on; None for all.
        until: Only what counts before.
        people: SQL of the `user_id` it is limited to.
    """
    parts = []
    time = EFFECTIVE.format(time="event_time")
    # What counts from `since` happened at most a day before: the scan skips the rest.
    bounds = f"event_time < {literal(until)}"
    if since is not None:
        bounds += f" and event_time > {literal(since)} - 86400 * interval 1 second"
    for k in sorted(set(numbers)):
        if k >= 0:
            found = select_events(asked.events[k], binder)
            relation, condition = found.relation, found.condition
        else:
            node, did = asked.messages[-1 - k]
            prefix = literal(f"{journey.journey_id}-{node}-")
            relation = "notifications"
            condition = (
                f"event_name = {literal(_DID[did])} and journey_id = {literal(journey.journey_id)} "
                f"and starts_with(run_id, {prefix})"
            )
        parts.append(f"select user_id, {k} as k, {time} as t from {relation} where {condition} and {bounds}")
    if not parts:
        return "select ''::varchar as user_id, 0 as k, null::timestamptz as t where false"
    lower = f" and t >= {literal(since)}" if since is not None else ""
    only = f" and user_id in ({people})" if people else ""
    return f"select user_id, k, t from ({' union all '.join(parts)}) where t < {literal(until)}{lower}{only}"


def changes_sql(asked: Asked, binder: Binder, until: datetime, people: str | None = None) -> str:
    """SQL of what properties became: `user_id`, `p` (which), `value` (JSON), `t` (when it counts), `change_id`.

    What was first learnt of a person counts also for the time before, as in ``sql/lake/profiles.sql``; except where a
    journey itself wrote it.
    """
    cases = []
    for p, name in enumerate(asked.properties):
        pointer = binder.bind("/" + name.replace("~", "~0").replace("/", "~1"))
        cases.append(f"struct_pack(p := {p}, value := json_extract(properties, {pointer})::varchar)")
    only = f"where user_id in ({people})" if people else ""
    time = EFFECTIVE.format(time="changed_at")
    return (
        "select user_id, one.p as p, one.value as value, t, change_id from ("
        f"select user_id, change_id, unnest([{', '.join(cases)}]) as one, "
        f"case when is_first then timestamptz '0001-01-01 00:00:00+00' else {time} end as t "
        "from (select user_id, change_id, changed_at, received_at, properties, source, "
        "row_number() over (partition by user_id order by changed_at, change_id) = 1 "
        "and not starts_with(coalesce(source, ''), 'journey:') as is_first "
        f"from read_parquet(lake('profiles'), hive_partitioning = false) {only})"
        f") where one.value is not null and t < {literal(until)}"
    )


def value_condition(name: str, condition: Any, binder: Binder, value: str) -> str:
    """SQL that a property's value, as JSON text or null, meets a condition."""
    made = f"json_object({binder.bind(name)}, {value}::json)"
    return property_condition(name, condition, binder, made)


def reach_sql(channels: Sequence[str], people: str) -> str:
    """SQL of the channels that reach people now: `user_id`, `channel`, `engaged` (messages viewed or clicked)."""
    parts = []
    for channel in channels:
        name = literal(channel)
        if channel in ("email", "sms"):
            address = "nullif(trim(email), '')" if channel == "email" else "sms_address(phone, country)"
            key = f"lower({address})" if channel == "email" else address
            parts.append(
                f"select user_id, {name} as channel, {key} as address from profiles where {address} is not null"
            )
        elif channel in PULLED_CHANNELS or channel in ("webhook", "facebook_audience"):
            parts.append(f"select user_id, {name} as channel, user_id as address from ({people})")
        else:
            parts.append(f"select user_id, channel, token as address from devices where channel = {name}")
    return (
        f"with able as ({' union all '.join(parts)}), "
        "engaged as (select user_id, channel, count(*) as n from notifications where event_name in "
        "('Notification Viewed', 'Notification Clicked') group by all) "
        "select able.user_id, able.channel, max(coalesce(engaged.n, 0)) as engaged from able "
        "left join engaged on engaged.user_id = able.user_id and engaged.channel = able.channel "
        "left join suppressions as dead on dead.channel = able.channel and dead.address = able.address "
        "left join consents as told on told.user_id = able.user_id and told.channel = able.channel "
        "and told.topic = '' and not told.subscribed "
        f"where dead.address is null and told.user_id is null and able.user_id in ({people}) group by all"
    )
