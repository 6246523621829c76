"""A table as a file for somebody else's programs: .csv, .xlsx, .parquet."""

from __future__ import annotations

import io

import polars as pl

from engage.errors import ConfigurationError

__all__ = ["to_csv", "to_excel", "to_parquet"]

_FORMULA = r"^\s*[=+\-@\t\r\n|]"


def to_csv(table: pl.DataFrame) -> bytes:
    """Write a table as CSV (RFC 4180) that a spreadsheet opens as what it is.

    A text that a spreadsheet would take for a formula has an apostrophe put before it (OWASP, "CSV Injection"): names
    of campaigns and labels come from people. Numbers stay numbers, negative ones too. A list becomes its words with
    ``, `` between; times are in ISO 8601, UTC.

    Args:
        table: Anything; lists hold texts.

    Returns:
        UTF-8 with a byte-order mark, without which Excel reads it as something else; lines end with CRLF.
    """
    return b"\xef\xbb\xbf" + _flat(table).write_csv(line_terminator="\r\n").encode()


def to_excel(table: pl.DataFrame, sheet: str = "Report") -> bytes:
    """Write a table as an Excel workbook: one sheet, its head row frozen, filters on.

    Raises:
        ConfigurationError: The library for it is not installed.
    """
    try:
        import xlsxwriter
    except ImportError as error:
        raise ConfigurationError(
            "writing .xlsx needs xlsxwriter", where="report", hint="pip install 'engage[reports]', or take the .csv"
        ) from error
    file = io.BytesIO()
    # Text stays text: a workbook has types, so no apostrophe is needed, only that nothing is guessed.
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(file, options) as book:
        _joined(table).with_columns(
            pl.col(name).dt.convert_time_zone("UTC").dt.replace_time_zone(None)
            for name, kind in table.schema.items()
            if isinstance(kind, pl.Datetime) and kind.time_zone
        ).write_excel(book, sheet, freeze_panes=(1, 0), autofilter=True, autofit=True)
    return file.getvalue()


def to_parquet(table: pl.DataFrame) -> bytes:
    """Write a table as Parquet, every type as it is."""
    file = io.BytesIO()
    table.write_parquet(file)
    return file.getvalue()


def _joined(table: pl.DataFrame) -> pl.DataFrame:
    lists = [name for name, kind in table.schema.items() if isinstance(kind, pl.List)]
    return table.with_columns(pl.col(name).cast(pl.List(pl.String)).list.join(", ") for name in lists)


def _flat(table: pl.DataFrame) -> pl.DataFrame:
    joined = _joined(table)
    texts = [name for name, kind in joined.schema.items() if kind == pl.String]
    times = [name for name, kind in joined.schema.items() if isinstance(kind, pl.Datetime)]
    return joined.with_columns(
        *(
            pl.when(pl.col(name).str.contains(_FORMULA)).then("'" + pl.col(name)).otherwise(pl.col(name)).alias(name)
            for name in texts
        ),
        *(pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%SZ") for name in times),
    )
