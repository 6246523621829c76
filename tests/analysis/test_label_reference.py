"""A label's retention against a plain-Python reference, one person at a time, over random histories and time zones."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

import engage
from tests.examples import tried
from tests.lakes import empty

ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kolkata")
START = datetime(2026, 3, 25, tzinfo=UTC)  # summer time begins in Europe on 29 March
SENT, HELD_OUT = "Notification Sent", "Notification Held Out"
Done = tuple[str, str, datetime]
Told = tuple[str, str, datetime, list[str]]


@cache
def workspace_in(zone: str) -> engage.Workspace:
    return engage.Workspace.create(Path(tempfile.mkdtemp(prefix="engage-label-")) / "w", timezone=zone)


def land(workspace: engage.Workspace, done: Sequence[Done], told: Sequence[Told]) -> None:
    """Land events and messages in an emptied lake."""
    empty(workspace, "events", "notifications")
    rows: list[dict[str, object]] = [{"user_id": u, "event_name": n, "event_time": t} for u, n, t in done]
    rows += [
        {"user_id": u, "event_name": n, "event_time": t, "properties": {"labels": labels, "channel": "email"}}
        for u, n, t, labels in told
    ]
    workspace.land_events(rows)


def expected(
    done: Sequence[Done], told: Sequence[Told], zone: str, days: int, group: str
) -> list[tuple[int, int, int]]:
    def day(moment: datetime) -> int:
        return (moment.astimezone(ZoneInfo(zone)).date() - date(1970, 1, 1)).days

    labelled = [(user, name, moment) for user, name, moment, labels in told if "Winter" in labels]
    begun: dict[str, datetime] = {}
    for user, name, moment in labelled:
        if name == (HELD_OUT if group == "held_out" else SENT):
            begun[user] = min(begun.get(user, moment), moment)
    came = [(user, moment) for user, name, moment in done if name != "App Uninstalled"]
    if group == "rest" and begun:
        first = min(begun.values())
        theirs = {user for user, name, _ in labelled if name in (SENT, HELD_OUT)}
        begun = {user: first for user, moment in came if moment < first and user not in theirs}
    last = max([day(row[2]) for row in (*done, *told)], default=0)
    rows = []
    for k in range(days + 1):
        people = [user for user, moment in begun.items() if day(moment) + k <= last]
        there = {user for user in people for who, moment in came if who == user and day(moment) == day(begun[user]) + k}
        if people:
            rows.append((k, len(people), len(there) if k else len(people)))
    return rows


moments = st.integers(0, 12 * 24 * 60).map(lambda minutes: START + timedelta(minutes=minutes))
users = st.sampled_from("abcd")


@tried(20)
@given(
    st.lists(st.tuples(users, st.sampled_from(["Viewed", "Charged", "App Uninstalled"]), moments), max_size=30),
    st.lists(
        st.tuples(
            users,
            st.sampled_from([SENT, HELD_OUT, "Notification Clicked"]),
            moments,
            st.lists(st.sampled_from(["Winter", "Offers"]), max_size=2, unique=True),
        ),
        max_size=12,
    ),
    st.sampled_from(ZONES),
    st.integers(0, 14),
    st.sampled_from(["sent", "held_out", "rest"]),
    st.sampled_from([None, START + timedelta(days=6, hours=5)]),
    st.booleans(),
)
def test_it_agrees_with_the_reference(
    done: list[Done], told: list[Told], zone: str, days: int, group: str, as_of: datetime | None, is_folded: bool
) -> None:
    workspace = workspace_in(zone)
    land(workspace, done, told)
    if is_folded:
        workspace.compact()
    table = workspace.label_retention("Winter", days, group=group, as_of=as_of)
    if as_of is not None:
        done, told = [row for row in done if row[2] < as_of], [row for row in told if row[2] < as_of]
    assert table.select("day", "people", "back").rows() == expected(done, told, zone, days, group)
