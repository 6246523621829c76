"""The SQL of funnels: every attempt learns the chain of steps that follows it, and each user keeps the best one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engage.analysis.events import Binder, EventSet, Selector, select_events
from engage.errors import QueryError

__all__ = ["Asked", "Exclusion", "attempts", "exclusions", "masks"]


@dataclass(frozen=True, slots=True)
class Exclusion:
    """An event that spoils an attempt between two of its steps, counted from 0."""

    event: Selector
    from_step: int
    to_step: int


def exclusions(given: Sequence[Selector], count: int, order: str) -> list[Exclusion]:
    """Read exclusions; one that names no steps holds from the first step to the last.

    Raises:
        QueryError: Its steps are not steps of the funnel.
    """
    found = []
    for item in given:
        low, high = 0, count - 1
        event = item
        if isinstance(item, Mapping):
            low, high = int(item.get("from_step", low)), int(item.get("to_step", high))
            event = {key: value for key, value in item.items() if key not in ("from_step", "to_step")}
        if not 0 <= low < high < count:
            raise QueryError(
                f"an exclusion from step {low} to step {high} is outside the funnel",
                where="funnel",
                hint=f"steps are counted from 0 to {count - 1}",
            )
        if order == "any" and (low, high) != (0, count - 1):
            raise QueryError("steps in any order have no between", where="funnel", hint="leave out from_step, to_step")
        found.append(Exclusion(event, low, high))
    return found


@dataclass(frozen=True, slots=True)
class Asked:
    """What a funnel asks of events.

    Args:
        steps: 2 to 10 events.
        exclude: What spoils an attempt.
        where: Conditions on the properties of every step.
        order: ordered, strict or any.
        micros: The time an attempt has.
        people: SQL condition on `user_id`.
        breakdown: A property of the first step's event.
        span: SQL condition on `event_time`.
    """

    steps: Sequence[Selector]
    exclude: Sequence[Exclusion]
    where: Mapping[str, Any] | None
    order: str
    micros: int
    people: str
    breakdown: str | None
    span: str


def _marked(binder: Binder, asked: Asked) -> str:
    """The common tables of a funnel's events, the last of which is `marked`.

    It has `user_id`, `event_id`, `moment` (µs since 1970), `value` (of the breakdown), `is0`, `is1`, … (which steps it
    may fill), `bad0`, … (which exclusions it is), `first` (the first step it may fill, else their number).
    """
    chosen = [select_events(step, binder, asked.where) for step in asked.steps]
    spoiling = [select_events(item.event, binder) for item in asked.exclude]
    relation = _relation({event.relation for event in (*chosen, *spoiling)}, asked.order)
    count, bads = len(asked.steps), range(len(asked.exclude))
    value = "null::varchar"
    if asked.breakdown:
        value = f"json_extract_string(properties, {binder.bind(_pointer(asked.breakdown))})"
    columns = "".join(f", coalesce({_within(e, relation)}, false) as is{k}" for k, e in enumerate(chosen))
    columns += "".join(f", coalesce({_within(e, relation)}, false) as bad{j}" for j, e in enumerate(spoiling))
    kept = " or ".join([*(f"is{k}" for k in range(count)), *(f"bad{j}" for j in bads)])
    if asked.order == "strict":
        columns += f", {'true' if relation == 'activity' else _ACTIVITY} as is_done"
        kept += " or is_done"
    first = "case " + " ".join(f"when is{k} then {k}" for k in range(count)) + f" else {count} end"
    named = (
        _named([*asked.steps, *(item.event for item in asked.exclude)], binder) if asked.order != "strict" else "true"
    )
    found = (
        f"found as (select user_id, event_id, epoch_us(event_time) as moment, {value} as value{columns} "
        f"from {relation} where {named} and ({asked.people}) and ({asked.span}))"
    )
    return f"{found},\nmarked as (select *, {first} as first from found where {kept})"


def masks(binder: Binder, asked: Asked, parts: int) -> str:
    """A select of a funnel's events.

    Args:
        binder: Takes the values.
        asked: The funnel.
        parts: Into how many parts users are divided.

    Returns:
        SQL of `user_id`, `part`, `moment` (µs since 1970), `mask` (bit k: it may fill step k; then a bit an exclusion).
    """
    part = f"(hash(user_id) % {int(parts)})::utinyint as part"
    events = [*asked.steps, *(item.event for item in asked.exclude)]
    names = [event.get("event") if isinstance(event, Mapping) else event for event in events]
    is_plain = not any(isinstance(event, Mapping) and event.get("where") for event in events) and not asked.where
    if is_plain and None not in names and asked.order != "strict":
        bits: dict[str, int] = {}
        for bit, name in enumerate(map(str, names)):
            bits[name] = bits.get(name, 0) | 1 << bit
        relation = _relation({select_events(name, Binder()).relation for name in bits}, asked.order)
        cases = " ".join(f"when {binder.bind(name)} then {mask}" for name, mask in bits.items())
        return (
            f"select user_id, {part}, epoch_us(event_time) as moment, (case event_name {cases} end)::uinteger as mask "
            f"from {relation} where {_named(events, binder)} and ({asked.people}) and ({asked.span})"
        )
    flags = [f"is{k}" for k in range(len(asked.steps))] + [f"bad{j}" for j in range(len(asked.exclude))]
    mask = " | ".join(f"(case when {flag} then {1 << bit} else 0 end)" for bit, flag in enumerate(flags))
    return f"with {_marked(binder, asked)} select user_id, {part}, moment, ({mask})::uinteger as mask from marked"


def attempts(binder: Binder, asked: Asked) -> str:
    """The common tables of a funnel, the last of which is `best`: user_id, value, reached (µs since 1970, one a step).

    The earliest chain from an event is the best one from it, and `lead` finds the next event of a step in one sorted
    pass, so time grows with the events (times their sort), however many one user has.
    """
    exclude, count, bads = asked.exclude, len(asked.steps), range(len(asked.exclude))
    any_step = " or ".join(f"is{k}" for k in range(count))
    along = "over (partition by user_id order by moment, first, event_id)"
    spoilt = "".join(f", lead(case when bad{j} then moment end ignore nulls) {along} as spoilt{j}" for j in bads)
    ctes = [_marked(binder, asked), f"spoiled as (select *{spoilt} from marked)"]
    # An element of a chain is when its step happened and, where something is excluded, when next that happened.
    element = f"{{t: moment, bad: [{', '.join(f'spoilt{j}' for j in bads) or 'null::bigint'}]}}"
    happened, times = "x.t", "list_transform(chain, lambda x: x.t)"
    if not exclude:
        element, happened, times = "moment", "x", "chain"
    is_any = asked.order == "any"
    ctes += _any_order(count, element, any_step) if is_any else _in_order(count, element, asked.order)
    window = binder.bind(asked.micros)
    clean = " and ".join(_clean(item, j, count, window) for j, item in enumerate(exclude)) or "true"
    ctes += [
        f"timed as (select *, list_filter(times, lambda x: {happened} <= moment + {window}) as chain from attempts)",
        f"clean as (select * from timed where {clean})",
        f"best as (select user_id, unnest(arg_max({{value: value, reached: {times}}}, "
        "(len(chain), -moment, event_id))) from clean group by user_id)",
    ]
    return ",\n".join(ctes)


_ACTIVITY = "event_id in (select event_id from activity)"


def _in_order(count: int, element: str, order: str) -> list[str]:
    along = "over (partition by user_id order by moment, first, event_id)"
    nulls = "" if order == "strict" else " ignore nulls"
    source, ctes = "spoiled", []
    for k in range(count - 1, 0, -1):
        chain = f"list_prepend({element}, coalesce(c{k + 1}, []))" if k < count - 1 else f"[{element}]"
        ctes.append(
            f"chain{k} as (select *, lead(case when is{k} then {chain} end{nulls}) {along} as c{k} from {source})"
        )
        source = f"chain{k}"
    times = f"list_prepend({element}, coalesce(c1, [])) as times"
    return [*ctes, f"attempts as (select user_id, event_id, moment, value, {times} from {source} where is0)"]


def _any_order(count: int, element: str, any_step: str) -> list[str]:
    nearest = ", ".join(
        f"min(case when is{k} then moment end) over (partition by user_id order by moment, first, event_id "
        f"rows between current row and unbounded following) as n{k}"
        for k in range(count)
    )
    moments = f"list_sort(list_filter([{', '.join(f'n{k}' for k in range(count))}], lambda x: x is not null))"
    # Every element carries the attempt's own exclusions: there is only from first to last.
    times = f"list_transform({moments}, lambda x: {element.replace('moment', 'x')}) as times"
    return [
        f"chained as (select *, {nearest} from spoiled)",
        f"attempts as (select user_id, event_id, moment, value, {times} from chained where {any_step})",
    ]


def _clean(item: Exclusion, j: int, count: int, window: str) -> str:
    low, high = item.from_step + 1, item.to_step + 1
    spoilt = f"chain[{low}].bad[{j + 1}]"
    until = f"case when len(chain) >= {high} then chain[{high}].t else moment + {window} end"
    return f"coalesce({spoilt} > {until}, true)"


def _relation(relations: set[str], order: str) -> str:
    if len(relations) == 1 and (order != "strict" or relations == {"activity"}):
        return next(iter(relations))
    return "user_events" if "events" not in relations else "events"


def _named(events: Sequence[Selector], binder: Binder) -> str:
    """SQL that holds of events of these names, so that others are not even read; of all where one has no name."""
    names = {event.get("event") if isinstance(event, Mapping) else event for event in events}
    if None in names:
        return "true"
    return f"event_name in ({', '.join(binder.bind(str(name)) for name in sorted(map(str, names)))})"


def _within(event: EventSet, relation: str) -> str:
    """A step's condition, over a relation that may hold more than the step's own."""
    if event.relation == "activity" and relation != "activity":
        return f"(({event.condition}) and {_ACTIVITY})"
    return f"({event.condition})"


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")
