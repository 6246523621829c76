"""Pictures of retention: a heat map of cohorts, a curve with its uncertainty, and what a message did to it."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from engage.analysis.charts.theme import PALETTE, verdict, verdict_colour
from engage.analysis.statistics import wilson_interval

__all__ = ["retention_curve", "retention_difference", "retention_heat_map"]


def retention_heat_map(table: pl.DataFrame, *, title: str = "Retention by cohort", unit: str = "day") -> alt.Chart:
    """A cell for each cohort and period; periods that have not begun are left empty, those that are not over pale.

    Args:
        table: `cohort`, `size`, `period`, `users`, `rate`, as :func:`engage.analysis.retention.retention` gives it, and
            `is_ongoing`, where that was asked for.
        title: What it shows.
        unit: What a period is.
    """
    cells = table.filter(pl.col("rate").is_not_null() & (pl.col("period") > 0)).with_columns(
        pl.col("cohort").cast(pl.String)
    )
    top = float(cells["rate"].max() or 0.01)  # type: ignore[arg-type]
    told = f"Share of the cohort that was back; empty: that {unit} is yet to come"
    opacity: Any = alt.value(1.0)
    notes = []
    if "is_ongoing" in cells.columns:
        told += "; pale: it is not over"
        cells = cells.with_columns(state=pl.when("is_ongoing").then(pl.lit("not over")).otherwise(pl.lit("over")))
        opacity = alt.condition(alt.datum.state == "not over", alt.value(0.45), alt.value(1.0))
        notes = [alt.Tooltip("state:N", title=f"that {unit} is")]
    return (
        alt.Chart(
            cells,
            title=alt.Title(title, subtitle=told),
        )
        .mark_rect()
        .encode(
            x=alt.X("period:O", title=f"{unit}s after the start", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("cohort:O", title="cohort"),
            color=alt.Color(
                "rate:Q",
                title="back",
                scale=alt.Scale(scheme="blues", domain=[0, top]),
                legend=alt.Legend(format=".1~%"),
            ),
            opacity=opacity,
            tooltip=[
                alt.Tooltip("cohort:N", title="cohort"),
                alt.Tooltip("period:Q", title=unit),
                alt.Tooltip("users:Q", title="people back", format=","),
                alt.Tooltip("size:Q", title="of", format=","),
                alt.Tooltip("rate:Q", title="share", format=".2%"),
                *notes,
            ],
        )
        .properties(width="container", height=alt.Step(18))
    )


def retention_curve(
    groups: dict[str, pl.DataFrame], *, title: str = "Retention", unit: str = "day", with_interval: bool = True
) -> alt.LayerChart | alt.FacetChart:
    """A line a group, each with a 95 % interval (Wilson).

    Args:
        groups: By name, a table with `day`, `people`, `back`, `rate`.
        title: What it shows.
        unit: What a period is.
        with_interval: Whether the people counted are different ones, so that there is an interval; not where one person
            is in several cohorts.
    """
    rows = []
    for name, table in groups.items():
        for row in table.filter(pl.col("day") > 0).iter_rows(named=True):
            low, high = wilson_interval(row["back"], row["people"]) or (None, None)
            rows.append({"group": name, **row, "low": low, "high": high})
    schema = {
        "group": pl.String, "day": pl.Int64, "people": pl.Int64, "back": pl.Int64, "rate": pl.Float64,
        "low": pl.Float64, "high": pl.Float64,
    }  # fmt: skip
    data = pl.DataFrame(rows, schema=schema)
    told = "Line: share that was back" + ". Band: 95 % interval" * with_interval
    base = alt.Chart(data, title=alt.Title(title, subtitle=told))
    x = alt.X("day:Q", title=f"{unit}s after the start", axis=alt.Axis(tickMinStep=1))
    legend = alt.Legend(symbolOpacity=1)  # else as pale as the band
    scale = alt.Scale(domain=list(groups), range=list(PALETTE))
    colour = alt.Color("group:N", title=None, scale=scale, legend=legend)
    band = base.mark_area(opacity=0.18).encode(x=x, y="low:Q", y2="high:Q", color=colour)
    line = base.mark_line(point=True).encode(
        x=x,
        y=alt.Y("rate:Q", title="people back", axis=alt.Axis(format=".1%")),
        color=colour,
        tooltip=[
            alt.Tooltip("group:N", title="group"),
            alt.Tooltip("day:Q", title=unit),
            alt.Tooltip("back:Q", title="people back", format=","),
            alt.Tooltip("people:Q", title="of", format=","),
            alt.Tooltip("rate:Q", title="share", format=".2%"),
        ],
    )
    return alt.layer(*[band] * with_interval, line).properties(width="container", height=320)


def retention_difference(
    table: pl.DataFrame, *, title: str = "Against those held out"
) -> alt.LayerChart | alt.FacetChart:
    """How much more often those sent a message were back than those held out, day by day, with 95 % intervals.

    Args:
        table: As :func:`engage.analysis.retention_lift.retention_lift` gives it.
        title: What it shows.

    Returns:
        A point a day with its interval, grey where that holds zero, and a line at zero.
    """
    words = ("more often", "less often", "not told apart")
    shown = table.with_columns(verdict=verdict("difference_low", "difference_high", words))
    told = "Share of those sent it that was back, less that of those held out. Bar: 95 % interval of each day"
    base = alt.Chart(shown).encode(
        x=alt.X("day:Q", title="days after the start", axis=alt.Axis(tickMinStep=1)),
        color=verdict_colour(words),
        tooltip=[
            alt.Tooltip("day:Q", title="day"),
            alt.Tooltip("rate:Q", title="sent: back", format=".2%"),
            alt.Tooltip("people:Q", title="of", format=","),
            alt.Tooltip("held_out_rate:Q", title="held out: back", format=".2%"),
            alt.Tooltip("held_out:Q", title="of", format=","),
            alt.Tooltip("difference:Q", title="difference", format="+.2%"),
            alt.Tooltip("difference_low:Q", title="95 % interval from", format="+.2%"),
            alt.Tooltip("difference_high:Q", title="to", format="+.2%"),
        ],
    )
    y = alt.Y("difference:Q", title="difference in people back", axis=alt.Axis(format="+.1%"))
    zero = alt.Chart(pl.DataFrame({"zero": [0.0]})).mark_rule(strokeDash=[4, 3]).encode(y="zero:Q")
    bars = base.mark_rule(strokeWidth=2).encode(y=alt.Y("difference_low:Q"), y2="difference_high:Q")
    points = base.mark_point(filled=True, size=45).encode(y=y)
    return alt.layer(zero, bars, points, title=alt.Title(title, subtitle=told)).properties(
        width="container", height=220
    )
