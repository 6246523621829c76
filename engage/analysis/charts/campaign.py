"""Charts of one campaign: its days, its funnel, its variants."""

from __future__ import annotations

import altair as alt
import polars as pl

from engage.analysis.charts.theme import COUNT, DAY, NEUTRAL, PALETTE, PERCENT, titled

__all__ = ["days_chart", "funnel_chart", "variants_chart"]

_STAGES = ("sent", "delivered", "viewed", "clicked")


def days_chart(days: pl.DataFrame) -> alt.Chart:
    """What happened day by day, a line each for sent, delivered, viewed and clicked.

    Args:
        days: :attr:`engage.analysis.campaign_detail.CampaignDetail.days`.
    """
    long = days.select("day", *_STAGES).unpivot(index="day", variable_name="stage", value_name="messages")
    return (
        alt.Chart(long)
        .mark_line(point=True)
        .encode(
            x=alt.X("day:T", title=None),
            y=alt.Y("messages:Q", title="messages", axis=alt.Axis(format="~s")),
            color=alt.Color("stage:N", title=None, scale=alt.Scale(domain=list(_STAGES), range=list(PALETTE[:4]))),
            tooltip=[
                alt.Tooltip("day:T", title="Day", format=DAY),
                alt.Tooltip("stage:N", title="What"),
                alt.Tooltip("messages:Q", title="Messages", format=COUNT),
            ],
        )
        .properties(title=titled("Day by day"))
    )


def funnel_chart(funnel: pl.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """How far messages came, as bars with their numbers.

    Args:
        funnel: :attr:`engage.analysis.campaign_detail.CampaignDetail.funnel`.
    """
    shown = funnel.with_columns(
        said=pl.format(
            "{} · {}%", pl.col("count").cast(pl.String), (pl.col("of_sent").fill_null(0) * 100).round(1).cast(pl.String)
        )
    )
    base = alt.Chart(shown).encode(
        y=alt.Y("stage:N", title=None, sort=None),
        tooltip=[
            alt.Tooltip("stage:N", title="Stage"),
            alt.Tooltip("count:Q", title="Count", format=COUNT),
            alt.Tooltip("of_sent:Q", title="Of sent", format=PERCENT),
        ],
    )
    bars = base.mark_bar(color=PALETTE[0]).encode(x=alt.X("count:Q", title=None, axis=alt.Axis(format="~s")))
    words = base.mark_text(align="left", dx=4, color=NEUTRAL).encode(x="count:Q", text="said:N")
    return alt.layer(bars, words).properties(height=alt.Step(30), title=titled("From sent to converted"))


def variants_chart(variants: pl.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """The conversion rate of each variant and of the control group, with 95 % intervals.

    Args:
        variants: :attr:`engage.analysis.campaign_detail.CampaignDetail.variants`.
    """
    shown = variants.with_columns(variant=pl.col("variant").replace({"": "all sent"}))
    base = alt.Chart(shown).encode(
        y=alt.Y("variant:N", title=None, sort=None),
        tooltip=[
            alt.Tooltip("variant:N", title="Variant"),
            alt.Tooltip("people:Q", title="People", format=COUNT),
            alt.Tooltip("conversion_rate:Q", title="Converted", format=PERCENT),
            alt.Tooltip("conversion_low:Q", title="95 % interval from", format=PERCENT),
            alt.Tooltip("conversion_high:Q", title="to", format=PERCENT),
            alt.Tooltip("p_value:Q", title="p against control", format=".2g"),
        ],
    )
    bars = base.mark_rule(strokeWidth=3, color=PALETTE[0]).encode(
        x=alt.X("conversion_low:Q", title="converted", axis=alt.Axis(format="%")), x2="conversion_high:Q"
    )
    dots = base.mark_point(filled=True, size=80, color=PALETTE[0]).encode(x="conversion_rate:Q")
    return alt.layer(bars, dots).properties(height=alt.Step(30), title=titled("Variants and control group"))
