"""The files that can be imported, each as the relation `input`."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import duckdb
import numpy as np

from engage.errors import ImportFileError

__all__ = ["Source", "not_finite", "open_source"]

_LONGEST = 16_000_000
"""Bytes of the longest CSV row; DuckDB reads in pieces of this size and more."""
_FIELD = 2**31 - 1
_SPELT = "nan Nan aN nAn NAn nAN NAN inf Inf nF Nf iNF INF".split()  # one of them is in every way to write them


def not_finite(json: str) -> str:
    """SQL that tells whether JSON holds NaN or Infinity outside of strings.

    DuckDB takes them for JSON in any case, which they are not (RFC 8259, section 6).

    Args:
        json: SQL of the JSON, as text that DuckDB could read.
    """
    # A look for plain words passes over nearly all rows, many times as fast as any expression.
    is_met = " or ".join(f"contains({json}, '{word}')" for word in _SPELT)
    is_begun = rf"regexp_matches({json}, '(?i)[\[:,\s][-+]?(nan|inf)')"
    is_outside = rf"""regexp_matches(regexp_replace({json}, '"(\\.|[^"\\])*"', '', 'g'), '(?i)nan|inf')"""
    return f"(case when not ({is_met}) then false when {is_begun} then {is_outside} else false end)"


_KINDS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet"}


@dataclass(frozen=True, slots=True)
class Source:
    """A file to import.

    Args:
        path: Where it lies.
        kind: csv, ndjson or parquet.
        delimiter: What separates a CSV file's columns.
        columns: Its columns.
    """

    path: Path
    kind: str
    delimiter: str
    columns: tuple[str, ...]

    def create_input(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the relation `input`: the file's columns and `row_number`, from 1 in file order.

        Columns of CSV and NDJSON are text; what is no JSON object, or has too many or too few columns, is left out.

        Raises:
            ImportFileError: DuckDB cannot read the file at all.
        """
        numbered = f"select *, row_number() over () as row_number from {self._reader()}"
        if self.kind == "ndjson":
            fields = "".join(
                f'"values"[{index}] as "{name.replace(chr(34), chr(34) * 2)}", '
                for index, name in enumerate(self.columns, 1)
            )
            paths = ", ".join(f"'/{_pointer(name)}'" for name in self.columns)
            found = f"json_extract_string(json, [{paths}])" if paths else "null"  # all at once: each row is parsed once
            numbered = (
                f'select {fields}json, row_number from (select json, rowid + 1 as row_number, {found} as "values" '
                "from lines where is_row)"
            )
        try:
            kind = "view" if self.kind == "ndjson" else "table"
            connection.execute(f"create temp {kind} input as {numbered}")
        except duckdb.Error as error:
            raise ImportFileError(str(error).split("\n", 1)[0], where=str(self.path)) from error

    def create_lines(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the table `lines` of an NDJSON file: its `json`, row by row; a byte order mark is no part of the first.

        Rows have their places (`rowid`) there, so that what is asked of them can be asked of many at once.
        """
        # What is JSON and begins with a brace is an object. The first character is told fastest by comparing.
        is_object = "json::varchar >= '{' and json::varchar < '|' or starts_with(ltrim(json::varchar, ' \t\r\n'), '{')"
        is_row = f"case when {is_object} then not {not_finite('json::varchar')} else false end"
        connection.execute(f"create temp table lines as select json, {is_row} as is_row from {self._reader()}")
        with self._text() as file:
            head = file.readline()
        if head.startswith("\ufeff"):
            first = "'" + head[1:].encode("utf-8", "replace").decode().replace("'", "''").replace("\0", "") + "'"
            connection.execute(f"update lines set json = try_cast({first} as json) where rowid = 0")
            connection.execute(f"update lines set is_row = {is_row} where rowid = 0")

    def _reader(self) -> str:
        path = "'" + str(self.path).replace("'", "''") + "'"
        if self.kind == "parquet":
            return f"read_parquet({path})"
        if self.kind == "ndjson":
            return f"read_ndjson_objects({path}, ignore_errors = true)"
        delimiter = self.delimiter.replace("\t", "\\t")
        return (
            f"read_csv({path}, all_varchar = true, header = true, delim = '{delimiter}', quote = '\"', escape = '\"', "
            f"store_rejects = true, rejects_limit = 0, auto_detect = false, max_line_size = {_LONGEST}, "
            f"columns = {{{', '.join(_struct(name) for name in self.columns)}}})"
        )

    def faults(
        self, connection: duckdb.DuckDBPyConnection, row_numbers: set[int]
    ) -> tuple[dict[int, int], list[Fault]]:
        """Find where rows stand in the file, and the lines that are no rows at all.

        Args:
            connection: The one :meth:`create_input` was called on.
            row_numbers: Rows whose line is wanted.

        Returns:
            Line by row number, and the faulty lines. Both count physical lines from 1, quoted newlines included.
        """
        if self.kind == "parquet":
            return {number: number for number in row_numbers}, []
        if self.kind == "ndjson":
            return self._ndjson_faults(connection, row_numbers)
        if not row_numbers and not connection.sql("select count(*) from reject_errors").fetchall()[0][0]:
            return {}, []
        return self._csv_faults(row_numbers)

    def _csv_faults(self, row_numbers: set[int]) -> tuple[dict[int, int], list[Fault]]:
        lines, faults = {}, []
        row, start = 0, 2
        size = 0

        def measured(file: IO[str]) -> Iterator[str]:
            nonlocal size
            for physical in file:
                size += len(physical.encode("utf-8", "surrogateescape"))
                yield physical

        csv.field_size_limit(_FIELD)
        with self._text() as file:
            reader = csv.reader(measured(file), delimiter=self.delimiter)
            next(reader, None)
            size = 0
            for record in reader:
                length, size = size, 0
                if not record:
                    start = reader.line_num + 1
                    continue
                text = self.delimiter.join(record)
                if length > _LONGEST:
                    faults.append(Fault(start, f"is longer than {_LONGEST:,} bytes", text[:1000]))
                elif len(record) != len(self.columns):
                    faults.append(Fault(start, f"has {len(record)} columns, not {len(self.columns)}", text))
                elif any("\udc80" <= character <= "\udcff" for character in text):
                    shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
                    faults.append(Fault(start, "is not UTF-8", shown))
                else:
                    row += 1
                    if row in row_numbers:
                        lines[row] = start
                start = reader.line_num + 1
        return lines, faults

    def _ndjson_faults(
        self, connection: duckdb.DuckDBPyConnection, row_numbers: set[int]
    ) -> tuple[dict[int, int], list[Fault]]:
        kept, last = connection.sql("select count(*), coalesce(max(row_number), 0) from input").fetchall()[0]
        if not row_numbers and kept == last == self._count_lines():
            return {}, []
        good = {number for (number,) in connection.sql("select row_number from input").fetchall()}
        lines, faults = {}, []
        row = 0
        with self._text() as file:
            for line, text in enumerate(file, 1):
                if not text.strip():
                    continue
                row += 1
                if row not in good:
                    shown = text.strip().encode("utf-8", "surrogateescape").decode("utf-8", "replace")
                    faults.append(Fault(line, "is not a JSON object", shown))
                elif row in row_numbers:
                    lines[row] = line
        return lines, faults

    def _count_lines(self) -> int:
        """How many lines are not blank, or more than that where some are."""
        with self._bytes() as raw:
            last, ends = b"\n", 0
            while chunk := raw.read(1 << 20):
                if b"\r" in chunk:
                    break
                ends += int(np.count_nonzero(np.frombuffer(chunk, np.uint8) == ord("\n")))
                last = chunk[-1:]
            else:
                return ends + (last != b"\n")
        with self._text() as file:
            return sum(1 for text in file if text.strip())

    def _bytes(self) -> IO[bytes]:
        return gzip.open(self.path) if self.path.suffix == ".gz" else self.path.open("rb")  # type: ignore[return-value]

    @contextmanager
    def _text(self) -> Iterator[IO[str]]:
        with (
            self._bytes() as raw,
            io.TextIOWrapper(raw, encoding="utf-8", errors="surrogateescape", newline="") as text,
        ):
            yield text


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that was rejected.

    Args:
        line: From 1.
        reason: Why, in a phrase.
        text: What stands there.
    """

    line: int
    reason: str
    text: str


def open_source(path: Path, connection: duckdb.DuckDBPyConnection) -> Source:
    """Look at a file: its kind, separator and columns.

    Args:
        path: A ``.csv``, ``.tsv``, ``.ndjson``, ``.jsonl`` (each also ``.gz``) or ``.parquet`` file.
        connection: Reads it.

    Raises:
        ImportFileError: There is no such file, it is empty, or it is of no known kind.
    """
    if not path.is_file():
        raise ImportFileError("no such file", where=str(path), hint="check the path")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    ending = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else (suffixes or [""])[-1]
    if ending not in _KINDS:
        raise ImportFileError(
            f"files ending in {ending!r} cannot be imported", where=str(path), hint="use .csv, .ndjson or .parquet"
        )
    kind = _KINDS[ending]
    if kind == "csv":
        return _open_csv(path)
    try:
        if kind == "parquet":
            rows = connection.sql("describe select * from read_parquet($path)", params={"path": str(path)}).fetchall()
            return Source(path, kind, "", tuple(row[0] for row in rows))
        Source(path, kind, "", ()).create_lines(connection)
        rows = connection.sql(
            "select key from (select unnest(keys) as key, generate_subscripts(keys, 1) as place, n from ("
            "select json_keys(json) as keys, rowid as n from lines where rowid in ("
            "select min(rowid) from lines where is_row group by hash(json_keys(json))))) "
            "group by key order by min((n, place))"
        ).fetchall()
    except duckdb.Error as error:
        raise ImportFileError(str(error).split("\n", 1)[0], where=str(path)) from error
    if not rows:
        raise ImportFileError("holds no JSON objects", where=str(path), hint="one object a line is expected")
    taken = {"json", "row_number"}
    return Source(path, kind, "", tuple(row[0] for row in rows if row[0].lower() not in taken))


def _open_csv(path: Path) -> Source:
    probe = Source(path, "csv", ",", ())
    try:
        with probe._text() as file:
            head = file.readline()
    except (OSError, EOFError) as error:
        raise ImportFileError(f"cannot be read: {error}", where=str(path)) from error
    if not head.strip():
        raise ImportFileError("is empty", where=str(path), hint="a header line with column names is expected")
    delimiter = max(",;\t|", key=head.count)
    columns = next(csv.reader([head.lstrip("\ufeff")], delimiter=delimiter))
    columns = [name.strip() or f"column{index}" for index, name in enumerate(columns)]
    if len({name.lower() for name in columns}) < len(columns):
        raise ImportFileError("two columns have the same name", where=str(path), hint="rename one")
    return Source(path, "csv", delimiter, tuple(columns))


def _pointer(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1").replace("'", "''")


def _struct(name: str) -> str:
    return "'" + name.replace("'", "''") + "': 'VARCHAR'"
