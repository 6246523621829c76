"""Rows into the lake: in their dataset's schema, once each, all or none."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.compute import run_end_encode

from engage.errors import LandingError
from engage.lake.derived.folding import keep_up
from engage.lake.encoding import write_parquet
from engage.lake.schema import DATASETS, RECIPIENTS, SEED, SEED_NAME, TRANSITIONS, Dataset
from engage.lake.scratch import scratch
from engage.lake.storage import Batch, Storage, write_atomically
from engage.settings import Settings

__all__ = ["Lake", "Landed", "new_ids", "stage"]

_FORMER_SEED = f"date=1970-01-01/{SEED_NAME}"


@dataclass(frozen=True, slots=True)
class Landed:
    """What a landing did.

    Args:
        rows: Rows now in the lake that were not there before.
        duplicates: Rows left out because a row with their key was there already.
    """

    rows: int = 0
    duplicates: int = 0

    def __add__(self, other: Landed) -> Landed:
        return Landed(self.rows + other.rows, self.duplicates + other.duplicates)


def new_ids(count: int) -> pa.Array:
    """Make ids for rows that came without one.

    Returns:
        `count` random strings of 32 hexadecimal digits.
    """
    text = secrets.token_bytes(16 * count).hex()
    return pa.array([text[start : start + 32] for start in range(0, len(text), 32)], pa.string())


class Lake:
    """The lake of one workspace, for those who write to it.

    Args:
        settings: The workspace.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.storage = Storage(settings)

    def seed(self) -> None:
        """Give every dataset a file without rows, so that its view can be queried before anything lands."""
        self.storage.seed()
        for dataset in DATASETS.values():
            if not (self.folder(dataset.name) / _FORMER_SEED).exists():
                self._seed(self.folder(dataset.name) / SEED, dataset.schema)
        self._seed(self.settings.lake / "audiences" / "run=seed" / "recipients.parquet", RECIPIENTS)
        self._seed(self.settings.lake / "journeys" / "journey=seed" / "seed.parquet", TRANSITIONS)

    def reseed(self) -> None:
        """Let the files without rows of an older lake come last, too (see :data:`engage.lake.schema.SEED`).

        Raises:
            LandingError: Another writer or a query kept the lake for too long.
        """
        former = {dataset: self.folder(name) / _FORMER_SEED for name, dataset in DATASETS.items()}
        if not any(path.exists() for path in former.values()):
            return
        with self.storage.writing(), self.storage.batch() as batch:
            for dataset, path in former.items():
                if path.exists():
                    self._seed(batch.folder / dataset.name / SEED, dataset.schema)
                    batch.remove(path)
            batch.commit()

    @staticmethod
    def _seed(path: Path, schema: pa.Schema) -> None:
        if not path.exists():
            sink = pa.BufferOutputStream()
            pq.write_table(schema.empty_table(), sink)
            write_atomically(path, sink.getvalue().to_pybytes())

    def folder(self, dataset: str) -> Path:
        """The folder of a dataset."""
        return self.settings.lake / dataset

    def land(self, dataset: str, table: pa.Table) -> Landed:
        """Land rows of one dataset.

        Args:
            dataset: A name in :data:`engage.lake.schema.DATASETS`.
            table: Rows with the dataset's columns.

        Returns:
            How many were new, and how many were there already.

        Raises:
            LandingError: A column is missing, of another type, or null where it may not be.
        """
        return self.land_all({dataset: table})[dataset]

    def land_all(self, tables: Mapping[str, pa.Table]) -> dict[str, Landed]:
        """Land rows of several datasets, all or none of them.

        Args:
            tables: Rows by dataset.

        Returns:
            What happened, by dataset.
        """
        conformed = {name: _conform(DATASETS[name], table) for name, table in tables.items()}
        landed = {}
        with self.storage.writing():
            with self.storage.batch() as batch:
                for name, table in conformed.items():
                    fresh = self._fresh(DATASETS[name], table)
                    stage(batch, DATASETS[name], fresh)
                    landed[name] = Landed(fresh.num_rows, table.num_rows - fresh.num_rows)
                batch.commit()
            keep_up(self.storage, self.settings)
        return landed

    def _fresh(self, dataset: Dataset, table: pa.Table) -> pa.Table:
        """The rows whose key is not in the lake, each key once, in the order of the file to be."""
        glob = str(self.folder(dataset.name) / "*" / "*.parquet")
        files_there = any(self.folder(dataset.name).glob("*/*.parquet"))
        known = f"select {dataset.key} from read_parquet($glob) semi join landing using ({dataset.key})"
        anti = f"where {dataset.key} not in ({known})"
        with scratch(self.settings) as connection:
            connection.register("landing", table.append_column("row_number", pa.array(range(table.num_rows))))
            query = (
                f"select * exclude (row_number) from landing {anti if files_there else ''} "
                f"qualify row_number() over (partition by {dataset.key} order by row_number) = 1 "
                f"order by {dataset.time}::date, {', '.join(dataset.order)}"
            )
            result = connection.sql(query, params={"glob": glob} if files_there else None)
            return result.to_arrow_table().cast(dataset.schema)


def stage(batch: Batch, dataset: Dataset, table: pa.Table) -> None:
    """Write rows into a batch, a file a UTC date.

    Args:
        batch: An open batch.
        dataset: Where the rows belong.
        table: Rows in the dataset's schema, sorted by date first.
    """
    if not table.num_rows:
        return
    ends = run_end_encode(table[dataset.time].cast(pa.date32()).combine_chunks())
    start = 0
    for end, day in zip(ends.run_ends.to_pylist(), ends.values.to_pylist(), strict=True):
        folder = batch.folder / dataset.name / f"date={day.isoformat()}"
        folder.mkdir(parents=True, exist_ok=True)
        write_parquet(table.slice(start, end - start), folder / f"{batch.batch_id}.parquet")
        start = end


def _conform(dataset: Dataset, table: pa.Table) -> pa.Table:
    missing = [name for name in dataset.schema.names if name not in table.column_names]
    if missing:
        raise LandingError(
            f"column {missing[0]!r} is missing",
            where=dataset.name,
            hint=f"give {', '.join(dataset.schema.names)}",
        )
    try:
        table = table.select(dataset.schema.names).cast(dataset.schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise LandingError(f"rows do not fit: {error}", where=dataset.name) from error
    for field in dataset.schema:
        if not field.nullable and table[field.name].null_count:
            raise LandingError(f"column {field.name!r} has empty values", where=dataset.name, hint="fill them")
    return table
