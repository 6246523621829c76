"""A planned run: who is to get what, frozen in two files that never change again.

``data/lake/audiences/run=<run_id>/recipients.parquet`` has a row for each person of the audience
(:data:`engage.lake.schema.RECIPIENTS`), ``run.json`` beside it what was frozen with it. Planning writes them, delivery
reads them; how far a run has got is the ledger's and the lake's to say, never these files'.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from engage.errors import PlanError
from engage.lake.recipients import Counts, count_recipients, digest, write_recipients
from engage.lake.storage import Batch, Storage, sync_folder, write_atomically
from engage.settings import Settings
from engage.vocabulary import Channel, DeliveryType

__all__ = [
    "Counts",
    "Run",
    "discard_run",
    "has_begun",
    "list_runs",
    "mark_begun",
    "read_run",
    "recipients_path",
    "run_folder",
    "stage_recipients",
    "write_run",
]

_VERSION = 1
_BEGAN = "began"
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_TIMES = ("planned_at", "as_of", "known_at", "start_at", "end_at")


@dataclass(frozen=True, slots=True)
class Run:
    """What was frozen when a run was planned.

    Args:
        run_id: Its name: letters, digits, ``.``, ``_`` and ``-``.
        campaign_id: The campaign or journey it belongs to.
        campaign_name: Its title as of then.
        channel: Where its messages go.
        planned_at: The clock when it was planned; time zone needed, as for all times here.
        provider: Which provider sends; None for the channel's default.
        fallback: Providers to try when that one is down, in order.
        delivery_type: How it came about.
        labels: Message labels its messages carry.
        journey_id: The journey, when one planned it.
        as_of: The clock the audience was asked with (bounds `event_time`).
        known_at: What had been received by then (bounds `received_at`).
        content: Template texts and values by variant, then by field.
        throttle_per_second: The most messages a second, when the campaign sets a limit.
        start_at: Nothing leaves before.
        end_at: What has not left by then is not sent any more.
        options: What else the channel or provider needs, as JSON values.
        counts: How the audience was split; filled in by :func:`write_run`.
        recipients_sha256: Of the recipients file's bytes; filled in by :func:`write_run`.
    """

    run_id: str
    campaign_id: str
    campaign_name: str
    channel: str
    planned_at: datetime
    provider: str | None = None
    fallback: tuple[str, ...] = ()
    delivery_type: str = DeliveryType.ONE_TIME
    labels: tuple[str, ...] = ()
    journey_id: str | None = None
    as_of: datetime | None = None
    known_at: datetime | None = None
    content: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    throttle_per_second: float | None = None
    start_at: datetime | None = None
    end_at: datetime | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    recipients_sha256: str = ""

    def __post_init__(self) -> None:
        if not _RUN_ID.fullmatch(self.run_id):
            raise PlanError(f"{self.run_id!r} is not a run id", hint="use letters, digits, '.', '_' and '-'")
        if self.channel not in set(Channel):
            raise PlanError(f"channel {self.channel!r} is not known", where=self.run_id, hint=", ".join(Channel))
        for name in _TIMES:
            value = getattr(self, name)
            if value is not None and value.tzinfo is None:
                raise PlanError(f"{name} has no time zone", where=self.run_id)


def run_folder(settings: Settings, run_id: str) -> Path:
    """The folder of a run's two files.

    Raises:
        PlanError: It could not be the name of a run.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise PlanError(f"{run_id!r} is not a run id", hint="see `engage delivery status`")
    return settings.lake / "audiences" / f"run={run_id}"


def recipients_path(settings: Settings, run_id: str) -> Path:
    """The recipients file of a run."""
    return run_folder(settings, run_id) / "recipients.parquet"


def write_run(settings: Settings, run: Run, recipients: pa.Table | Path) -> Run:
    """Freeze a run: both of its files appear at once, and never change.

    Planning the same run again with the same result is harmless.

    Args:
        settings: The workspace.
        run: What to write into ``run.json``; `counts` and `recipients_sha256` are worked out here.
        recipients: Rows in the schema :data:`engage.lake.schema.RECIPIENTS`, those with ``planned = 'send'`` first and
            numbered 0, 1, … in `seq`; or a finished Parquet file of them, which is moved away.

    Returns:
        The run with `counts` and `recipients_sha256`.

    Raises:
        PlanError: The rows are not as described, or the run exists with other recipients.
    """
    storage = Storage(settings)
    target = run_folder(settings, run.run_id)
    with storage.writing():
        staged = storage.staging / f"run-{uuid.uuid4().hex}"
        staged.mkdir(parents=True)
        try:
            file = staged / "recipients.parquet"
            if isinstance(recipients, Path):
                shutil.move(recipients, file)
            else:
                write_recipients(recipients, file, run.run_id)
            run = replace(run, counts=count_recipients(file, run.run_id, run.channel), recipients_sha256=digest(file))
            with file.open("rb+") as opened:
                os.fsync(opened.fileno())
            if (target / "run.json").exists():
                return _same(settings, run)
            write_atomically(staged / "run.json", _to_json(run))
            target.parent.mkdir(parents=True, exist_ok=True)
            staged.rename(target)
            sync_folder(target.parent)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    return run


def has_begun(settings: Settings, run_id: str) -> bool:
    """Whether messages of a run may have left; a mark beside its files says so, whatever became of the ledger."""
    return (run_folder(settings, run_id) / _BEGAN).exists()


def mark_begun(settings: Settings, run_id: str) -> None:
    """Note that messages of a run are about to leave: its plan is not put aside any more."""
    if not has_begun(settings, run_id):
        write_atomically(run_folder(settings, run_id) / _BEGAN, b"")


def stage_recipients(batch: Batch, run: Run, recipients: pa.Table) -> None:
    """Put other rows in the place of a finished run's, in a batch of the lake (erasure); `seq` must be what it was.

    Args:
        batch: Takes both of the run's files.
        run: As it was read.
        recipients: Rows in the schema :data:`engage.lake.schema.RECIPIENTS`.
    """
    folder = batch.folder / "audiences" / f"run={run.run_id}"
    folder.mkdir(parents=True)
    file = folder / "recipients.parquet"
    write_recipients(recipients, file, run.run_id)
    run = replace(run, counts=count_recipients(file, run.run_id, run.channel), recipients_sha256=digest(file))
    (folder / "run.json").write_text(_to_json(run), encoding="utf-8")


def discard_run(settings: Settings, run_id: str) -> None:
    """Put aside the plan of a run of which nothing was sent; harmless when there is none.

    Raises:
        PlanError: Messages of it may have left.
    """
    folder = run_folder(settings, run_id)
    storage = Storage(settings)
    with storage.writing():
        if has_begun(settings, run_id):
            raise PlanError("messages of it may have left, so it stays", where=run_id)
        if folder.exists():
            aside = storage.staging / f"discarded-{uuid.uuid4().hex}"
            storage.staging.mkdir(parents=True, exist_ok=True)
            folder.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)


def read_run(settings: Settings, run_id: str, *, verify: bool = False) -> Run:
    """Read what was frozen with a run.

    Args:
        settings: The workspace.
        run_id: Its name.
        verify: Also compare the recipients file with its recorded sha256.

    Raises:
        PlanError: There is no such run, or its files are not what was written.
    """
    path = run_folder(settings, run_id) / "run.json"
    try:
        there = path.stat()
        run = _parsed(path, there.st_mtime_ns, there.st_ino)
    except FileNotFoundError:
        raise PlanError(f"no run {run_id!r}", hint="see `engage delivery status`") from None
    if verify and digest(path.with_name("recipients.parquet")) != run.recipients_sha256:
        raise PlanError("the recipients file was changed after planning", where=str(path.parent), hint="plan anew")
    return run


@lru_cache(maxsize=10_000)
def _parsed(path: Path, changed: int, inode: int) -> Run:
    """A run's file, read once while it is the same: a worker asks for all of them every few seconds."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PlanError(f"not valid JSON: {error}", where=str(path)) from error
    if values.pop("version", None) != _VERSION:
        raise PlanError("written by another version", where=str(path), hint=f"this one reads version {_VERSION}")
    try:
        for name in _TIMES:
            values[name] = datetime.fromisoformat(values[name]) if values.get(name) else None
        for name in ("labels", "fallback"):
            values[name] = tuple(values.get(name) or ())
        values["counts"] = Counts(**values["counts"])
        run = Run(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise PlanError(f"not a run: {error}", where=str(path)) from error
    return run


def list_runs(settings: Settings) -> list[Run]:
    """Every run that was planned, oldest first."""
    runs = []
    for file in (settings.lake / "audiences").glob("run=*/run.json"):
        try:
            runs.append(read_run(settings, file.parent.name.removeprefix("run=")))
        except PlanError:
            if file.exists():  # else it was put aside meanwhile, to be planned anew
                raise
    return sorted(runs, key=lambda run: (run.planned_at, run.run_id))


def _to_json(run: Run) -> str:
    values: dict[str, Any] = {"version": _VERSION, **asdict(run)}
    for name in _TIMES:
        if values[name] is not None:
            values[name] = values[name].astimezone(UTC).isoformat()
    return json.dumps(values, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _same(settings: Settings, run: Run) -> Run:
    there = read_run(settings, run.run_id)
    if there.recipients_sha256 != run.recipients_sha256:
        raise PlanError(f"run {run.run_id} exists with other recipients", hint="plan it under another id")
    return there
