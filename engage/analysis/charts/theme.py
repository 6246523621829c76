"""One look for every chart: colours that the colour-blind tell apart, sizes, number formats.

The background is transparent and text and lines are a grey that reads on white as on near-black, so a chart suits a
light and a dark page alike; where it is drawn as SVG into a page, :func:`page_theme` gives it the page's own colour of
text. Importing this module makes the first the current theme of altair.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import altair as alt
import polars as pl

__all__ = [
    "COUNT",
    "DAY",
    "FONT",
    "HEIGHT",
    "INK",
    "MUTED",
    "NEUTRAL",
    "PALETTE",
    "PERCENT",
    "SEQUENTIAL",
    "WIDTH",
    "page_theme",
    "titled",
    "verdict",
    "verdict_colour",
]

PALETTE: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C8C")
"""Okabe and Ito's colours (Color Universal Design, 2008), without black and yellow, which vanish on dark or white."""

SEQUENTIAL: Final = "viridis"
"""Scheme of heat maps: even in lightness, so it also reads in grey."""

INK: Final = "#777777"
"""Text and axes: contrast above 4.2 on white and on #111."""

MUTED: Final = "#88888840"
"""Grid lines and bands."""

NEUTRAL: Final = "#8C8C8C"
"""What is compared against: a control group, the rest, a zero line."""

FONT: Final = "Inter, 'Source Sans 3', system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', sans-serif"
WIDTH: Final = 640
HEIGHT: Final = 320

PERCENT: Final = ".1%"
COUNT: Final = ",d"
DAY: Final = "%a %d %b %Y"


def page_theme() -> alt.theme.ThemeConfig:
    """The theme for charts that are drawn as SVG into a page.

    Text has the colour of the page's; marks are not read out one by one, since the page says what a chart shows.
    """
    theme = _theme("currentColor")
    theme["config"]["mark"] = {"aria": False}
    return theme


def _theme(ink: str = INK) -> alt.theme.ThemeConfig:
    words: dict[str, Any] = {
        "labelColor": ink,
        "titleColor": ink,
        "labelFontSize": 11,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    }
    config: Any = {
        "background": "transparent",
        "font": FONT,
        "view": {"continuousWidth": WIDTH, "continuousHeight": HEIGHT, "stroke": None},
        "title": {
            "anchor": "start",
            "color": ink,
            "fontSize": 15,
            "fontWeight": 600,
            "subtitleColor": ink,
            "subtitleFontSize": 12,
            "subtitlePadding": 4,
            "offset": 14,
        },
        "axis": {
            **words,
            "domainColor": MUTED,
            "tickColor": MUTED,
            "gridColor": MUTED,
            "gridDash": [2, 3],
            "titlePadding": 8,
            "labelOverlap": True,
            "labelPadding": 6,
            "labelLimit": 220,
        },
        "axisX": {"grid": False},
        "axisBand": {"grid": False, "domain": False, "ticks": False},
        "header": {**words},
        "legend": {**words, "orient": "top", "symbolType": "circle", "labelLimit": 220, "columns": 2},
        "range": {
            "category": list(PALETTE),
            "heatmap": {"scheme": SEQUENTIAL},
            "ramp": {"scheme": SEQUENTIAL},
            "ordinal": {"scheme": SEQUENTIAL},
        },
        "line": {"strokeWidth": 2},
        "point": {"size": 45, "filled": True},
        "bar": {"color": PALETTE[0]},
        "area": {"color": PALETTE[0]},
        "text": {"color": ink, "fontSize": 11},
        "rule": {"color": NEUTRAL},
    }
    return alt.theme.ThemeConfig(config=config)


alt.theme.register("engage", enable=True)(_theme)


def verdict(low: str, high: str, words: Sequence[str]) -> pl.Expr:
    """What an interval of a difference says.

    Args:
        low: The column of its lower end.
        high: That of its upper end.
        words: What is said where all of it is above zero, where all is below, and where it holds zero.
    """
    return (
        pl.when(pl.col(low) > 0)
        .then(pl.lit(words[0]))
        .when(pl.col(high) < 0)
        .then(pl.lit(words[1]))
        .otherwise(pl.lit(words[2]))
    )


def verdict_colour(words: Sequence[str]) -> alt.Color:
    """The colour of the column `verdict`, grey where an interval holds zero.

    Args:
        words: As for :func:`verdict`.
    """
    scale = alt.Scale(domain=list(words), range=[PALETTE[0], PALETTE[5], NEUTRAL])
    return alt.Color("verdict:N", title=None, scale=scale)


def titled(title: str, subtitle: str = "") -> alt.TitleParams:
    """A chart's title, with what it counts and over which time in a smaller line below.

    Args:
        title: What is shown.
        subtitle: Unit, population and time.
    """
    return alt.TitleParams(title, subtitle=subtitle) if subtitle else alt.TitleParams(title)
