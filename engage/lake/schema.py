"""What a row of each dataset is.

Every dataset lies under ``data/lake/<dataset>/date=YYYY-MM-DD/*.parquet``, where the date is the UTC date of the
row's time column. Times are UTC, in microseconds. Datasets are append-only: a change is a new row.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

__all__ = ["DATASETS", "RECIPIENTS", "SEED", "SEED_NAME", "TRANSITIONS", "Dataset"]

_TIME = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset of the lake.

    Args:
        name: Its folder.
        schema: Columns as stored.
        time: The column whose UTC date names the partition.
        key: The column that identifies a row; a second row with the same key is not landed.
        order: Columns the rows of a file are sorted by, so that readers skip row groups.
    """

    name: str
    schema: pa.Schema
    time: str
    key: str
    order: tuple[str, ...]


SEED_NAME = "seed.parquet"
SEED = f"date=9999-12-31/{SEED_NAME}"
"""The file without rows that every dataset has, below its folder. It is the last one, since DuckDB guesses the rows of
many files from the first: with none in that, it would take every relation for empty, and join them the wrong way."""

_EVENTS = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("user_id", pa.string()),
        pa.field("anonymous_id", pa.string()),
        pa.field("event_name", pa.string(), nullable=False),
        pa.field("event_time", _TIME, nullable=False),
        pa.field("received_at", _TIME, nullable=False),
        pa.field("properties", pa.string()),  # JSON object as text, null when empty
        pa.field("source", pa.string()),
    ]
)

_NOTIFICATIONS = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("event_name", pa.string(), nullable=False),
        pa.field("event_time", _TIME, nullable=False),
        pa.field("received_at", _TIME, nullable=False),
        pa.field("message_id", pa.string()),
        pa.field("campaign_id", pa.string()),
        pa.field("campaign_name", pa.string()),
        pa.field("run_id", pa.string()),
        pa.field("journey_id", pa.string()),
        pa.field("channel", pa.string()),
        pa.field("provider", pa.string()),
        pa.field("delivery_type", pa.string()),
        pa.field("variant", pa.string()),
        pa.field("labels", pa.list_(pa.string())),
        pa.field("reason", pa.string()),
        pa.field("properties", pa.string()),  # the rest, as a JSON object
        pa.field("source", pa.string()),
    ]
)

_PROFILES = pa.schema(
    [
        pa.field("change_id", pa.string(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("changed_at", _TIME, nullable=False),
        pa.field("received_at", _TIME, nullable=False),
        pa.field("properties", pa.string(), nullable=False),  # JSON object of what changed
        pa.field("source", pa.string()),
    ]
)

_DEVICES = pa.schema(
    [
        pa.field("change_id", pa.string(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("changed_at", _TIME, nullable=False),
        pa.field("received_at", _TIME, nullable=False),
        pa.field("channel", pa.string(), nullable=False),  # push or web_push
        pa.field("platform", pa.string()),  # android, ios, web
        pa.field("token", pa.string(), nullable=False),  # push token, or the subscription as JSON
        pa.field("environment", pa.string()),  # production or sandbox
        pa.field("active", pa.bool_(), nullable=False),  # false once it is dead or revoked
        pa.field("source", pa.string()),
    ]
)

_IDENTITIES = pa.schema(
    [
        pa.field("change_id", pa.string(), nullable=False),
        pa.field("anonymous_id", pa.string(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("changed_at", _TIME, nullable=False),
        pa.field("received_at", _TIME, nullable=False),
    ]
)

_AD_AUDIENCES = pa.schema(
    [
        pa.field("change_id", pa.string(), nullable=False),
        pa.field("audience", pa.string(), nullable=False),
        pa.field("audience_id", pa.string(), nullable=False),  # the ad network's
        pa.field("changed_at", _TIME, nullable=False),
        pa.field("received_at", _TIME, nullable=False),
        pa.field("keys", pa.string(), nullable=False),  # what the cells are, separated by commas
        pa.field("row", pa.string(), nullable=False),  # hashed cells as a JSON list
        pa.field("present", pa.bool_(), nullable=False),  # false where it is to be removed
        pa.field("sync_id", pa.string(), nullable=False),  # the sync that planned it
        pa.field("batch", pa.int32(), nullable=False),  # which of its requests carries it
    ]
)

_AD_AUDIENCE_SYNCS = pa.schema(
    [
        pa.field("change_id", pa.string(), nullable=False),
        pa.field("sync_id", pa.string(), nullable=False),
        pa.field("audience", pa.string(), nullable=False),
        pa.field("audience_id", pa.string(), nullable=False),  # the ad network's
        pa.field("changed_at", _TIME, nullable=False),
        pa.field("received_at", _TIME, nullable=False),
        pa.field("kind", pa.string(), nullable=False),  # started, confirmed (a batch), finished, failed, deleted
        pa.field("segment", pa.string()),  # null for everyone
        pa.field("is_replacement", pa.bool_(), nullable=False),
        pa.field("session_id", pa.int64()),  # of a replacement
        pa.field("people", pa.int64()),  # whom it was to hold, told when it started
        pa.field("members", pa.int64()),  # the rows they give, told when it started
        pa.field("batch", pa.int32()),  # of a confirmation
        pa.field("added", pa.int64()),
        pa.field("removed", pa.int64()),
        pa.field("received", pa.int64()),  # rows the ad network says it received in this batch
        pa.field("invalid", pa.int64()),  # and could not use
        pa.field("detail", pa.string()),  # why it failed: codes, nothing personal
    ]
)

DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset("events", _EVENTS, "event_time", "event_id", ("event_name", "user_id", "event_time")),
        Dataset("notifications", _NOTIFICATIONS, "event_time", "event_id", ("event_name", "user_id", "event_time")),
        Dataset("profiles", _PROFILES, "changed_at", "change_id", ("user_id", "changed_at")),
        Dataset("devices", _DEVICES, "changed_at", "change_id", ("user_id", "changed_at")),
        Dataset("ad_audiences", _AD_AUDIENCES, "changed_at", "change_id", ("audience", "row")),
        Dataset("ad_audience_syncs", _AD_AUDIENCE_SYNCS, "changed_at", "change_id", ("sync_id", "changed_at")),
        Dataset("identities", _IDENTITIES, "changed_at", "change_id", ("anonymous_id", "changed_at")),
    )
}
"""Every dataset that rows land in, by name."""

RECIPIENTS = pa.schema(
    [
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("seq", pa.int64(), nullable=False),  # 0, 1, … over those to be sent; then the others
        pa.field("message_id", pa.string(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("planned", pa.string(), nullable=False),  # send, held_out, excluded
        pa.field("reason", pa.string()),  # why excluded
        pa.field("channel", pa.string(), nullable=False),
        pa.field("variant", pa.string()),
        pa.field("address", pa.string()),
        pa.field("send_at", _TIME),  # null: as soon as possible
        pa.field("context", pa.string()),  # JSON object the templates are rendered with
    ]
)
"""A recipients file, ``data/lake/audiences/run=<run_id>/recipients.parquet``: one row a person of the audience.

Written once by planning, with the rows to send first, in `seq` order; beside it ``run.json`` holds what was frozen
with it (campaign, labels, provider, templates, clocks). Delivery reads these two and nothing else.
"""

TRANSITIONS = pa.schema(
    [
        pa.field("journey_id", pa.string(), nullable=False),
        pa.field("version", pa.int32(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("entry_at", _TIME, nullable=False),  # when they entered the journey; with user_id: one walk
        pa.field("seq", pa.int32(), nullable=False),  # 0 for the entry, then 1, 2, … along the walk
        pa.field("node", pa.string(), nullable=False),  # the node reached
        pa.field("came_from", pa.string()),  # the node left; null for the entry
        pa.field("port", pa.string()),  # by which way out
        pa.field("entered_at", _TIME, nullable=False),  # exact, whenever the tick ran
        pa.field("due_at", _TIME),  # when the node is left at the latest; null where the walk ends
        pa.field("detail", pa.string()),  # of an entry by event: the event, as a JSON object
    ]
)
"""The record of journeys, ``data/lake/journeys/journey=<id>/*.parquet``: one row a move, in files that are written
once, a file a tick. Where somebody is, is the last row of their walk."""
