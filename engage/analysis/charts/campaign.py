"""Charts of one campaign: its days, its funnel, its variants."""

from __future__ import annotations

import altair as alt
import polars as pl

from engage.analysis.charts.theme import COUNT, DAY, NEUTRAL, PALETTE, PERCENT, titled

__all__ = ["compared_chart", "days_chart", "devices_chart", "funnel_chart", "lifts_chart", "variants_chart"]

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
    words = base.mark_text(align="left", dx=4).encode(x="count:Q", text="said:N")
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


def lifts_chart(report: pl.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """The lift of each campaign that has a control group, with its 95 % interval; the largest first.

    Args:
        report: Rows of :func:`engage.analysis.campaign_report.campaign_report`; those without a lift are left out.
    """
    measured = report.filter(pl.col("lift").is_not_null()).select(
        "campaign", "lift", "lift_low", "lift_high", "lift_p_value"
    )
    zero = alt.Chart(pl.DataFrame({"x": [0.0]})).mark_rule(strokeDash=[4, 4], color=NEUTRAL).encode(x="x:Q")
    base = alt.Chart(measured).encode(
        y=alt.Y("campaign:N", title=None, sort=alt.EncodingSortField("lift", order="descending")),
        tooltip=[
            alt.Tooltip("campaign:N", title="Campaign"),
            alt.Tooltip("lift:Q", title="Lift", format="+.2%"),
            alt.Tooltip("lift_low:Q", title="95 % interval from", format="+.2%"),
            alt.Tooltip("lift_high:Q", title="to", format="+.2%"),
            alt.Tooltip("lift_p_value:Q", title="p", format=".2g"),
        ],
    )
    bars = base.mark_rule(strokeWidth=3, color=PALETTE[0]).encode(
        x=alt.X("lift_low:Q", title="percentage points", axis=alt.Axis(format="+.1%")), x2="lift_high:Q"
    )
    dots = base.mark_point(filled=True, size=80, color=PALETTE[0]).encode(x="lift:Q")
    title = titled("Lift in conversion", "Dot: those sent less those held out. Bar: 95 % interval")
    return alt.layer(zero, bars, dots).properties(height=alt.Step(32), title=title)


def compared_chart(report: pl.DataFrame) -> alt.FacetChart:
    """Some campaigns side by side: a small picture a rate.

    Args:
        report: Two rows or more of :func:`engage.analysis.campaign_report.campaign_report`.
    """
    rates = ("delivered_rate", "viewed_rate", "clicked_rate", "conversion_rate", "unsubscribed_rate", "failed_rate")
    words = [name.removesuffix("_rate").replace("conversion", "converted") for name in rates]
    long = (
        report.select("campaign", *(pl.col(name).alias(word) for name, word in zip(rates, words, strict=True)))
        .unpivot(index="campaign", variable_name="what", value_name="rate")
        .drop_nulls("rate")
    )
    bars = (
        alt.Chart(long)
        .mark_bar()
        .encode(
            x=alt.X("rate:Q", title=None, axis=alt.Axis(format="%", tickCount=3)),
            y=alt.Y("campaign:N", title=None, sort=None),
            color=alt.Color("campaign:N", title=None, sort=None),
            tooltip=[
                alt.Tooltip("campaign:N", title="Campaign"),
                alt.Tooltip("what:N", title="What"),
                alt.Tooltip("rate:Q", title="Rate", format=PERCENT),
            ],
        )
        .properties(width=220, height=alt.Step(22))
    )
    # Rates differ by orders of magnitude, so each has a scale of its own.
    drawn: alt.FacetChart = (
        bars.facet(alt.Facet("what:N", title=None, sort=words), columns=3)
        .resolve_scale(x="independent")
        .properties(title=titled("Side by side", "of messages sent; converted: of people"))
    )
    return drawn


def devices_chart(devices: pl.DataFrame) -> alt.Chart:
    """What was sent, viewed and clicked on each platform.

    Args:
        devices: :attr:`engage.analysis.campaign_detail.CampaignDetail.devices`.
    """
    stages = ["sent", "viewed", "clicked"]
    long = devices.select("platform", *stages).unpivot(index="platform", variable_name="stage", value_name="messages")
    return (
        alt.Chart(long)
        .mark_bar()
        .encode(
            x=alt.X("messages:Q", title="messages", axis=alt.Axis(format="~s")),
            y=alt.Y("platform:N", title=None, sort=devices["platform"].to_list()),
            yOffset=alt.YOffset("stage:N", sort=stages),
            color=alt.Color("stage:N", title=None, scale=alt.Scale(domain=stages, range=list(PALETTE[:3]))),
            tooltip=[
                alt.Tooltip("platform:N", title="Platform"),
                alt.Tooltip("stage:N", title="What"),
                alt.Tooltip("messages:Q", title="Messages", format=COUNT),
            ],
        )
        .properties(title=titled("By platform"), height=alt.Step(14))
    )
