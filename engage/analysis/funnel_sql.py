"""The SQL of funnels: every attempt learns the chain of steps that follows it, and each user keeps the best one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engage.analysis.events import Binder, EventSet, Selector, select_events
from engage.errors import QueryError

__all__ = ["Exclusion", "attempts", "exclusions"]


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


def attempts(
    binder: Binder,
    *,
    steps: Sequence[Selector],
    exclude: Sequence[Exclusion],
    where: Mapping[str, Any] | None,
    order: str,
    micros: int,
    people: str,
    breakdown: str | None,
    span: str,
) -> str:
    """The common tables of a funnel, the last of which is `best`: user_id, value, reached (µs since 1970, one a step).

    The earliest chain from an event is the best one from it, and `lead` finds the next event of a step in one sorted
    pass, so time grows with the events (times their sort), however many one user has.
    """
    chosen = [select_events(step, binder, where) for step in steps]
    spoiling = [select_events(item.event, binder) for item in exclude]
    relation = _relation({event.relation for event in (*chosen, *spoiling)}, order)
    count, bads = len(steps), range(len(exclude))
    value = f"json_extract_string(properties, {binder.bind(_pointer(breakdown))})" if breakdown else "null::varchar"
    columns = "".join(f", coalesce({_within(e, relation)}, false) as is{k}" for k, e in enumerate(chosen))
    columns += "".join(f", coalesce({_within(e, relation)}, false) as bad{j}" for j, e in enumerate(spoiling))
    any_step = " or ".join(f"is{k}" for k in range(count))
    kept = " or ".join([any_step, *(f"bad{j}" for j in bads)])
    if order == "strict":
        columns += f", {'true' if relation == 'activity' else _ACTIVITY} as is_done"
        kept += " or is_done"
    first = "case " + " ".join(f"when is{k} then {k}" for k in range(count)) + f" else {count} end"
    along = "over (partition by user_id order by moment, first, event_id)"
    spoilt = "".join(f", lead(case when bad{j} then moment end ignore nulls) {along} as spoilt{j}" for j in bads)
    ctes = [
        f"found as (select user_id, event_id, epoch_us(event_time) as moment, {value} as value{columns} "
        f"from {relation} where ({people}) and ({span}))",
        f"marked as (select *, {first} as first from found where {kept})",
        f"spoiled as (select *{spoilt} from marked)",
    ]
    # An element of a chain is when its step happened and, where something is excluded, when next that happened.
    element = f"{{t: moment, bad: [{', '.join(f'spoilt{j}' for j in bads) or 'null::bigint'}]}}"
    happened, times = "x.t", "list_transform(chain, lambda x: x.t)"
    if not exclude:
        element, happened, times = "moment", "x", "chain"
    ctes += _any_order(count, element, any_step) if order == "any" else _in_order(count, element, order)
    window = binder.bind(micros)
    clean = " and ".join(_clean(item, j, count, window) for j, item in enumerate(exclude)) or "true"
    ctes += [
        f"timed as (select *, list_filter(times, lambda x: {happened} <= moment + {window}) as chain from attempts)",
        f"clean as (select * from timed where {clean})",
        f"best as (select user_id, unnest(arg_max({{value: value, reached: {times}}}, "
        "(len(chain), -moment, event_id))) from clean group by user_id)",
    ]
    return ", ".join(ctes)


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


def _within(event: EventSet, relation: str) -> str:
    """A step's condition, over a relation that may hold more than the step's own."""
    if event.relation == "activity" and relation != "activity":
        return f"(({event.condition}) and {_ACTIVITY})"
    return f"({event.condition})"


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")
