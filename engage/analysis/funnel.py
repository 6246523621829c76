"""Funnels: how many users went through a series of steps within a time, and how long each step took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from engage.analysis.events import Binder, Selector
from engage.analysis.funnel_counts import PARTS, counted
from engage.analysis.funnel_sql import Asked, attempts, exclusions, masks
from engage.analysis.population import people_condition, span_condition
from engage.analysis.segments import Segment
from engage.errors import QueryError
from engage.query.engine import Engine
from engage.query.files import with_literals
from engage.windows import parse_window

__all__ = ["funnel", "funnel_segment", "funnel_times", "funnel_users"]

_ORDERS = ("ordered", "strict", "any")
_STEPS = range(2, 11)
_BINS = range(1, 1001)
_THREADS = 8


def funnel(
    engine: Engine,
    steps: Sequence[Selector],
    *,
    within: str | timedelta = "7 days",
    order: str = "ordered",
    exclude: Sequence[Selector] = (),
    where: Mapping[str, Any] | None = None,
    segment: str | Segment | None = None,
    label: str | None = None,
    campaign: str | None = None,
    breakdown: str | None = None,
    start: str | date | datetime | None = None,
    end: str | date | datetime | None = None,
    as_of: datetime | None = None,
) -> pl.DataFrame:
    """Count the users who reached each step.

    Every first step is an attempt, and a user counts with the deepest of theirs (the earliest of equally deep ones).
    An event fills one step; events of the same instant may follow one another.

    Args:
        engine: What answers.
        steps: 2 to 10 events: a name, None for any activity, or ``{"event": …, "where": {…}}``.
        within: The time an attempt has, counted from its first step, its end included.
        order: ``ordered``, other events may come between; ``strict``, a step is the very next thing the user did;
            ``any``, the steps in whichever order; no two may be the same, and an event that fits several fills each.
        exclude: Events that spoil an attempt when they happen after its first step and before it is complete, or, with
            ``{"event", "where", "from_step", "to_step"}`` (counted from 0), between those two steps. A user with no
            clean attempt is not counted at all.
        where: Conditions on the properties of every step.
        segment: Only users of this segment.
        label: Only users sent a message with this label.
        campaign: Only users sent this campaign.
        breakdown: A property of the first step's event; a table for each of its values.
        start: Only events from then on.
        end: Only events before then; a day is included whole.
        as_of: See only what happened before then.

    Returns:
        One row a step: `step` (1, 2, …), `event_name`, `users`, `rate` (of the users of step 1; null if none),
        `median_seconds` (since the step before; null for step 1 or when nobody got there). With `breakdown` a first
        column `breakdown`, the most frequent value first.

    Raises:
        QueryError: An argument is not one of those there are.

    Source:
        The answer of ordered funnels is that of ClickHouse's windowFunnel
        (https://clickhouse.com/docs/sql-reference/aggregate-functions/parametric-functions#windowfunnel).
    """
    binder, asked = _asked(
        engine, steps, within, order, exclude, where, segment, label, campaign, breakdown, start, end
    )
    found = None if breakdown else _by_columns(engine, binder, asked, as_of)
    if found is None:
        found = _by_statement(engine, binder, asked, as_of)
    return _table(found, steps, order, bool(breakdown))


def _by_columns(engine: Engine, binder: Binder, asked: Asked, as_of: datetime | None) -> pl.DataFrame | None:
    """One row of `u1`, `m1`, …: how many reached each step, and the median of their seconds; None where it is open."""
    count = len(asked.steps)
    own = Binder(dict(binder.params))
    query = masks(own, asked, PARTS)
    events = engine.table(query, own.params or None, as_of=as_of)
    found = counted(events, count, asked.exclude, asked.micros, asked.order, min(engine.threads, _THREADS))
    if found is None:
        return None
    row: dict[str, Any] = {"breakdown": None}
    for k in range(count):
        row |= {f"u{k + 1}": found.users[k], f"m{k + 1}": found.medians[k]}
    return pl.DataFrame([row])


def _by_statement(engine: Engine, binder: Binder, asked: Asked, as_of: datetime | None) -> pl.DataFrame:
    """The same by SQL alone, a row a `breakdown`."""
    columns = ", ".join(
        f"count(*) filter (len(reached) >= {k}) as u{k}, "
        + (f"median((reached[{k}] - reached[{k - 1}]) / 1e6) as m{k}" if k > 1 else "null::double as m1")
        for k in range(1, len(asked.steps) + 1)
    )
    own = Binder(dict(binder.params))
    query = f"with {attempts(own, asked)} select value as breakdown, {columns} from best group by 1"
    return engine.frame(query, own.params or None, as_of=as_of)


def funnel_users(
    engine: Engine,
    steps: Sequence[Selector],
    step: int,
    *,
    is_dropped: bool = False,
    as_of: datetime | None = None,
    **question: Any,
) -> pl.DataFrame:
    """Tell who reached a step, or who went no further than the one before it.

    Args:
        engine: What answers.
        steps: As for :func:`funnel`.
        step: Which, from 1.
        is_dropped: Those who reached the step before, and not this one.
        as_of: See only what happened before then.
        question: The other arguments of :func:`funnel`.

    Returns:
        One row a user, sorted: `user_id`, `breakdown` (null without one), `started_at`, `seconds` (from the step
        before; null for step 1 and for those who dropped), `total_seconds` (from step 1).

    Raises:
        QueryError: There is no such step, or an argument is not one of those there are.
    """
    binder, tables, has = _reached(engine, steps, step, is_dropped, question)
    before = f"(reached[{step}] - reached[{step - 1}]) / 1e6" if step > 1 else "null::double"
    query = (
        f"with {tables} select user_id, value as breakdown, make_timestamptz(reached[1]) as started_at, "
        f"{before} as seconds, (reached[{step}] - reached[1]) / 1e6 as total_seconds from best where {has} "
        "order by user_id"
    )
    return engine.frame(query, binder.params or None, as_of=as_of)


def funnel_segment(
    engine: Engine, steps: Sequence[Selector], step: int, *, is_dropped: bool = False, **question: Any
) -> str:
    """Make SQL of who reached a step, or went no further than the one before it, whenever it is asked.

    Args:
        engine: What answers.
        steps: As for :func:`funnel`.
        step: Which, from 1.
        is_dropped: Those who reached the step before, and not this one.
        question: The other arguments of :func:`funnel`.

    Returns:
        A select of `user_id`, which :func:`engage.analysis.segment_files.save_segment` takes.

    Raises:
        QueryError: As for :func:`funnel_users`.
    """
    binder, tables, has = _reached(engine, steps, step, is_dropped, question)
    return with_literals(f"with {tables}\nselect user_id\nfrom best\nwhere {has}\n", binder.params)


def _reached(
    engine: Engine, steps: Sequence[Selector], step: int, is_dropped: bool, question: Mapping[str, Any]
) -> tuple[Binder, str, str]:
    """SQL of the common tables, the last of them `best`, and of who of it reached a step."""
    lowest = 2 if is_dropped else 1
    if not lowest <= step <= len(steps):
        raise QueryError(f"there is no step {step}", where="funnel", hint=f"use {lowest} to {len(steps)}")
    binder, asked = _asked(engine, steps, **question)
    return binder, attempts(binder, asked), f"len(reached) = {step - 1}" if is_dropped else f"len(reached) >= {step}"


def funnel_times(
    engine: Engine,
    steps: Sequence[Selector],
    step: int | None = None,
    *,
    bins: int = 20,
    as_of: datetime | None = None,
    **question: Any,
) -> pl.DataFrame:
    """Tell how the time from the first step to another is spread.

    Args:
        engine: What answers.
        steps: As for :func:`funnel`.
        step: Which, from 2; the last one by default.
        bins: How many equal parts the time is cut into, 1 to 1000.
        as_of: See only what happened before then.
        question: The other arguments of :func:`funnel`.

    Returns:
        One row a part, shortest first: `from_seconds`, `to_seconds` (not included, but for the last), `users`. None
        when nobody got there.
    """
    reached = len(steps) if step is None else step
    if reached < 2 or bins not in _BINS:
        raise QueryError("a time needs a step after the first, and 1 to 1000 bins", where="funnel")
    seconds = funnel_users(engine, steps, reached, as_of=as_of, **question)["total_seconds"]
    top = float(seconds.max() or 0.0)  # type: ignore[arg-type]
    width = top / bins or 1.0
    table = (
        pl.DataFrame({"bin": (seconds / width).floor().cast(pl.Int64).clip(0, bins - 1)}).group_by("bin").len("users")
    )
    every = pl.DataFrame({"bin": range(bins if top else 1)}, schema={"bin": pl.Int64})
    spread = every.join(table, on="bin", how="left").select(
        (pl.col("bin") * width).alias("from_seconds"),
        ((pl.col("bin") + 1) * width).alias("to_seconds"),
        pl.col("users").fill_null(0).cast(pl.Int64),
    )
    return spread if seconds.len() else spread.clear()


def _asked(
    engine: Engine,
    steps: Sequence[Selector],
    within: str | timedelta = "7 days",
    order: str = "ordered",
    exclude: Sequence[Selector] = (),
    where: Mapping[str, Any] | None = None,
    segment: str | Segment | None = None,
    label: str | None = None,
    campaign: str | None = None,
    breakdown: str | None = None,
    start: str | date | datetime | None = None,
    end: str | date | datetime | None = None,
) -> tuple[Binder, Asked]:
    if isinstance(steps, (str, Mapping)):
        raise QueryError("the steps of a funnel are a list of events", where="funnel")
    if len(steps) not in _STEPS:
        raise QueryError(f"a funnel has 2 to 10 steps, not {len(steps)}", where="funnel")
    if order not in _ORDERS:
        raise QueryError(f"{order!r} is not one of {', '.join(_ORDERS)}", where="funnel")
    if order == "any" and any(step in list(steps[:k]) for k, step in enumerate(steps)):
        raise QueryError("steps in any order must differ", where="funnel", hint="or use order='ordered'")
    length = within if isinstance(within, timedelta) else parse_window(within)
    binder = Binder()
    asked = Asked(
        steps=steps,
        exclude=exclusions(exclude, len(steps), order),
        where=where,
        order=order,
        micros=length // timedelta(microseconds=1),
        people=people_condition(engine, binder, segment, label, campaign),
        breakdown=breakdown,
        span=span_condition(engine, binder, start, end),
    )
    return binder, asked


def _table(found: pl.DataFrame, steps: Sequence[Selector], order: str, has_breakdown: bool) -> pl.DataFrame:
    rows: list[tuple[Any, ...]] = []
    tables = found.sort(["u1", "breakdown"], descending=[True, False], nulls_last=True).iter_rows(named=True)
    empty: dict[str, Any] = {"breakdown": None}
    for row in list(tables) or ([] if has_breakdown else [empty]):
        first = row.get("u1", 0)
        for k, step in enumerate(steps, 1):
            name = step.get("event") if isinstance(step, Mapping) else step
            shown = f"any {k} of {len(steps)}" if order == "any" else name or "any activity"
            users = row.get(f"u{k}", 0)
            rate = users / first if first else None
            rows.append((row["breakdown"], k, shown, users, rate, row.get(f"m{k}")))
    schema = {
        "breakdown": pl.String(),
        "step": pl.Int64(),
        "event_name": pl.String(),
        "users": pl.Int64(),
        "rate": pl.Float64(),
        "median_seconds": pl.Float64(),
    }
    table = pl.DataFrame(rows, schema=schema, orient="row")
    return table if has_breakdown else table.drop("breakdown")
