"""Pictures of a funnel: how many are left at each step, and how long they took."""

from __future__ import annotations

import altair as alt
import polars as pl

from engage.analysis.charts.theme import COUNT, PALETTE, PERCENT, titled

__all__ = ["funnel_bars", "funnel_histogram"]


def funnel_bars(table: pl.DataFrame, *, title: str = "Funnel", within: str = "") -> alt.Chart:
    """A bar a step, side by side for each value of a breakdown.

    Args:
        table: As :func:`engage.analysis.funnel.funnel` gives it.
        title: What it shows.
        within: The time an attempt has, for the line below the title.
    """
    has_breakdown = "breakdown" in table.columns
    data = table.with_columns((pl.col("step").cast(pl.String) + ". " + pl.col("event_name")).alias("name"))
    if has_breakdown:
        data = data.with_columns(pl.col("breakdown").fill_null("not set"))
    order = data["name"].unique(maintain_order=True).to_list()
    tooltip = [
        alt.Tooltip("name:N", title="step"),
        alt.Tooltip("users:Q", title="people", format=COUNT),
        alt.Tooltip("rate:Q", title="of step 1", format=PERCENT),
        alt.Tooltip("median_seconds:Q", title="median seconds from the step before", format=",.0f"),
    ]
    subtitle = "People who reached each step" + (f" within {within} of the first" if within else "")
    chart = (
        alt.Chart(data, title=titled(title, subtitle))
        .mark_bar()
        .encode(
            x=alt.X("name:N", sort=order, title=None, axis=alt.Axis(labelAngle=0)),
            y=alt.Y("users:Q", title="people", axis=alt.Axis(format=COUNT, tickMinStep=1)),
            tooltip=[alt.Tooltip("breakdown:N"), *tooltip] if has_breakdown else tooltip,
        )
        .properties(width="container", height=320)
    )
    if not has_breakdown:
        return chart
    values = data["breakdown"].unique(maintain_order=True).to_list()
    return chart.encode(
        xOffset=alt.XOffset("breakdown:N", sort=values),
        color=alt.Color("breakdown:N", title=None, scale=alt.Scale(domain=values, range=list(PALETTE))),
    )


def funnel_histogram(table: pl.DataFrame, *, title: str = "Time to convert") -> alt.Chart:
    """A bar a stretch of time, as high as the people who took that long.

    Args:
        table: As :func:`engage.analysis.funnel.funnel_times` gives it.
        title: What it shows.
    """
    longest = float(table["to_seconds"].max() or 0.0)  # type: ignore[arg-type]
    units = (("days", 86_400), ("hours", 3_600), ("minutes", 60), ("seconds", 1))
    unit, length = next((pair for pair in units if longest >= 2 * pair[1]), units[-1])
    data = table.with_columns(pl.col("from_seconds", "to_seconds") / length)
    return (
        alt.Chart(data, title=titled(title, "People by the time from the first step to the last"))
        .mark_bar()
        .encode(
            x=alt.X("from_seconds:Q", title=unit, bin="binned"),
            x2="to_seconds:Q",
            y=alt.Y("users:Q", title="people", axis=alt.Axis(format=COUNT, tickMinStep=1)),
            tooltip=[
                alt.Tooltip("from_seconds:Q", title=f"from ({unit})", format=",.2f"),
                alt.Tooltip("to_seconds:Q", title="to", format=",.2f"),
                alt.Tooltip("users:Q", title="people", format=COUNT),
            ],
        )
        .properties(width="container", height=240)
    )
