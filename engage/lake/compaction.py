"""Many small files of one date into one, so that a question about the past opens few; and derived tables kept up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engage.errors import LandingError
from engage.lake.derived.folding import fold, replaced, stage_manifest, tidy
from engage.lake.derived.manifest import survey
from engage.lake.derived.tables import TABLES
from engage.lake.landing import Lake
from engage.lake.rewriting import rewrite
from engage.lake.schema import DATASETS, SEED_NAME, Dataset
from engage.lake.scratch import scratch

__all__ = ["Compacted", "compact"]

Progress = Callable[[str, int, int | None], None]

SMALL = 64 * 2**20
"""Bytes; a file of at least this size is left as it is."""
_TURN = 512 * 2**20  # bytes rewritten before other writers get their turn


@dataclass(frozen=True, slots=True)
class Compacted:
    """What compaction did.

    Args:
        dates: Dates that were rewritten, over all datasets.
        files_before: Files merged away.
        files_after: Files in their place.
    """

    dates: int = 0
    files_before: int = 0
    files_after: int = 0

    def __add__(self, other: Compacted) -> Compacted:
        return Compacted(
            self.dates + other.dates,
            self.files_before + other.files_before,
            self.files_after + other.files_after,
        )


def compact(lake: Lake, *, at_least: int = 2, progress: Progress | None = None) -> Compacted:
    """Merge the small files of each date into one, sorted as a landing sorts.

    Queries go on meanwhile and see every row once; landings wait for no more than half a gigabyte being rewritten.
    Killed at any instant, each date is as it was or merged.

    Args:
        lake: The lake.
        at_least: Files smaller than 64 MiB that a date must have to be worth it.
        progress: Called with what is being done, dates done and dates in all.

    Returns:
        What it did; nothing when there was nothing to merge.

    Raises:
        LandingError: Another writer or a query kept the lake for too long; what was merged so far stays merged.
    """
    tell = progress or (lambda stage, done, total: None)
    lake.reseed()
    _derive(lake, tell)
    todo = [found for dataset in DATASETS.values() for found in _candidates(lake, dataset, at_least)]
    total, done = len(todo), Compacted()
    while todo:
        turn: list[_Candidate] = []
        size = 0
        while todo and (not turn or size < _TURN):
            turn.append(todo.pop())
            size += turn[-1].bytes
        tell("merging", total - len(todo) - len(turn), total)
        done += _merge(lake, turn, at_least)
    tell("done", total, total)
    return done


def _derive(lake: Lake, tell: Progress) -> None:
    """Bring the derived tables up to date, other writers having their turns."""
    for table in TABLES:
        left, total = 1, 0
        while left:
            with lake.storage.writing():
                left = fold(lake.storage, lake.settings, table)
            total = total or left
            tell("folding", total - left, total)
        with lake.storage.writing():
            tidy(lake.storage, lake.settings, table)


@dataclass(frozen=True, slots=True)
class _Candidate:
    dataset: Dataset
    folder: Path
    files: tuple[Path, ...]
    bytes: int


def _candidates(lake: Lake, dataset: Dataset, at_least: int) -> Iterator[_Candidate]:
    for folder in sorted(lake.folder(dataset.name).glob("date=*"), reverse=True):
        if found := _candidate(dataset, folder, at_least):
            yield found


def _candidate(dataset: Dataset, folder: Path, at_least: int) -> _Candidate | None:
    sizes = {path: path.stat().st_size for path in sorted(folder.glob("*.parquet")) if path.name != SEED_NAME}
    small = tuple(path for path, size in sizes.items() if size < SMALL)
    if len(small) < max(at_least, 2):
        return None
    return _Candidate(dataset, folder, small, sum(sizes[path] for path in small))


def _merge(lake: Lake, turn: list[_Candidate], at_least: int) -> Compacted:
    done = Compacted()
    with lake.storage.writing(), lake.storage.batch() as batch, scratch(lake.settings) as connection:
        derived = {table: survey(lake.settings, table) for table in TABLES}
        for listed in turn:
            # Listed before the lock was held; another compaction may have been quicker.
            found = _candidate(listed.dataset, listed.folder, at_least)
            if found is None:
                continue
            made_from = [table for table in TABLES if table.dataset == found.dataset.name and derived[table].manifest]
            # What landed just now is not folded into the derived tables yet; it is merged the next time.
            young = {name for table in made_from for name in derived[table].fresh}
            files = [path for path in found.files if f"{path.parent.name}/{path.name}" not in young]
            if len(files) < 2:
                continue
            before, after = rewrite(connection, batch, found.dataset, found.folder, files)
            if before != after:
                raise LandingError(f"{before} rows became {after}", where=str(found.folder), hint="report this")
            staged = batch.folder / found.dataset.name / found.folder.name / f"{batch.batch_id}.parquet"
            for table in made_from:
                derived[table] = replaced(derived[table], files, staged)
                if manifest := derived[table].manifest:
                    stage_manifest(batch, table, manifest)
            done += Compacted(1, len(files), 1)
        batch.commit()
    return done
