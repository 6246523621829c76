"""Retention against a plain-Python reference, one user at a time, over random histories and time zones."""

from __future__ import annotations

import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

import engage
from engage.analysis import retention_sql
from tests.examples import tried

ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kolkata")
START = datetime(2026, 3, 25, tzinfo=UTC)  # summer time begins in Europe on 29 March
_workspaces: dict[str, engage.Workspace] = {}


def workspace_in(zone: str) -> engage.Workspace:
    """One workspace a zone; its lake is emptied between examples."""
    if zone not in _workspaces:
        folder = Path(tempfile.mkdtemp(prefix="engage-reference-"))
        _workspaces[zone] = engage.Workspace.create(folder / "w", timezone=zone)
    workspace = _workspaces[zone]
    for file in (workspace.settings.lake / "events").glob("*/*.parquet"):
        if file.name != "seed.parquet":
            file.unlink()
    return workspace


def number(moment: datetime, period: str, zone: str) -> int:
    """The number of a local hour, day, week (from Monday) or month."""
    local = moment.astimezone(ZoneInfo(zone))
    if period == "hour":
        minutes = int(ZoneInfo(zone).utcoffset(datetime(2024, 1, 1)).total_seconds()) // 60 % 60  # type: ignore[union-attr]  # noqa: DTZ001
        return int((moment.timestamp() + minutes * 60) // 3600)
    day = (local.date() - date(1970, 1, 1)).days
    return {"day": day, "week": (day + 3) // 7, "month": local.year * 12 + local.month - 1}[period]


def expected(
    events: list[tuple[str, str, datetime]], zone: str, *, start: str | None, back: str | None, period: str,
    periods: int, kind: str, mode: str, last: datetime, minimum: int,
) -> list[tuple[int, int, int | None]]:  # fmt: skip
    end = number(last, period, zone)
    first = end - periods + 1
    cells: dict[tuple[int, int], set[str]] = {}
    for user in {user for user, _, _ in events}:
        mine = sorted((moment, name) for who, name, moment in events if who == user)
        starts = [number(m, period, zone) for m, name in mine if start in (None, name)]
        if kind != "recurring":
            starts = starts[:1]
        returns: dict[int, int] = {}
        for moment, name in mine:
            if back in (None, name) and number(moment, period, zone) <= end:
                returns[number(moment, period, zone)] = returns.get(number(moment, period, zone), 0) + 1
        days = {day for day, times in returns.items() if times >= minimum}
        for cohort in {s for s in starts if first <= s <= end}:
            cells.setdefault((cohort, 0), set()).add(user)
            for k in range(1, periods):
                hit = any(d >= cohort + k for d in days) if mode == "on_or_after" else cohort + k in days
                if hit:
                    cells.setdefault((cohort, k), set()).add(user)
    return [
        (cohort - first, k, len(cells.get((cohort, k), ())) if cohort + k <= end else None)
        for cohort in range(first, end + 1)
        for k in range(periods)
    ]


moments = st.integers(0, 20 * 24 * 60).map(lambda minutes: START + timedelta(minutes=minutes))
histories = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("xyz"), moments), min_size=1, max_size=40)


@tried(25)
@given(
    histories,
    st.sampled_from(ZONES),
    st.sampled_from(["x", "y", None]),
    st.sampled_from(["x", "z", None]),
    st.sampled_from(["hour", "day", "week", "month"]),
    st.sampled_from(["recurring", "first_time"]),
    st.sampled_from(["on", "on_or_after"]),
    st.integers(1, 12),
    st.integers(1, 2),
    st.booleans(),
)
def test_it_agrees_with_the_reference(
    events: list[tuple[str, str, datetime]], zone: str, start: str | None, back: str | None, period: str, kind: str,
    mode: str, periods: int, minimum: int, is_long: bool,
) -> None:  # fmt: skip
    workspace = workspace_in(zone)
    workspace.land_events([{"user_id": u, "event_name": n, "event_time": m} for u, n, m in events])
    last = START + timedelta(days=9, hours=7)
    with pytest.MonkeyPatch.context() as patch:
        if is_long:
            patch.setattr(retention_sql, "WORD", -1)  # take the road for long spans
        table = workspace.retention(
            start_event=start, return_event=back, period=period, periods=periods, kind=kind, mode=mode,
            date_to=last, minimum_occurrences=minimum,
        )  # fmt: skip
    cohorts: dict[Any, int] = {cohort: i for i, cohort in enumerate(table["cohort"].unique(maintain_order=True))}
    got = [(cohorts[row["cohort"]], row["period"], row["users"]) for row in table.iter_rows(named=True)]
    want = expected(
        events, zone, start=start, back=back, period=period, periods=periods, kind=kind, mode=mode, last=last,
        minimum=minimum,
    )  # fmt: skip
    assert got == want


def test_a_span_longer_than_a_word_is_answered_too() -> None:
    workspace = workspace_in("UTC")
    days = [0, 1, 150, 299]
    workspace.land_events(
        [{"user_id": "a", "event_name": "x", "event_time": START + timedelta(days=day)} for day in days]
    )
    table = workspace.retention(
        start_event="x", return_event="x", periods=300, kind="first_time", date_to=START + timedelta(days=299)
    )
    row = table.filter(table["size"] > 0)
    assert [k for k, users in zip(row["period"], row["users"], strict=True) if users] == days
