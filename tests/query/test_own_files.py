"""A workspace's relations over files of its own, and what is said when one of them is wrong."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

import engage
from engage.errors import QueryError

ORDERS = """
union all
select
    'order-' || order_id as event_id,
    customer as user_id,
    null as anonymous_id,
    'Charged' as event_name,
    timezone('UTC', ordered_at) as event_time,
    timezone('UTC', ordered_at) as received_at,
    json_object('amount', total)::varchar as properties,
    'warehouse' as source,
from read_parquet(workspace_file('data/warehouse/*.parquet'))
where visible(timezone('UTC', ordered_at))
"""


def with_orders(workspace: engage.Workspace, more: str) -> engage.Workspace:
    folder = workspace.root / "data" / "warehouse"
    folder.mkdir(exist_ok=True)
    orders = {
        "order_id": ["a", "b", "c"],
        "customer": ["ada", "bob", "ada"],
        "ordered_at": [datetime(2026, 3, day, 12, tzinfo=UTC).replace(tzinfo=None) for day in (1, 2, 3)],
        "total": [10.0, 20.0, 5.0],
    }
    pl.DataFrame(orders).write_parquet(folder / "orders.parquet")
    file = workspace.settings.sql / "lake" / "user_events.sql"
    file.write_text(file.read_text() + more)
    return engage.Workspace.open(workspace.root)


def test_events_of_ones_own_files_are_events(workspace: engage.Workspace) -> None:
    workspace.land_events([{"user_id": "bob", "event_name": "Charged", "event_time": "2026-03-04"}])
    space = with_orders(workspace, ORDERS)
    found = space.sql("select user_id, event_time::date::varchar as day from events order by day")
    assert found.rows() == [("ada", "2026-03-01"), ("bob", "2026-03-02"), ("ada", "2026-03-03"), ("bob", "2026-03-04")]
    back = space.retention(
        start_event="Charged", return_event="Charged", period="day", date_from="2026-03-01", date_to="2026-03-04"
    )
    assert back.filter(cohort=date(2026, 3, 1), period=2)["users"].item() == 1
    assert space.sql("select count(*) as n from events", as_of="2026-03-03")["n"].item() == 2


def test_the_file_to_mend_is_named_wherever_the_relation_is_used(workspace: engage.Workspace) -> None:
    space = with_orders(workspace, ORDERS.replace("customer as", "custmer as"))
    for query in ("from events", "from segments.new_customers", "from activity"):
        with pytest.raises(QueryError, match=r"^sql/lake/user_events.sql: .*custmer.*; mend that file$"):
            space.sql(query)
