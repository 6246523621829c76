"""Which files of the lake are folded into a derived table, and which files hold the table.

The manifest is the table: what it does not name is no part of it. It is replaced by one rename, so that a reader has
the table before a fold or after it. What it says of the lake is compared with the lake's own files whenever the table
is used: a file that it does not know is read beside the table, and one that is gone makes the table stale.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path

import duckdb

from engage.lake.derived.table import State, Table
from engage.lake.schema import SEED_NAME
from engage.settings import Settings

__all__ = ["Manifest", "Part", "Stamp", "Survey", "folder", "manifest_file", "stamp", "survey"]

_VERSION = f"3, DuckDB {duckdb.__version__}"  # another DuckDB may know other rules of time zones

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Stamp = tuple[int, int]
"""A file's size in bytes and time of change in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the table.

    Args:
        name: Its path below the table's folder.
        year: The year all its rows are of; 0 for a state.
        rows: How many.
        anonymous: How many of them are of strangers.
        first: The earliest time in them, in microseconds since 1970.
        last: The latest one.
        is_base: Whether it was merged from others; the others are small and young.
    """

    name: str
    year: int
    rows: int
    anonymous: int
    first: int
    last: int
    is_base: bool = False

    @property
    def first_at(self) -> datetime:
        """The earliest time in them."""
        return _EPOCH + timedelta(microseconds=self.first)

    @property
    def last_at(self) -> datetime:
        """The latest time in them."""
        return _EPOCH + timedelta(microseconds=self.last)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the table is made of.

    Args:
        timezone: The zone its days are counted in.
        covered: The dataset's files that are folded in, by path below its folder.
        parts: The files that hold it.
    """

    timezone: str
    covered: dict[str, Stamp] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()

    def to_json(self) -> str:
        """The manifest as text."""
        values = {
            "version": _VERSION,
            "timezone": self.timezone,
            "covered": self.covered,
            "parts": [asdict(part) for part in self.parts],
        }
        return json.dumps(values, indent=0)

    @classmethod
    def read(cls, settings: Settings, table: Table | State) -> Manifest | None:
        """Read a table's manifest; None where there is none that this version can use."""
        path = manifest_file(settings, table)
        try:
            status = path.stat()
            found = _parsed(path, status.st_ino, status.st_ctime_ns, status.st_size)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return found if found and found.timezone == settings.timezone else None


@lru_cache(8)
def _parsed(path: Path, inode: int, changed: int, size: int) -> Manifest | None:
    """A manifest as it was when its file was renamed to its place; None where it is of another version."""
    values = json.loads(path.read_text(encoding="utf-8"))
    if values["version"] != _VERSION:
        return None
    covered = {
        name: (int(size), int(changed))
        for name, (size, changed) in values["covered"].items()
        if not name.endswith(f"/{SEED_NAME}")  # it was named once
    }
    return Manifest(values["timezone"], covered, tuple(Part(**part) for part in values["parts"]))


@dataclass(frozen=True, slots=True)
class Survey:
    """How table and lake stand to each other.

    Args:
        manifest: The table as it is; None where there is none that can be used.
        files: The dataset's files, by path below its folder.
        fresh: Those of them that are not folded in.
    """

    manifest: Manifest | None = None
    files: dict[str, Stamp] = field(default_factory=dict)
    fresh: dict[str, Stamp] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The files that hold the table."""
        return self.manifest.parts if self.manifest else ()

    @property
    def fresh_days(self) -> list[date]:
        """The UTC dates that fresh files are of."""
        return [date.fromisoformat(name.split("/", 1)[0].removeprefix("date=")) for name in self.fresh]

    @property
    def first_at(self) -> datetime | None:
        """A time before which the dataset has no row: the first in the table, or the first fresh day; None for none."""
        begun = [datetime.combine(day, time(), UTC) for day in self.fresh_days]
        return min([*(part.first_at for part in self.parts), *begun], default=None)

    def size(self, *, fresh: bool = False) -> int:
        """Bytes of the dataset's files, or of the fresh ones."""
        return sum(size for size, _ in (self.fresh if fresh else self.files).values())


def folder(settings: Settings, table: Table | State) -> Path:
    """The folder of a table."""
    return settings.lake / "derived" / table.name


def manifest_file(settings: Settings, table: Table | State) -> Path:
    """The file of a table's manifest."""
    return settings.lake / "derived" / f"{table.name}.json"


def stamp(path: Path) -> Stamp:
    """A file's stamp, which a rename leaves as it is."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def survey(settings: Settings, table: Table | State) -> Survey:
    """Compare a table with the lake."""
    manifest = Manifest.read(settings, table)
    files = _files(settings.lake / table.dataset)
    if manifest is not None:
        gone = not manifest.covered.items() <= files.items()
        if gone or not all((folder(settings, table) / part.name).is_file() for part in manifest.parts):
            manifest = None
    covered = manifest.covered if manifest else {}
    return Survey(manifest, files, {name: files[name] for name in sorted(files.keys() - covered.keys())})


def _files(dataset: Path) -> dict[str, Stamp]:
    found: dict[str, Stamp] = {}
    try:
        days = [entry for entry in os.scandir(dataset) if entry.is_dir()]
    except FileNotFoundError:
        return found
    for day in days:
        for entry in os.scandir(day):
            if entry.name.endswith(".parquet") and not entry.name.startswith(".") and entry.name != SEED_NAME:
                status = entry.stat()
                found[f"{day.name}/{entry.name}"] = (status.st_size, status.st_mtime_ns)
    return found
