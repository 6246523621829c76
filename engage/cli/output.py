"""How answers look in a terminal: tables for people, CSV and JSON for programs."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

import click
import polars as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

__all__ = ["console", "format_option", "progress_bar", "say", "show"]

console = Console(highlight=False)
if not console.is_terminal:
    console.width = 200  # a pipe has no width; squeezing a table into 80 columns helps nobody
_progress_console = Console(stderr=True, highlight=False)

format_option = click.option(
    "--format", "format_", type=click.Choice(["table", "csv", "json"]), default="table", help="How to print the answer."
)


def say(text: str) -> None:
    """Print one line."""
    console.print(text, markup=False, soft_wrap=True)


def show(
    frame: pl.DataFrame, format_: str = "table", *, title: str = "", percent: Sequence[str] = (), rows: int = 100
) -> None:
    """Print a frame.

    Args:
        frame: What to print.
        format_: table, csv or json.
        title: A line above a table.
        percent: Columns that are shares, shown as per cent in a table.
        rows: How many rows a table shows at most; the rest is counted.
    """
    if format_ == "csv":
        flat = [pl.col(name).list.join(", ") for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
        sys.stdout.write(frame.with_columns(flat).write_csv())
        return
    if format_ == "json":
        sys.stdout.write(frame.write_json() + "\n")
        return
    table = Table(
        title=title or None, title_justify="left", box=None, header_style="bold", pad_edge=False, collapse_padding=True
    )
    for name, kind in frame.schema.items():
        table.add_column(name.replace("_", " "), justify="right" if kind.is_numeric() else "left")
    for row in frame.head(rows).iter_rows(named=True):
        table.add_row(*(_cell(value, name in percent) for name, value in row.items()))
    console.print(table, markup=False)
    if frame.height > rows:
        say(f"… and {frame.height - rows:,} more rows; --format csv gives all")
    if not frame.height:
        say("no rows")


def _cell(value: Any, percent: bool) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        if math.isnan(value):
            return "–"
        return f"{value:.1%}" if percent else f"{value:,.6g}" if abs(value) < 1 else f"{value:,.2f}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return str(value)


@contextmanager
def progress_bar(title: str) -> Iterator[Any]:
    """Show a bar on stderr while something long runs.

    Yields:
        A function (stage, done, total or None) to call as it goes.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=_progress_console, transient=not _progress_console.is_terminal) as bar:
        task = bar.add_task(title, total=None)

        def advance(stage: str, done: int, total: int | None = None) -> None:
            bar.update(task, description=f"{title}: {stage}" if stage else title, completed=done, total=total)

        yield advance
