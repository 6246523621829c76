"""The questions that analyses are measured by, each asked of this product, of chdb and of polars over the same files.

Each road returns plain sorted rows, so that answers can be compared. What chdb and polars are asked is the best form
found for each: retention from bit masks a user, grouped by equal masks; funnels by ClickHouse's own windowFunnel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from made_lake import DAYS, START

import engage
from engage.analysis.segment_conditions import All, Did, Not, Profile

__all__ = ["QUESTIONS", "Question", "Rows", "Sources"]

Rows = list[tuple[Any, ...]]

COHORTS, WINDOW = 30, 31
END = START + timedelta(days=DAYS)
LABEL = "Winter"
STEPS = ("Searched", "Added To Cart", "Charged")
SILENT = END - timedelta(days=7)


@dataclass(frozen=True)
class Sources:
    """The lake, as each engine takes it.

    Args:
        workspace: For this product.
        chdb: Runs a ClickHouse statement.
    """

    workspace: engage.Workspace
    chdb: Callable[[str], pl.DataFrame]

    def file(self, dataset: str) -> str:
        """The dataset for ClickHouse, after ``from``."""
        return f"file('{self._glob(dataset)}', Parquet)"

    def scan(self, dataset: str) -> pl.LazyFrame:
        """The dataset for polars."""
        return pl.scan_parquet(self._glob(dataset), hive_partitioning=False)

    def _glob(self, dataset: str) -> str:
        return f"{Path(self.workspace.settings.lake) / dataset}/date=20*/*.parquet"


@dataclass(frozen=True)
class Question:
    """One question.

    Args:
        name: What it is called.
        own: This product's answer.
        chdb: ClickHouse's.
        polars: That of polars; None where there is no fair way to ask.
        has_derived: Whether the derived tables answer it.
    """

    name: str
    own: Callable[[Sources], Rows]
    chdb: Callable[[Sources], Rows]
    polars: Callable[[Sources], Rows] | None = None
    has_derived: bool = True


def _rows(frame: pl.DataFrame) -> Rows:
    return sorted(frame.rows())


def _stamp(moment: datetime) -> str:
    return f"toDateTime64('{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}', 6, 'UTC')"


def _day(dtype: str = "event_time") -> str:
    return f"(toUInt32(toDate({dtype}, 'UTC')) - toUInt32(toDate('{START:%Y-%m-%d}')))"


# --- three columns, the limit of any question over all events


def _scan_own(sources: Sources) -> Rows:
    files = f"read_parquet('{sources._glob('events')}', hive_partitioning = false)"
    query = f"select count(user_id), count(event_name), max(epoch_us(event_time)) from {files}"
    return _rows(sources.workspace.engine.frame(query))


def _scan_chdb(sources: Sources) -> Rows:
    query = (
        "select count(user_id), count(event_name), toInt64(max(toUnixTimestamp64Micro(event_time))) "
        f"from {sources.file('events')}"
    )
    return _rows(sources.chdb(query).cast(pl.Int64))


def _scan_polars(sources: Sources) -> Rows:
    found = sources.scan("events").select(
        pl.col("user_id").count().cast(pl.Int64),
        pl.col("event_name").count().cast(pl.Int64),
        pl.col("event_time").max().dt.epoch("us"),
    )
    return _rows(found.collect(engine="streaming"))


# --- 30 daily cohorts, each followed for 31 days: who opened the app again


def _retention_own(kind: str) -> Callable[[Sources], Rows]:
    def ask(sources: Sources) -> Rows:
        table = sources.workspace.retention(
            start_event="App Launched",
            return_event="App Launched",
            kind=kind,
            period="day",
            periods=WINDOW,
            date_from=START,
            date_to=START + timedelta(days=COHORTS + WINDOW - 2),
            cohorts=COHORTS,
            as_of=END,
        )
        rows = table.select("cohort", "period", "users").rows()
        return sorted(((cohort - START.date()).days, period, users) for cohort, period, users in rows if period)

    return ask


def _retention_chdb(kind: str) -> Callable[[Sources], Rows]:
    last = START + timedelta(days=COHORTS + WINDOW - 1)

    def ask(sources: Sources) -> Rows:
        masks = (
            f"select groupBitOr(bitShiftLeft(toUInt64(1), {_day()})) as days from {sources.file('events')} "
            f"where event_name = 'App Launched' and event_time < {_stamp(last)} group by user_id"
        )
        same = f"select days, count() as n from ({masks}) group by days"
        first = "toInt64(bitCount(bitXor(days, days - 1)) - 1)"
        cohorts = f"[{first}]" if kind == "first_time" else f"range({COHORTS})"
        pairs = (
            f"select arrayJoin({cohorts}) as cohort, arrayJoin(range(1, {WINDOW})) as period, days, n from ({same}) "
            f"where cohort < {COHORTS} and bitTest(days, cohort)"
        )
        query = (
            f"select toInt64(cohort), toInt64(period), toInt64(sumIf(n, bitTest(days, cohort + period))) "
            f"from ({pairs}) group by cohort, period"
        )
        return _rows(sources.chdb(query))

    return ask


def _retention_polars(kind: str) -> Callable[[Sources], Rows]:
    last = START + timedelta(days=COHORTS + WINDOW - 1)

    def ask(sources: Sources) -> Rows:
        day = (pl.col("event_time").dt.date() - pl.lit(START.date())).dt.total_days().cast(pl.UInt8)
        seen = (
            sources.scan("events")
            .filter((pl.col("event_name") == "App Launched") & (pl.col("event_time") < last))
            .select("user_id", day.alias("day"))
            .unique()
        )
        if kind == "first_time":
            starts = seen.group_by("user_id").agg(pl.col("day").min().alias("cohort"))
        else:
            starts = seen.rename({"day": "cohort"})
        pairs = (
            starts.filter(pl.col("cohort") < COHORTS)
            .join(seen, on="user_id")
            .with_columns((pl.col("day").cast(pl.Int16) - pl.col("cohort").cast(pl.Int16)).alias("period"))
            .filter(pl.col("period").is_between(1, WINDOW - 1))
            .group_by(pl.col("cohort").cast(pl.Int64), pl.col("period").cast(pl.Int64))
            .agg(pl.len().cast(pl.Int64).alias("users"))
        )
        return _rows(pairs.collect(engine="streaming"))

    return ask


# --- a segment: bought twice at least, silent for 7 days, of one country


def _segment_own(sources: Sources) -> Rows:
    workspace = sources.workspace
    condition = All(Did("Charged", at_least=2), Not(Did(None, since=SILENT)), Profile({"country": "DE"}))
    return [(workspace.people(workspace.build_segment(condition), as_of=END).count(),)]


_IDLE = ("App Uninstalled", "Journey Entered", "Journey Step", "Journey Exited")


def _segment_chdb(sources: Sources) -> Rows:
    events = sources.file("events")
    query = (
        f"select toInt64(count()) from (select user_id from {events} where event_name = 'Charged' "
        f"group by user_id having count() >= 2) where user_id not in (select user_id from {events} "
        f"where event_time >= {_stamp(SILENT)} and event_name not in {_IDLE}) "
        f"and user_id in (select user_id from {sources.file('profiles')} "
        "where JSONExtractString(properties, 'country') = 'DE')"
    )
    return _rows(sources.chdb(query))


def _segment_polars(sources: Sources) -> Rows:
    country = pl.col("properties").str.json_path_match("$.country")
    people = sources.scan("profiles").filter(country == "DE").select("user_id")
    bought = (
        sources.scan("events")
        .filter(pl.col("event_name") == "Charged")
        .group_by("user_id")
        .agg(pl.len().alias("n"))
        .filter(pl.col("n") >= 2)
    )
    recent = (
        sources.scan("events")
        .filter((pl.col("event_time") >= SILENT) & ~pl.col("event_name").is_in(_IDLE))
        .select("user_id")
    )
    found = bought.join(people, on="user_id", how="semi").join(recent, on="user_id", how="anti")
    return _rows(found.select(pl.len().cast(pl.Int64)).collect(engine="streaming"))


# --- a label's people, followed from their own first message for 30 days


def _label_own(sources: Sources) -> Rows:
    table = sources.workspace.label_retention(LABEL, 30, as_of=END)
    return _rows(table.select("day", "back"))


def _label_chdb(sources: Sources) -> Rows:
    starts = (
        f"select user_id, toInt64({_day('min(event_time)')}) as begun from {sources.file('notifications')} "
        f"where event_name = 'Notification Sent' and has(labels, '{LABEL}') group by user_id"
    )
    # 90 days do not fit a word of 64: the days are kept as bits of two.
    days = ", ".join(
        f"groupBitOr(if(intDiv({_day()}, 64) = {k}, bitShiftLeft(toUInt64(1), toUInt8({_day()} % 64)), 0)) as w{k}"
        for k in range(2)
    )
    masks = (
        f"select user_id, {days} from {sources.file('events')} where event_name not in {_IDLE} "
        f"and user_id in (select user_id from started) group by user_id"
    )
    shifted = (
        "if(begun < 64, bitOr(bitShiftRight(w0, toUInt8(begun)), "
        "if(begun = 0, 0, bitShiftLeft(w1, toUInt8(greatest(0, 64 - begun))))), "
        "bitShiftRight(w1, toUInt8(greatest(0, begun - 64))))"
    )
    query = (
        f"with started as ({starts}), masks as ({masks}), "
        f"same as (select begun, {shifted} as later, count() as n from started left join masks using (user_id) "
        "group by begun, later) "
        f"select toInt64(day), toInt64(sumIf(n, day = 0 or bitTest(later, day))) from same "
        f"array join range(31) as day where begun + day < {DAYS} group by day"
    )
    return _rows(sources.chdb(query))


def _label_polars(sources: Sources) -> Rows:
    def day(column: str) -> pl.Expr:
        return (pl.col(column).dt.date() - pl.lit(START.date())).dt.total_days().cast(pl.Int16)

    starts = (
        sources.scan("notifications")
        .filter((pl.col("event_name") == "Notification Sent") & pl.col("labels").list.contains(LABEL))
        .group_by("user_id")
        .agg(pl.col("event_time").min())
        .select("user_id", day("event_time").alias("begun"))
    )
    returns = (
        sources.scan("events")
        .filter(~pl.col("event_name").is_in(_IDLE))
        .select("user_id", day("event_time").alias("day"))
        .join(starts, on="user_id")
        .with_columns((pl.col("day") - pl.col("begun")).alias("period"))
        .filter(pl.col("period").is_between(1, 30))
        .select("user_id", "period")
        .unique()
        .group_by("period")
        .agg(pl.len().alias("back"))
    )
    begun, back = pl.collect_all([starts.select(pl.len()), returns], engine="streaming")
    return sorted([(0, begun.item()), *back.select(pl.all().cast(pl.Int64)).rows()])


# --- a funnel of three steps within 7 days


def _funnel_own(sources: Sources) -> Rows:
    table = sources.workspace.funnel(STEPS, within="7 days", as_of=END)
    return _rows(table.select("step", "users"))


def _funnel_chdb(sources: Sources) -> Rows:
    steps = ", ".join(f"event_name = '{name}'" for name in STEPS)
    levels = (
        f"select user_id, windowFunnel({7 * 86_400_000_000}, 'strict_once')"
        f"(toUInt64(toUnixTimestamp64Micro(event_time)), {steps}) as level "
        f"from {sources.file('events')} where event_name in {STEPS} group by user_id"
    )
    query = (
        f"select toInt64(step), toInt64(countIf(level >= step)) from ({levels}) "
        "array join range(1, 4) as step group by step"
    )
    return _rows(sources.chdb(query))


def _funnel_polars(sources: Sources) -> Rows:
    """The latest start that each second and third step may have, carried forward in one sorted pass."""
    moment = pl.col("event_time").dt.epoch("us")
    window = 7 * 86_400_000_000
    found = (
        sources.scan("events")
        .filter(pl.col("event_name").is_in(STEPS))
        .select("user_id", "event_name", moment.alias("t"))
        .sort("user_id", "t")
    )
    is_step = [pl.col("event_name") == name for name in STEPS]

    def carried(values: pl.Expr) -> pl.Expr:
        return values.forward_fill().over("user_id")

    first = found.with_columns(carried(pl.when(is_step[0]).then("t")).alias("s1"))
    second = first.with_columns(
        pl.when(is_step[1] & (pl.col("t") <= pl.col("s1") + window)).then("s1").alias("hit2")
    ).with_columns(carried(pl.col("hit2")).alias("s2"))
    third = second.with_columns((is_step[2] & (pl.col("t") <= pl.col("s2") + window)).alias("hit3"))
    levels = third.group_by("user_id").agg(
        is_step[0].any().alias("u1"), pl.col("hit2").is_not_null().any().alias("u2"), pl.col("hit3").any().alias("u3")
    )
    counts = levels.select(pl.col("u1", "u2", "u3").cast(pl.Int64).sum()).collect(engine="streaming")
    return [(step, counts.item(0, step - 1)) for step in (1, 2, 3)]


QUESTIONS = (
    Question("scan", _scan_own, _scan_chdb, _scan_polars, has_derived=False),
    Question(
        "retention, first time",
        _retention_own("first_time"),
        _retention_chdb("first_time"),
        _retention_polars("first_time"),
    ),
    Question(
        "retention, recurring",
        _retention_own("recurring"),
        _retention_chdb("recurring"),
        _retention_polars("recurring"),
    ),
    Question("segment", _segment_own, _segment_chdb, _segment_polars),
    Question("label cohort", _label_own, _label_chdb, _label_polars),
    Question("funnel", _funnel_own, _funnel_chdb, _funnel_polars, has_derived=False),
)
