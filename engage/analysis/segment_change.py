"""A segment over time, against another, and by what its people are like."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path

import polars as pl

from engage.analysis.periods import Calendar
from engage.analysis.segments import Segment
from engage.errors import QueryError
from engage.lake.storage import write_atomically
from engage.query.files import literal

__all__ = ["breakdown", "compare", "export_people", "moved", "overlap", "segment_sizes"]

_MOST_POINTS = 1_000
_KINDS = (".csv", ".parquet")


def segment_sizes(segment: Segment, since: datetime, until: datetime, every: str = "week") -> pl.DataFrame:
    """How many people were in a segment at the start of each period, each time asked as of then.

    Args:
        segment: Which; its own time is not used.
        since: From the first period that begins then or later.
        until: Up to and with the last period that has begun by then.
        every: hour, day, week or month, in the workspace's time zone.

    Returns:
        `as_of`, `users`: one row a period.

    Raises:
        QueryError: The SQL is wrong, or there would be more than a thousand points.
    """
    calendar = Calendar.of(every, segment.engine.settings)
    first, last = calendar.number(since - timedelta(microseconds=1)) + 1, calendar.number(until)
    if last - first >= _MOST_POINTS:
        what = f"{last - first + 1:,} points are too many"
        raise QueryError(what, hint="take a longer period, or a shorter time")
    times = [calendar.start(number) for number in range(first, last + 1)]
    users = [replace(segment, as_of=time).count() for time in times]
    zone = segment.engine.settings.timezone
    return pl.DataFrame({"as_of": times, "users": users}, {"as_of": pl.Datetime("us", zone), "users": pl.Int64})


def compare(first: Segment, second: Segment) -> pl.DataFrame:
    """Everyone in one of two segments or in both.

    Args:
        first: One; each has its own time and parameters.
        second: The other.

    Returns:
        `user_id`, `part` (first, both, second): one row a user, sorted.
    """
    one, two = first.users(), second.users()
    parts = (
        one.join(two, on="user_id", how="anti").with_columns(part=pl.lit("first")),
        one.join(two, on="user_id", how="semi").with_columns(part=pl.lit("both")),
        two.join(one, on="user_id", how="anti").with_columns(part=pl.lit("second")),
    )
    return pl.concat(parts).sort("user_id")


def overlap(first: Segment, second: Segment) -> pl.DataFrame:
    """How many people two segments share.

    Args:
        first: One; each has its own time and parameters.
        second: The other.

    Returns:
        `part` (first, both, second), `users`, `rate` (of all three together, null when nobody is in any): three rows.
    """
    counts = dict(compare(first, second).group_by("part").len().iter_rows())
    total = sum(counts.values())
    rows = [(part, counts.get(part, 0), counts.get(part, 0) / total if total else None) for part in _PARTS]
    return pl.DataFrame(rows, {"part": pl.String, "users": pl.Int64, "rate": pl.Float64}, orient="row")


_PARTS = ("first", "both", "second")


def moved(segment: Segment, since: datetime, until: datetime | None = None) -> pl.DataFrame:
    """Who came into a segment and who dropped out of it between two times.

    Args:
        segment: Which; its own time is not used.
        since: The earlier time.
        until: The later one; None for now.

    Returns:
        `user_id`, `change` (came_in, dropped_out): one row a user who was in it at one of the times only, sorted.
    """
    both = compare(replace(segment, as_of=since), replace(segment, as_of=until))
    words = {"first": "dropped_out", "second": "came_in"}
    return both.filter(pl.col("part") != "both").select("user_id", change=pl.col("part").replace_strict(words))


def breakdown(segment: Segment, name: str, *, top: int = 20) -> pl.DataFrame:
    """How many people of a segment have each value of a profile property.

    Args:
        segment: Which.
        name: The property.
        top: How many values are told apart; the others count together.

    Returns:
        `value` (null: not set; "other values" for the rest), `users`, `rate`: one row a value, the most frequent first.
    """
    counts = segment.ask(
        f"select {_property(name)} as value, count(*)::bigint as users from people left join profiles using (user_id) "
        "group by 1 order by users desc, value nulls last"
    )
    known = counts.filter(pl.col("value").is_not_null())
    rest = known.slice(top)["users"].sum()
    other = pl.DataFrame({"value": ["other values"], "users": [rest]}, counts.schema) if rest else counts.clear()
    rows = pl.concat([known.head(top), other, counts.filter(pl.col("value").is_null())])
    return rows.with_columns(rate=pl.col("users") / pl.col("users").sum())


def export_people(segment: Segment, path: Path, properties: tuple[str, ...] = ()) -> int:
    """Write a segment's people into a file, whole or not at all.

    Args:
        segment: Which.
        path: A ``.csv`` or ``.parquet`` file; one that is there is replaced.
        properties: Profile properties to put beside ``user_id``, as text.

    Returns:
        How many people.

    Raises:
        QueryError: The file's ending is neither, or the SQL is wrong.
    """
    if path.suffix.lower() not in _KINDS:
        raise QueryError(f"{path.suffix or path.name!r} is no kind of export", hint="write a .csv or .parquet file")
    if len({"user_id", *properties}) < len(properties) + 1:
        raise QueryError("a property is named twice, or user_id", hint="name each once")
    columns = [f"{_property(name)} as p{number}" for number, name in enumerate(properties)]
    people = segment.ask(
        f"select {', '.join(('people.user_id', *columns))} from people left join profiles using (user_id) order by 1"
    )
    people = people.rename(dict(zip(people.columns, ("user_id", *properties), strict=True)))
    if path.suffix.lower() == ".csv":
        write_atomically(path, people.write_csv())
    else:
        content = BytesIO()
        people.write_parquet(content, compression="zstd")
        write_atomically(path, content.getvalue())
    return people.height


def _property(name: str) -> str:
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    return f"json_extract_string(properties, {literal(pointer)})"
