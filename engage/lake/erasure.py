"""The right to erasure: one person taken out of every file of the lake, in one commit."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engage.errors import LandingError
from engage.lake.derived.folding import drop
from engage.lake.landing import Lake
from engage.lake.rewriting import rewrite
from engage.lake.runs import read_run, stage_recipients
from engage.lake.schema import DATASETS
from engage.lake.scratch import scratch, text

__all__ = ["Erased", "erase_user"]


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure took away.

    Args:
        rows: Rows, by dataset; only datasets that had some.
        files: Files written anew.
        runs: Runs whose recipients file named the person, and names nobody there now.
    """

    rows: dict[str, int] = field(default_factory=dict)
    files: int = 0
    runs: tuple[str, ...] = ()


def erase_user(lake: Lake, user_id: str, *, finished: Collection[str]) -> Erased:
    """Take one person out of every dataset and every recipients file.

    All of it happens in one commit: killed at any instant, either nothing has changed or the next writer or query
    finishes it. What lies under an anonymous id goes too, where that id was ever known as this person's alone. In
    recipients files the row stays, so that counts and message ids do, under a random name and without address and
    context.
    The derived tables go as a whole and are made anew by the next compaction.
    What the person said goes with them, an unsubscription included: an address that is imported anew is a new one.
    Backups, imported source files, the sending ledger and the hashed rows of ad audiences are not touched.

    Args:
        lake: The lake.
        user_id: Who.
        finished: The runs of which nothing is sent any more.

    Returns:
        What it took away; nothing when there was nothing.

    Raises:
        LandingError: The id is empty, the person is in a run that is not finished, or a writer or a query kept the lake
            for too long; nothing has changed.
    """
    if not user_id:
        raise LandingError("no user is named", hint="give a user_id")
    rows: dict[str, int] = {}
    files = 0
    with lake.storage.writing(), lake.storage.batch() as batch, scratch(lake.settings) as connection:
        own = (
            f"select anonymous_id from read_parquet({text(lake.folder('identities') / '*' / '*.parquet')}, "
            f"hive_partitioning = false) group by 1 having bool_and(user_id = {text(user_id)})"
        )
        names = [row[0] for row in connection.sql(own).fetchall()]
        for dataset in DATASETS.values():
            if "user_id" not in dataset.schema.names:
                continue
            theirs = f"user_id = {text(user_id)}"
            former = {
                "events": "user_id is null and anonymous_id",
                "profiles": "source = 'anonymous' and user_id",
                "devices": "source = 'anonymous' and user_id",
                "notifications": "starts_with(user_id, 'anon-') and user_id",
            }.get(dataset.name)
            if former and names:
                known = ", ".join(text(name) for name in names)
                theirs = f"({theirs} or ({former} in ({known})))"
            glob = text(lake.folder(dataset.name) / "*" / "*.parquet")
            found = connection.sql(
                f"select distinct filename from read_parquet({glob}, hive_partitioning = false, filename = true, "
                f"union_by_name = true) where {theirs}"
            ).fetchall()
            folders: dict[Path, list[Path]] = {}
            for (name,) in found:
                folders.setdefault(Path(name).parent, []).append(Path(name))
            for folder, touched in sorted(folders.items()):
                keep = f"not coalesce({theirs}, false)"
                before, after = rewrite(connection, batch, dataset, folder, sorted(touched), keep=keep)
                rows[dataset.name] = rows.get(dataset.name, 0) + before - after
                files += len(touched)
        runs = []
        for file in sorted((lake.settings.lake / "audiences").glob("run=*/recipients.parquet")):
            if not file.with_name("run.json").exists():
                continue
            table = pq.read_table(file, partitioning=None)
            here = pc.equal(table["user_id"], user_id)
            if not pc.any(here).as_py():
                continue
            run = read_run(lake.settings, file.parent.name.removeprefix("run="))
            if run.run_id not in finished:
                what = f"the person is in run {run.run_id}, which is not finished"
                raise LandingError(what, hint="let it finish or stop it, and erase again")
            nothing = pa.scalar(None, pa.string())
            for column, value in (
                ("user_id", pa.scalar(f"erased-{uuid.uuid4().hex}")),
                ("address", nothing),
                ("context", nothing),
            ):
                index = table.column_names.index(column)
                table = table.set_column(index, table.schema.field(index), pc.if_else(here, value, table[column]))
            stage_recipients(batch, run, table)
            runs.append(run.run_id)
            files += 1
        if files:
            drop(batch, lake.settings)
            batch.commit()
    return Erased(rows, files, tuple(runs))
