"""Chart of what campaigns caused."""

from __future__ import annotations

import altair as alt
import polars as pl

from engage.analysis.charts.theme import COUNT, INK, titled, verdict, verdict_colour

__all__ = ["lift_chart"]


def lift_chart(table: pl.DataFrame) -> alt.LayerChart:
    """Each campaign's difference to its control group, as a point with its 95 % interval.

    Campaigns without a control group are left out; those whose interval holds zero are grey.

    Args:
        table: One metric's rows of :func:`engage.analysis.lift.lift_table`, or :meth:`Lift.frame`.

    Returns:
        One row a campaign, a line at zero.
    """
    metrics = table["metric"].unique().to_list()
    within = table["within"].unique().to_list()
    is_share = metrics != ["revenue"]
    number = "+.2%" if is_share else "+,.2f"
    unit = "percentage of people" if is_share else "per person"
    words = ("better than control", "worse than control", "not told apart")
    shown = table.filter(pl.col("ci_low").is_not_null()).with_columns(
        verdict=verdict("ci_low", "ci_high", words),
        notes=pl.col("warnings").list.join(" · "),
    )
    base = alt.Chart(shown).encode(
        y=alt.Y("campaign:N", title=None, sort="-x"),
        color=verdict_colour(words),
        tooltip=[
            alt.Tooltip("campaign:N", title="Campaign"),
            alt.Tooltip("difference:Q", title="Difference", format=number),
            alt.Tooltip("ci_low:Q", title="95 % interval from", format=number),
            alt.Tooltip("ci_high:Q", title="to", format=number),
            alt.Tooltip("relative:Q", title="Relative", format="+.1%"),
            alt.Tooltip("p_value:Q", title="p-value", format=".2g"),
            alt.Tooltip("treated_mean:Q", title="Treated mean", format=number.lstrip("+")),
            alt.Tooltip("control_mean:Q", title="Control mean", format=number.lstrip("+")),
            alt.Tooltip("treated_n:Q", title="Treated people", format=COUNT),
            alt.Tooltip("control_n:Q", title="Control people", format=COUNT),
            alt.Tooltip("notes:N", title="Notes"),
        ],
    )
    metric = ", ".join(metrics)
    axis = alt.X("ci_low:Q", title=f"Difference in {metric}, {unit}", axis=alt.Axis(format=number, tickCount=6))
    zero = alt.Chart(pl.DataFrame({"zero": [0.0]})).mark_rule(color=INK, strokeDash=[4, 3]).encode(x="zero:Q")
    bars = base.mark_rule(strokeWidth=3).encode(x=axis, x2="ci_high:Q")
    points = base.mark_point(size=90, opacity=1).encode(x=alt.X("difference:Q"))
    chart: alt.LayerChart = alt.LayerChart(layer=[zero, bars, points]).properties(
        title=titled(
            f"What campaigns caused: {metric}",
            f"Treated less held out, within {', '.join(within)}; point and 95 % interval",
        ),
        height=alt.Step(34),
    )
    return chart
