"""Pictures of retention: a heat map of cohorts, and a curve with its uncertainty."""

from __future__ import annotations

import altair as alt
import polars as pl

from engage.analysis.charts.theme import PALETTE
from engage.analysis.statistics import wilson_interval

__all__ = ["retention_curve", "retention_heat_map"]


def retention_heat_map(table: pl.DataFrame, *, title: str = "Retention by cohort", unit: str = "day") -> alt.Chart:
    """A cell for each cohort and period; periods that have not begun are left empty.

    Args:
        table: `cohort`, `size`, `period`, `users`, `rate`, as :func:`engage.analysis.retention.retention` gives it.
        title: What it shows.
        unit: What a period is.
    """
    cells = table.filter(pl.col("rate").is_not_null() & (pl.col("period") > 0)).with_columns(
        pl.col("cohort").cast(pl.String)
    )
    top = float(cells["rate"].max() or 0.01)  # type: ignore[arg-type]
    return (
        alt.Chart(
            cells,
            title=alt.Title(title, subtitle=f"Share of the cohort that was back; empty: that {unit} is yet to come"),
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
            tooltip=[
                alt.Tooltip("cohort:N", title="cohort"),
                alt.Tooltip("period:Q", title=unit),
                alt.Tooltip("users:Q", title="people back", format=","),
                alt.Tooltip("size:Q", title="of", format=","),
                alt.Tooltip("rate:Q", title="share", format=".2%"),
            ],
        )
        .properties(width="container", height=alt.Step(18))
    )


def retention_curve(
    groups: dict[str, pl.DataFrame], *, title: str = "Retention", unit: str = "day"
) -> alt.LayerChart | alt.FacetChart:
    """A line a group, each with a 95 % interval (Wilson).

    Args:
        groups: By name, a table with `day`, `people`, `back`, `rate`.
        title: What it shows.
        unit: What a period is.
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
    base = alt.Chart(data, title=alt.Title(title, subtitle="Line: share that was back. Band: 95 % interval"))
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
    return alt.layer(band, line).properties(width="container", height=320)
