"""The record of an ad network's audiences: what was planned, what it confirmed, and so what is still to be done.

It lies in the lake. A sync lands all its rows before the first of them leaves (`ad_audiences`), and a short row for
each request that was confirmed (`ad_audience_syncs`). So at any instant it is known who is certainly in an audience
and who may be: a row whose request had left when the process died. The next sync sends those again or takes them out.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pyarrow as pa

from engage.channels.facebook.hashing import IDENTIFYING
from engage.lake.landing import Lake, new_ids
from engage.lake.schema import DATASETS
from engage.query.engine import Engine

__all__ = ["AudienceRecord", "Request", "Started", "differences"]

_ALIVE = timedelta(minutes=80)  # Meta ends a session 90 minutes after its first request


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a sync.

    Args:
        batch: Its number in the sync, from 1.
        keys: What the cells are, by Meta's names, joined by commas.
        rows: Cells as JSON lists.
        present: They are to be in it; else to be taken out.
        session: Meta's session: ``session_id``, ``batch_seq``, ``last_batch_flag``, ``estimated_num_total``.
    """

    batch: int
    keys: str
    rows: Sequence[str]
    present: bool
    session: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Started:
    """A sync as it was begun.

    Args:
        sync_id: Its id.
        audience: The audience's name.
        audience_id: The ad network's id of it.
        segment: Whom it is of; None for everyone.
        is_replacement: It replaces everybody in one session.
        session_id: That session; 0 for none.
    """

    sync_id: str
    audience: str
    audience_id: str
    segment: str | None
    is_replacement: bool
    session_id: int = 0


def differences(members: pl.DataFrame, wanted: pl.DataFrame, keys: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What is to be taken out of an audience and put in.

    Meta takes out everyone who shares an e-mail address, a phone number or an id with a row that is taken out, so who
    stays and shares one with somebody who leaves is put in again.

    Args:
        members: `keys`, `row`, `is_confirmed`, of whoever is or may be in it.
        wanted: `row` and a column a key, each row once.
        keys: The keys of `wanted`.

    Returns:
        `keys` and `row` of those to take out, then of those to put in.
    """
    spelled = ",".join(keys)
    labelled = wanted.with_columns(keys=pl.lit(spelled))
    gone = members.join(labelled, on=["keys", "row"], how="anti").select("keys", "row").sort("keys", "row")
    certain = members.filter("is_confirmed")
    missing = labelled.join(certain, on=["keys", "row"], how="anti")
    leaving: dict[str, set[str]] = {}
    for names, row in gone.iter_rows():
        for key, cell in zip(names.split(","), json.loads(row), strict=False):
            if cell and key in IDENTIFYING:
                leaving.setdefault(key, set()).add(cell)
    shared = [pl.col(key).is_in(list(cells)) for key, cells in leaving.items() if key in keys]
    if shared:
        staying = labelled.join(certain, on=["keys", "row"], how="semi").filter(pl.any_horizontal(shared))
        missing = pl.concat([missing, staying])
    return gone, missing.select("keys", "row").sort("row")


class AudienceRecord:
    """Reads and writes the record.

    Args:
        lake: Where it lands.
        engine: Reads it.
    """

    def __init__(self, lake: Lake, engine: Engine) -> None:
        self._lake, self._engine = lake, engine

    def known_id(self, audience: str) -> str | None:
        """The ad network's id of an audience, by the name it was last synced under; None where it never was."""
        frame = self._engine.frame(
            "select audience_id from ad_audience_syncs where audience = $name and state <> 'deleted' "
            "order by started_at desc limit 1",
            {"name": audience},
        )
        return str(frame.item()) if frame.height else None

    def members(self, audience_id: str) -> pl.DataFrame:
        """Who is or may be in an audience.

        Returns:
            `keys`, `row`, `is_confirmed`; one row a row of Meta's.
        """
        return self._engine.frame(
            "select keys, row, is_confirmed from ad_audience_members where audience_id = $id", {"id": audience_id}
        )

    def unfinished(self, audience_id: str, now: datetime) -> tuple[Started, list[tuple[int, str, list[str]]]] | None:
        """A replacement that was cut off: itself, and what of it can still be sent in its session.

        Returns:
            The sync, and of each request that was not confirmed its number, keys and rows; of none where the session
            has ended or its first request may not have arrived. None where the last sync was no replacement or is
            finished.
        """
        last = self._engine.frame(
            "select sync_id, audience, segment, started_at, state, is_replacement from ad_audience_syncs "
            "where audience_id = $id order by started_at desc limit 1",
            {"id": audience_id},
        )
        if not last.height or not last["is_replacement"].item() or last["state"].item() in ("finished", "deleted"):
            return None
        sync_id = str(last["sync_id"].item())
        events = self._engine.frame(
            "select kind, batch, session_id from read_parquet(lake('ad_audience_syncs'), hive_partitioning = false) "
            "where sync_id = $id",
            {"id": sync_id},
        )
        confirmed = set(events.filter(pl.col("kind") == "confirmed")["batch"].to_list())
        session = int(events["session_id"].drop_nulls().to_list()[0])
        started = Started(sync_id, last["audience"].item(), audience_id, last["segment"].item(), True, session)
        if 1 not in confirmed or now - last["started_at"].item() > _ALIVE:
            return started, []
        rows = self._engine.frame(
            "select batch, keys, list(row order by row) as rows from "
            "read_parquet(lake('ad_audiences'), hive_partitioning = false, union_by_name = true) "
            "where sync_id = $id and present group by batch, keys order by batch",
            {"id": sync_id},
        )
        return started, [(batch, keys, texts) for batch, keys, texts in rows.iter_rows() if batch not in confirmed]

    def start(
        self, started: Started, requests: Sequence[Request], gone: pl.DataFrame, people: int, members: int, at: datetime
    ) -> None:
        """Land what a sync is going to do, before it does any of it.

        Args:
            started: The sync.
            requests: What it will send.
            gone: `keys`, `row` of those a replacement leaves out, which no request names.
            people: Whom it is to hold.
            members: The rows they give.
            at: The clock.
        """
        parts = [(one.keys, row, one.present, one.batch) for one in requests for row in one.rows]
        parts += [(keys, row, False, 0) for keys, row in gone.iter_rows()]
        count = len(parts)
        columns: dict[str, Any] = {
            "change_id": new_ids(count),
            "audience": [started.audience] * count,
            "audience_id": [started.audience_id] * count,
            "changed_at": [at] * count,
            "received_at": [at] * count,
            "sync_id": [started.sync_id] * count,
            **{name: [part[n] for part in parts] for n, name in enumerate(("keys", "row", "present", "batch"))},
        }
        schema = DATASETS["ad_audiences"].schema
        rows = pa.table({name: columns[name] for name in schema.names}, schema=schema)
        event = self._event(started, "started", at, people=people, members=members, session_id=started.session_id)
        self._lake.land_all({"ad_audiences": rows, "ad_audience_syncs": event})

    def confirm(self, started: Started, request: Request, at: datetime, *, received: int, invalid: int) -> None:
        """Land that one request was taken."""
        count = "added" if request.present else "removed"
        numbers = {"batch": request.batch, count: len(request.rows), "received": received, "invalid": invalid}
        self._tell(started, "confirmed", at, **numbers)

    def finish(self, started: Started, at: datetime, *, removed: int = 0) -> None:
        """Land that a sync is done.

        Args:
            started: The sync.
            at: The clock.
            removed: Rows a replacement left out.
        """
        self._tell(started, "finished", at, removed=removed or None)

    def fail(self, started: Started, at: datetime, detail: str) -> None:
        """Land why a sync was broken off; the next goes on where it was."""
        self._tell(started, "failed", at, detail=detail[:200])

    def delete(self, started: Started, at: datetime) -> None:
        """Land that an audience is no more."""
        self._tell(started, "deleted", at)

    def _tell(self, started: Started, kind: str, at: datetime, **values: Any) -> None:
        self._lake.land("ad_audience_syncs", self._event(started, kind, at, **values))

    @staticmethod
    def _event(started: Started, kind: str, at: datetime, **values: Any) -> pa.Table:
        row = {
            "change_id": uuid.uuid4().hex,
            "sync_id": started.sync_id,
            "audience": started.audience,
            "audience_id": started.audience_id,
            "changed_at": at,
            "received_at": at,
            "kind": kind,
            "segment": started.segment,
            "is_replacement": started.is_replacement,
            **values,
        }
        schema = DATASETS["ad_audience_syncs"].schema
        return pa.Table.from_pylist([{name: row.get(name) for name in schema.names}], schema)
