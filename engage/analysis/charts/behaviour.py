"""Pictures of behaviour: trends, active users, stickiness, paths, RFM and uninstalls."""

from __future__ import annotations

import altair as alt
import polars as pl

from engage.analysis.charts.theme import COUNT, DAY, PALETTE, PERCENT, titled

__all__ = [
    "active_users_lines",
    "path_flow",
    "people_a_day",
    "rfm_grid",
    "sizes_line",
    "stickiness_bars",
    "trend_lines",
    "uninstall_bars",
    "uninstall_rates",
]


def trend_lines(table: pl.DataFrame, *, title: str = "Trend", unit: str = "events") -> alt.LayerChart | alt.FacetChart:
    """A line an event or value; a period that is not over is a hollow point.

    Args:
        table: As :func:`engage.analysis.trends.trends` gives it.
        title: What it shows.
        unit: What `value` counts.
    """
    name = pl.col("event_name")
    if "breakdown" in table.columns:
        name = name + " · " + pl.col("breakdown").fill_null("not set")
    data = table.with_columns(name.alias("name"))
    names = data["name"].unique(maintain_order=True).to_list()
    base = alt.Chart(data, title=titled(title, "Hollow: the period is not over yet")).encode(
        x=alt.X("period:T", title=None),
        y=alt.Y("value:Q", title=unit, axis=alt.Axis(format=",.2~f")),
        color=alt.Color("name:N", title=None, scale=alt.Scale(domain=names, range=list(PALETTE))),
        tooltip=[
            alt.Tooltip("name:N", title="event"),
            alt.Tooltip("period:T", format=DAY),
            alt.Tooltip("value:Q", title=unit, format=",.2~f"),
            alt.Tooltip("is_complete:N", title="period is over"),
        ],
    )
    over = base.transform_filter("datum.is_complete").mark_point(filled=True, size=40)
    running = base.transform_filter("!datum.is_complete").mark_point(filled=False, size=60)
    return alt.layer(base.mark_line(), over, running).properties(width="container", height=320)


def people_a_day(daily: pl.DataFrame, *, title: str = "People active a day") -> alt.Chart:
    """A low picture of how many came each day, for a page that shows other things too.

    Args:
        daily: :attr:`engage.analysis.week.Week.daily`.
        title: What it shows.
    """
    return (
        alt.Chart(daily, title=titled(title, f"The last {daily.height} days there is anything of"))
        .mark_area(line={"color": PALETTE[0]}, color=PALETTE[0], opacity=0.2)
        .encode(
            x=alt.X("day:T", title=None),
            y=alt.Y("people:Q", title=None, axis=alt.Axis(format="~s")),
            tooltip=[
                alt.Tooltip("day:T", title="Day", format=DAY),
                alt.Tooltip("people:Q", title="People", format=COUNT),
            ],
        )
        .properties(height=160, width="container")
    )


def sizes_line(sizes: pl.DataFrame, *, title: str = "How many were in it") -> alt.Chart:
    """A segment's size over time.

    Args:
        sizes: As :func:`engage.analysis.segment_change.segment_sizes` gives it.
        title: What it shows.
    """
    return (
        alt.Chart(sizes, title=titled(title, "People in it at the start of each period"))
        .mark_line(point=True, color=PALETTE[0])
        .encode(
            x=alt.X("as_of:T", title=None),
            y=alt.Y("users:Q", title=None, axis=alt.Axis(format="~s")),
            tooltip=[
                alt.Tooltip("as_of:T", title="As of", format=DAY),
                alt.Tooltip("users:Q", title="People", format=COUNT),
            ],
        )
        .properties(height=220, width="container")
    )


def active_users_lines(table: pl.DataFrame, *, title: str = "Active users") -> alt.Chart:
    """Daily, weekly and monthly active users.

    Args:
        table: As :func:`engage.analysis.active_users.active_users` gives it.
        title: What it shows.
    """
    names = {"dau": "in the day", "wau": "in 7 days", "mau": "in 30 days"}
    data = table.rename(names).unpivot(list(names.values()), index="date", variable_name="window", value_name="users")
    return (
        alt.Chart(data, title=titled(title, "Different people who were here up to each day"))
        .mark_line()
        .encode(
            x=alt.X("date:T", title=None),
            y=alt.Y("users:Q", title="people", axis=alt.Axis(format=COUNT, tickMinStep=1)),
            color=alt.Color(
                "window:N", title=None, scale=alt.Scale(domain=list(names.values()), range=list(PALETTE[:3]))
            ),
            tooltip=[
                alt.Tooltip("date:T", format=DAY),
                alt.Tooltip("window:N"),
                alt.Tooltip("users:Q", title="people", format=COUNT),
            ],
        )
        .properties(width="container", height=320)
    )


def stickiness_bars(table: pl.DataFrame, *, title: str = "Stickiness", unit: str = "day") -> alt.Chart:
    """How many people were active on so many days.

    Args:
        table: As :func:`engage.analysis.active_users.stickiness` gives it.
        title: What it shows.
        unit: What a period is.
    """
    return (
        alt.Chart(table, title=titled(title, f"People by the number of {unit}s they were active on"))
        .mark_bar()
        .encode(
            x=alt.X("times:O", title=f"{unit}s active, of the last {table.height}", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("users:Q", title="people", axis=alt.Axis(format=COUNT, tickMinStep=1)),
            tooltip=[
                alt.Tooltip("times:O", title=f"{unit}s"),
                alt.Tooltip("users:Q", title="people", format=COUNT),
                alt.Tooltip("rate:Q", title="of all active", format=PERCENT),
                alt.Tooltip("users_at_least:Q", title="on at least so many", format=COUNT),
            ],
        )
        .properties(width="container", height=240)
    )


def path_flow(table: pl.DataFrame, *, title: str = "What happened next") -> alt.LayerChart | alt.FacetChart:
    """Events in columns, one a step, and lines as thick as the paths between them.

    Args:
        table: As :func:`engage.analysis.paths.paths` gives it.
        title: What it shows.
    """
    first = table.filter(pl.col("step") == 1)
    starts = first.group_by(pl.lit(0).alias("step"), pl.col("from_event").alias("name")).agg(pl.col("times").sum())
    later = table.group_by("step", pl.col("to_event").alias("name")).agg(pl.col("times").sum())
    nodes = (
        pl.concat([starts.cast({"step": pl.Int64}), later.cast({"step": pl.Int64})])
        .sort(["step", "times", "name"], descending=[False, True, False])
        .with_columns(pl.col("name").cum_count().over("step").alias("row"))
    )
    links = (
        table.with_columns((pl.col("step") - 1).cast(pl.Int64).alias("before"), pl.col("step").cast(pl.Int64))
        .join(nodes.select(before="step", from_event="name", from_row="row"), on=["before", "from_event"], how="left")
        .join(nodes.select("step", to_event="name", to_row="row"), on=["step", "to_event"], how="left")
        .drop_nulls(["from_row", "to_row"])
    )
    rows = alt.Axis(labels=False, ticks=False, domain=False, grid=False)
    steps = alt.Axis(tickMinStep=1, values=sorted(nodes["step"].unique().to_list()), format="d", domain=False)
    x = alt.Scale(domain=[-0.3, float(nodes["step"].max() or 0) + 0.6])  # type: ignore[arg-type]
    lines = (
        alt.Chart(links)
        .mark_rule(opacity=0.35, strokeCap="round")
        .encode(
            x=alt.X("before:Q", title="step", axis=steps, scale=x),
            x2="step:Q",
            y=alt.Y("from_row:Q", title=None, axis=rows, scale=alt.Scale(reverse=True)),
            y2="to_row:Q",
            strokeWidth=alt.StrokeWidth("times:Q", legend=None, scale=alt.Scale(range=[1, 18])),
            color=alt.value(PALETTE[0]),
            tooltip=[
                alt.Tooltip("from_event:N", title="from"),
                alt.Tooltip("to_event:N", title="to"),
                alt.Tooltip("times:Q", title="paths", format=COUNT),
                alt.Tooltip("users:Q", title="people", format=COUNT),
            ],
        )
    )
    at = alt.Chart(nodes.with_columns((pl.col("name") + "  " + pl.col("times").cast(pl.String)).alias("text"))).encode(
        x=alt.X("step:Q", scale=x, axis=steps), y=alt.Y("row:Q", axis=rows, scale=alt.Scale(reverse=True))
    )
    points = at.mark_point(size=70, filled=True, color=PALETTE[0], opacity=1)
    words = at.mark_text(align="left", dx=9, dy=-9).encode(text="text:N")
    height = 90 + 55 * (nodes.select(pl.col("row").max()).item() or 1)
    return alt.layer(lines, points, words, title=titled(title, "Paths step by step; thickness: how many")).properties(
        width="container", height=height
    )


def rfm_grid(
    table: pl.DataFrame, *, title: str = "Customers by recency and frequency"
) -> alt.LayerChart | alt.FacetChart:
    """A cell for each pair of scores, darker with more customers, with the usual name.

    Args:
        table: As :func:`engage.analysis.rfm.rfm` gives it.
        title: What it shows.
    """
    base = alt.Chart(table, title=titled(title, "Customers in each cell; 5 is best")).encode(
        x=alt.X("recency_score:O", title="recency", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("frequency_score:O", title="frequency", sort="descending"),
    )
    middle = float(table["users"].max() or 0) / 2  # type: ignore[arg-type]
    cells = base.mark_rect().encode(
        color=alt.Color("users:Q", title="customers", scale=alt.Scale(scheme="blues"), legend=alt.Legend(format=COUNT)),
        tooltip=[
            alt.Tooltip("name:N"),
            alt.Tooltip("users:Q", title="customers", format=COUNT),
            alt.Tooltip("rate:Q", title="of all", format=PERCENT),
            alt.Tooltip("median_recency_days:Q", title="median days since the last", format=",.1f"),
            alt.Tooltip("mean_frequency:Q", title="mean purchases", format=",.1f"),
            alt.Tooltip("monetary:Q", title="their sum", format=",.2f"),
        ],
    )
    ink = alt.condition(f"datum.users > {middle}", alt.value("#ffffff"), alt.value("#222222"))
    names = base.mark_text(dy=-8).encode(text="name:N", color=ink)
    counts = base.mark_text(dy=8).encode(text=alt.Text("users:Q", format=COUNT), color=ink)
    return alt.layer(cells, names, counts).properties(width="container", height=320)


def uninstall_bars(table: pl.DataFrame, *, title: str = "Installs and uninstalls") -> alt.Chart:
    """Installs upwards, uninstalls downwards, period by period.

    Args:
        table: As :func:`engage.analysis.uninstalls.uninstalls` gives it.
        title: What it shows.
    """
    data = table.unpivot(
        ["installs", "uninstalls"], index=["period", "is_complete"], variable_name="what", value_name="users"
    ).with_columns(pl.when(pl.col("what") == "uninstalls").then(-pl.col("users")).otherwise(pl.col("users")).alias("y"))
    return (
        alt.Chart(data, title=titled(title, "People in each period; pale: it is not over yet"))
        .mark_bar()
        .encode(
            x=alt.X("period:T", title=None),
            y=alt.Y("y:Q", title="people", axis=alt.Axis(format=COUNT, tickMinStep=1)),
            color=alt.Color(
                "what:N",
                title=None,
                scale=alt.Scale(domain=["installs", "uninstalls"], range=[PALETTE[0], PALETTE[5]]),
            ),
            opacity=alt.condition("datum.is_complete", alt.value(1), alt.value(0.4)),
            tooltip=[
                alt.Tooltip("what:N"),
                alt.Tooltip("period:T", format=DAY),
                alt.Tooltip("users:Q", title="people", format=COUNT),
            ],
        )
        .properties(width="container", height=240)
    )


def uninstall_rates(
    table: pl.DataFrame, *, title: str = "Uninstalled after a message"
) -> alt.LayerChart | alt.FacetChart:
    """A point a label or campaign with its 95 % interval.

    Args:
        table: As :func:`engage.analysis.uninstalls.uninstalls_after` gives it.
        title: What it shows.
    """
    name = table.columns[0]
    base = alt.Chart(table, title=titled(title, "Share of those sent it; bar: 95 % interval")).encode(
        y=alt.Y(f"{name}:N", sort=table[name].to_list(), title=None),
        tooltip=[
            alt.Tooltip(f"{name}:N"),
            alt.Tooltip("sent:Q", title="people sent it", format=COUNT),
            alt.Tooltip("uninstalled:Q", format=COUNT),
            alt.Tooltip("rate:Q", title="share", format=".2%"),
        ],
    )
    share = alt.X("rate:Q", title="uninstalled", axis=alt.Axis(format=PERCENT))
    bars = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title="uninstalled"), x2="high:Q")
    return alt.layer(bars, base.mark_point(size=60).encode(x=share)).properties(width="container", height=alt.Step(24))
