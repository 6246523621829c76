"""The table of user labels: one row a user, message event, label and year, with how often, first and last.

``data/lake/derived/user_labels/year=YYYY/*.parquet``. A row whose `label` is null stands for all messages of that
event, with or without labels.
"""

from __future__ import annotations

from engage.lake.derived.table import Table
from engage.lake.wall_clock import local_day

__all__ = ["USER_LABELS"]

_KEY = ("event_name", "label", "user_id")


def _aggregate(source: str, timezone: str) -> str:
    facts = "count(*) as n, min(event_time) as first_at, max(event_time) as last_at"
    return f"""
with dated as (
    select event_name, user_id, event_time, labels, year({local_day("event_time", timezone)}) as year from {source}
),
labelled as (select year, event_name, unnest(list_distinct(labels)) as label, user_id, event_time from dated)
select year, event_name, label, user_id, {facts}
from labelled where label is not null group by year, event_name, label, user_id
union all
select year, event_name, null as label, user_id, {facts} from dated group by year, event_name, user_id"""


def _merge(source: str) -> str:
    key = ", ".join(_KEY)
    facts = "sum(n)::bigint as n, min(first_at) as first_at, max(last_at) as last_at"
    return f"select {key}, {facts} from {source} group by {key}"


USER_LABELS = Table(
    name="user_labels",
    dataset="notifications",
    key=_KEY,
    order="event_name, label nulls first, user_id",
    stranger="starts_with(user_id, 'anon-')",
    aggregate=_aggregate,
    merge=_merge,
)
"""The table."""
