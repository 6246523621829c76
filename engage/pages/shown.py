"""How notebooks show things: tables, charts, faults as sentences, and what to do where there is nothing yet."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any, TypeVar

import altair as alt
import marimo as mo
import polars as pl

from engage.analysis.charts.theme import page_theme
from engage.errors import ConfigurationError, EngageError
from engage.pages.navigation import link

__all__ = [
    "FAULTS",
    "chart",
    "done",
    "empty_lake",
    "facts",
    "fault",
    "kept_segment",
    "label_links",
    "lasting",
    "nothing",
    "table",
    "tried",
]

FAULTS = (EngageError, ConfigurationError)
"""What a notebook tells as a sentence; anything else is a fault of ours."""

_BUTTON = (
    "display:inline-block;padding:6px 14px;border-radius:6px;background:#0b5fa5;color:#fff;font-weight:600;"
    "font-size:14px;text-decoration:none"
)
_LINK = "color:inherit;text-decoration:underline;text-underline-offset:2px"
_RATES = ("rate", "share", "lift")
_SECONDS = re.compile(r"_?seconds$")
_Found = TypeVar("_Found")

alt.theme.register("engage-page", enable=True)(page_theme)


def fault(error: BaseException | str) -> mo.Html:
    """What went wrong, as a sentence."""
    return mo.callout(mo.Html(f"<p>{escape(str(error))}</p>"), kind="danger")


def done(words: str) -> mo.Html:
    """What was done, as a sentence of Markdown."""
    return mo.callout(mo.md(words), kind="success")


def kept_segment(file: Path) -> mo.Html:
    """That a segment was kept, with the way to it.

    Args:
        file: ``sql/segments/<name>.sql``.
    """
    to = link("audiences", segment=file.stem)
    return done(f"Kept as `sql/segments/{file.name}`. " + (f"[Open it in Audiences]({to})" if to else ""))


def empty_lake(missing: str) -> mo.Html:
    """What to do where nothing has landed yet.

    Args:
        missing: What there is not for that reason, e.g. "there is nobody to find yet".
    """
    return nothing(
        f"**The lake is empty**: {missing}. Bring your events with `engage import FILE`, or look around on sample data "
        "with `engage demo`."
    )


def nothing(words: str, page: str = "", button: str = "", **given: str) -> mo.Html:
    """What to do where there is nothing to show yet.

    Args:
        words: A sentence or two of Markdown.
        page: The notebook where it is done.
        button: What its button says.
        given: What that notebook is to start with.
    """
    to = link(page, **given) if page else None
    go = f'<a style="{_BUTTON}" href="{escape(to)}">{escape(button)}</a>' if to else ""
    return mo.callout(mo.vstack([mo.md(words), mo.Html(go)], align="start") if go else mo.md(words), kind="info")


def label_links(labels: str | None) -> mo.Html | str:
    """Labels in a table's cell, each a link to the retention of those sent it.

    Args:
        labels: With ``, `` between.
    """
    names = [name for name in (labels or "").split(", ") if name]
    if not link("retention"):
        return labels or "–"
    if not names:
        return mo.Html("–")  # a table's column is all links or all texts
    found = [(name, link("retention", label=name)) for name in names]
    return mo.Html(", ".join(f'<a href="{escape(str(to))}" style="{_LINK}">{escape(name)}</a>' for name, to in found))


def facts(named: Mapping[str, str]) -> mo.Html:
    """A few facts about one thing, side by side, each under its name."""
    cells = "".join(
        f'<div style="min-width:90px"><div style="font-size:12px;opacity:.8">{escape(name)}</div>'
        f'<div style="font-weight:600">{escape(value)}</div></div>'
        for name, value in named.items()
    )
    return mo.Html(f'<div style="display:flex;flex-wrap:wrap;gap:12px 28px">{cells}</div>')


def tried(call: Callable[[], _Found]) -> _Found:
    """What a call returns; where it fails, the cell ends with the fault as a sentence.

    Args:
        call: One call into `engage`.
    """
    try:
        return call()
    except FAULTS as error:
        mo.stop(True, fault(error))
        raise


def chart(drawn: Any, *, least: int = 0) -> mo.Html:
    """A chart as wide as the page, without selections; its title above it as text, which wraps and is read out.

    Args:
        drawn: An altair chart.
        least: Its least width in pixels; in a narrower window it is scrolled.
    """
    drawn = drawn.copy()
    if isinstance(drawn, (alt.Chart, alt.LayerChart)):
        drawn = drawn.properties(width="container")
    said = [words for words in _untitled(drawn) if words]
    drawn.description = ". ".join(said) or alt.Undefined
    # SVG text takes the colour of the page, light or dark; the menu to save a picture has no name for screen readers.
    drawn.usermeta = {"embedOptions": {"renderer": "svg", "actions": False}}
    picture: mo.Html = mo.ui.altair_chart(drawn, chart_selection=False, legend_selection=False)
    if least:
        inner = f'<div style="min-width:{least}px">{picture.text}</div>'
        picture = mo.Html(f'<div style="overflow-x:auto" tabindex="0">{inner}</div>')
    if not said:
        return picture
    title, *under = map(escape, said)
    below = "".join(f'<div style="font-size:13px;opacity:.8">{words}</div>' for words in under)
    return mo.vstack([mo.Html(f'<div style="font-size:15px;font-weight:600">{title}</div>{below}'), picture], gap=0.5)


def _untitled(drawn: Any) -> tuple[str, str]:
    """Take the title off a chart and its layers: title and line below, empty where there is none."""
    found = ("", "")
    for layer in getattr(drawn, "layer", ()):
        inner = _untitled(layer)
        found = found if any(found) else inner
    title: Any = getattr(drawn, "title", alt.Undefined)
    if title is alt.Undefined:
        return found
    drawn.title = alt.Undefined
    if isinstance(title, str):
        return title, ""
    return str(title.text), "" if title.subtitle is alt.Undefined else str(title.subtitle)


def lasting(seconds: float | None) -> str:
    """A stretch of time as people say it: in the largest unit that it fills, to a tenth."""
    if seconds is None:
        return "–"
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            count = f"{seconds / length:,.1f}".removesuffix(".0")
            return f"{count} {unit}" + ("" if count == "1" else "s")
    count = f"{seconds:,.1f}".removesuffix(".0")
    return f"{count} second" + ("" if count == "1" else "s")


def table(
    frame: pl.DataFrame, *, headings: Mapping[str, str] | None = None, label: str = "", **options: Any
) -> mo.ui.table:
    """A table people read: words for column names, percent for rates, thousands apart, no types.

    Args:
        frame: The rows.
        headings: Words for columns where the name with spaces will not do.
        label: A line above it.
        options: Of :class:`marimo.ui.table`, by the frame's own column names.
    """
    words = {name: (headings or {}).get(name) or _words(name) for name in frame.columns}
    formats = {words[name]: _format(name, kind) for name, kind in frame.schema.items()}
    given: dict[str, Any] = {"selection": None, "show_data_types": False, "page_size": 10, "show_download": False}
    given["show_search"] = frame.height > 10
    given |= options
    for name in ("hidden_columns", "freeze_columns_left", "wrapped_columns"):
        if given.get(name):
            given[name] = [words[column] for column in given[name]]
    own = given.pop("format_mapping", None) or {}
    formats |= {words[name]: how for name, how in own.items()}
    lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
    shown = frame.with_columns(pl.col(name).cast(pl.List(pl.String)).list.join(", ") for name in lists).rename(words)
    return mo.ui.table(
        shown,
        label=label,
        format_mapping={name: how for name, how in formats.items() if how is not None},
        show_column_summaries=False,
        **given,
    )


def _words(name: str) -> str:
    return _SECONDS.sub("_time", name).strip("_").replace("_", " ").capitalize()


def _format(name: str, kind: pl.DataType) -> Callable[[Any], str] | None:
    if kind.is_numeric() and _SECONDS.search(name):
        return lasting
    if kind.is_temporal():
        return lambda value: "–" if value is None else f"{value:%Y-%m-%d %H:%M}".removesuffix(" 00:00")
    if kind.is_float():
        if name.startswith(("lift", "difference")) and not name.endswith("p_value"):
            return lambda value: "–" if value is None else f"{value:+.1%}"
        if "p_value" in name:
            return lambda value: "–" if value is None else f"{value:.3f}" if value >= 0.001 else "< 0.001"
        if any(word in name for word in _RATES) or name.endswith(("_low", "_high")):
            return lambda value: "–" if value is None else f"{value:.1%}"
        return lambda value: "–" if value is None else f"{value:,.2f}"
    if kind.is_integer():
        return lambda value: "–" if value is None else f"{value:,}"
    if kind in (pl.String, pl.Null):
        return lambda value: "–" if value is None else str(value)
    return None
