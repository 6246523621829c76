"""What became of messages, as rows of the notifications dataset."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import pyarrow as pa

from engage.lake.landing import Lake
from engage.lake.runs import Run
from engage.lake.schema import DATASETS
from engage.vocabulary import Channel, Event, PermanentReason

__all__ = ["Ending", "ending_rows", "held_out_rows", "land_endings", "land_held_out", "tally"]

_SCHEMA = DATASETS["notifications"].schema
_EVENTS = {
    "sent": (Event.NOTIFICATION_SENT, "sent"),
    "failed": (Event.NOTIFICATION_FAILED, "failed"),
    "in_doubt": (Event.NOTIFICATION_IN_DOUBT, "in_doubt"),
}
_TIME = pa.timestamp("us", tz="UTC")


class Ending(NamedTuple):
    """How an attempt to send a message ended.

    Args:
        row: Its row in the table of recipients.
        state: ``sent``, ``failed`` or ``in_doubt``.
        at: The send's clock, in microseconds since 1970.
        reason: Why it failed.
        detail: The provider's words.
        suppress: 1 when the address is not to be used again; larger where it is known since when, in microseconds
            since 1970.
    """

    row: int
    state: str
    at: int
    provider: str
    provider_id: str | None = None
    reason: str | None = None
    detail: str | None = None
    suppress: int = 0


def ending_rows(run: Run, recipients: pa.Table, endings: Sequence[Ending], *, received_at: datetime) -> pa.Table:
    """Turn endings into notifications.

    Args:
        run: The run.
        recipients: Rows in the schema of a recipients file.
        endings: What became of some of them.
        received_at: The clock.

    Returns:
        One row an ending, in the schema of the notifications dataset. The `event_id` follows from the message and
        what happened, so that landing it again adds nothing.
    """
    events = [_EVENTS[ending.state] for ending in endings]
    who = recipients.select(["message_id", "user_id", "variant"]).take([ending.row for ending in endings])
    ids = who["message_id"].to_pylist()
    return _rows(
        run,
        event_id=[f"{message_id}:{suffix}" for message_id, (_, suffix) in zip(ids, events, strict=True)],
        who=who,
        event_name=[str(event) for event, _ in events],
        event_time=pa.array([ending.at for ending in endings], pa.int64()).cast(_TIME),
        received_at=received_at,
        provider=[ending.provider or None for ending in endings],
        reason=[ending.reason for ending in endings],
        properties=[_properties(ending.provider_id, ending.detail) for ending in endings],
    )


def held_out_rows(run: Run, recipients: pa.Table, *, at: datetime, received_at: datetime) -> pa.Table:
    """Turn the control group into notifications.

    Args:
        run: The run.
        recipients: The rows held out.
        at: The send's clock.
        received_at: The clock.

    Returns:
        One row a person, in the schema of the notifications dataset.
    """
    n = recipients.num_rows
    return _rows(
        run,
        event_id=[f"{message_id}:held_out" for message_id in recipients["message_id"].to_pylist()],
        who=recipients,
        event_name=[str(Event.NOTIFICATION_HELD_OUT)] * n,
        event_time=pa.repeat(pa.scalar(at, _TIME), n),
        received_at=received_at,
        provider=[None] * n,
        reason=[None] * n,
        properties=[None] * n,
    )


def tally(endings: Sequence[Ending]) -> Counter[str]:
    """Count endings that are final: ``sent`` and ``failed:<reason>``."""
    return Counter(
        "sent" if ending.state == "sent" else f"failed:{ending.reason}"
        for ending in endings
        if ending.state != "in_doubt"
    )


def land_endings(
    lake: Lake, run: Run, parts: Sequence[tuple[pa.Table, Sequence[Ending]]], *, received_at: datetime
) -> None:
    """Land what became of messages; harmless to repeat.

    An address that is not to be used again is landed as such in the same stroke: ``Channel Unsubscribed``, for a
    push token or web-push subscription the device's end, and for an app's token ``App Uninstalled``. They bear the
    time from which the address was dead, where it is known, so that a device that has registered since stays.

    Args:
        lake: Where.
        run: The run.
        parts: Rows of the recipients file, and endings of some of them.
        received_at: The clock.
    """
    tables = [ending_rows(run, recipients, endings, received_at=received_at) for recipients, endings in parts]
    dead = [
        _suppressions(run, recipients, suppressed, received_at)
        for recipients, endings in parts
        if (suppressed := [ending for ending in endings if ending.suppress])
    ]
    rows = {"notifications": pa.concat_tables([*tables, *(unsubscribed for unsubscribed, _, _ in dead)])}
    if dead and run.channel in (Channel.PUSH, Channel.WEB_PUSH):
        rows["devices"] = pa.concat_tables([devices for _, devices, _ in dead])
    if dead and run.channel == Channel.PUSH:
        rows["events"] = pa.concat_tables([uninstalled for _, _, uninstalled in dead])
    lake.land_all(rows)


def _suppressions(
    run: Run, recipients: pa.Table, endings: Sequence[Ending], received_at: datetime
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """What a dead address means: the end of the subscription, of the device, and of the app on it."""
    who = recipients.take([ending.row for ending in endings])
    n = len(endings)
    ids = [f"{message_id}:suppressed" for message_id in who["message_id"].to_pylist()]
    since = [min(ending.at, ending.suppress) if ending.suppress > 1 else ending.at for ending in endings]
    at = pa.array(since, pa.int64()).cast(_TIME)
    unsubscribed = _rows(
        run,
        event_id=ids,
        who=who,
        event_name=[str(Event.CHANNEL_UNSUBSCRIBED)] * n,
        event_time=at,
        received_at=received_at,
        provider=[ending.provider or None for ending in endings],
        reason=[ending.reason for ending in endings],
        properties=[json.dumps({"address": address}) for address in who["address"].to_pylist()],
    )
    devices = {
        "change_id": pa.array(ids, pa.string()),
        "user_id": who["user_id"],
        "changed_at": at,
        "received_at": pa.repeat(pa.scalar(received_at, _TIME), n),
        "channel": pa.array([run.channel] * n, pa.string()),
        "platform": pa.nulls(n, pa.string()),
        "token": who["address"],
        "environment": pa.nulls(n, pa.string()),
        "active": pa.array([False] * n),
        "source": pa.array(["delivery"] * n, pa.string()),
    }
    events = {
        "event_id": pa.array(
            [f"{message_id}:uninstalled" for message_id in who["message_id"].to_pylist()], pa.string()
        ),
        "user_id": who["user_id"],
        "anonymous_id": pa.nulls(n, pa.string()),
        "event_name": pa.array([str(Event.APP_UNINSTALLED)] * n, pa.string()),
        "event_time": at,
        "received_at": devices["received_at"],
        "properties": pa.nulls(n, pa.string()),
        "source": devices["source"],
    }
    gone = pa.array([ending.reason == PermanentReason.UNREGISTERED for ending in endings])
    return (
        unsubscribed,
        pa.table(devices).cast(DATASETS["devices"].schema),
        pa.table(events).cast(DATASETS["events"].schema).filter(gone),
    )


def land_held_out(lake: Lake, run: Run, recipients: pa.Table, *, at: datetime, received_at: datetime) -> None:
    """Land the control group of a run; harmless to repeat."""
    if recipients.num_rows:
        lake.land("notifications", held_out_rows(run, recipients, at=at, received_at=received_at))


def _rows(
    run: Run,
    *,
    event_id: list[str],
    who: pa.Table,
    event_name: list[str],
    event_time: pa.Array,
    received_at: datetime,
    provider: list[str | None],
    reason: list[str | None],
    properties: list[str | None],
) -> pa.Table:
    n = len(event_id)

    def same(value: object, kind: pa.DataType) -> pa.Array:
        return pa.repeat(pa.scalar(value, kind), n) if value is not None else pa.nulls(n, kind)

    text = pa.string()
    columns = {
        "event_id": event_id,
        "user_id": who["user_id"],
        "event_name": event_name,
        "event_time": event_time,
        "received_at": same(received_at, _TIME),
        "message_id": who["message_id"],
        "campaign_id": same(run.campaign_id, text),
        "campaign_name": same(run.campaign_name, text),
        "run_id": same(run.run_id, text),
        "journey_id": same(run.journey_id, text),
        "channel": same(run.channel, text),
        "provider": pa.array(provider, text),
        "delivery_type": same(run.delivery_type, text),
        "variant": who["variant"],
        "labels": same(list(run.labels), pa.list_(text)),
        "reason": pa.array(reason, text),
        "properties": pa.array(properties, text),
        "source": same("delivery", text),
    }
    return pa.table([columns[name] for name in _SCHEMA.names], names=_SCHEMA.names).cast(_SCHEMA)


@lru_cache(maxsize=1024)
def _properties(provider_id: str | None, detail: str | None) -> str | None:
    told = {"provider_id": provider_id, "detail": detail}
    kept = {name: value for name, value in told.items() if value}
    return json.dumps(kept, ensure_ascii=False) if kept else None
