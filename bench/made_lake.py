"""A lake to measure analyses on: people join over 90 days and come less often after a while, a few very often.

Two of them are machines rather than people, with a hundred thousand events each.
"""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

import engage
from engage.lake.landing import stage
from engage.lake.schema import DATASETS

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 90
NAMES = ("App Launched", "Viewed", "Searched", "Added To Cart", "Charged", "Shared", "Rated", "App Uninstalled")
SHARES = (0.34, 0.30, 0.12, 0.10, 0.06, 0.04, 0.03, 0.01)
COUNTRIES = ("DE", "FR", "US", "IN", "BR")
LABELS = ("Winter", "Win-back", "News", "Cart", "Birthday", "Offers", "Onboarding", "Survey", "Partner", "Test")
_DAY = 86_400_000_000
_MEMORY = "2500MB"  # DuckDB's own; what is counted outside of it comes on top
_HEAVY, _HEAVY_EVENTS = 2, 100_000


def _texts(prefix: str, numbers: np.ndarray, width: int = 8) -> pa.Array:
    digits = np.char.zfill(numbers.astype(str), width)
    return pa.array(np.char.add(prefix, digits))


def make(root: Path, events: int) -> engage.Workspace:
    """Fill a new workspace: `events` events of events / 20 users, a tenth as many messages, and a profile each."""
    workspace = engage.Workspace.create(root)
    file = root / "pyproject.toml"
    table = "[tool.engage]\n"
    file.write_text(file.read_text().replace(table, f'{table}threads = 2\nmemory_limit = "{_MEMORY}"\n', 1))
    workspace = engage.Workspace.open(root)
    random = np.random.default_rng(7)
    users = events // 20
    joined = np.where(random.random(users) < 0.3, 0, random.integers(0, DAYS, users))
    habit = random.pareto(1.6, users) + 0.2
    expected = np.zeros(users)
    for day in range(DAYS):
        expected += habit * _appetite(day, joined)
    habit *= events / expected.sum()
    joined[:_HEAVY] = 0
    habit[:_HEAVY] = _HEAVY_EVENTS / sum(_appetite(day, joined[:_HEAVY]) for day in range(DAYS))
    profiles = DATASETS["profiles"].schema
    people = _texts("user-", np.arange(users))
    for begin in range(0, users, 500_000):
        part = people.slice(begin, 500_000)
        country = random.integers(0, len(COUNTRIES), len(part))
        told = np.array([f'{{"country":"{name}"}}' for name in COUNTRIES])[country]
        clock = pa.array(np.full(len(part), int(START.timestamp()) * 1_000_000), pa.int64()).cast(
            profiles.field(2).type
        )
        columns = [part, part, clock, clock, pa.array(told), pa.array(["bench"] * len(part))]
        _stage(workspace, "profiles", pa.table(columns, schema=profiles))
    for day in range(DAYS):
        _stage(workspace, "events", _events(random, people, habit * _appetite(day, joined), day))
        _stage(workspace, "notifications", _messages(random, people, day, events // 10 // DAYS))
    return workspace


def without_derived(workspace: engage.Workspace, folder: Path) -> engage.Workspace:
    """The same lake, asked without its derived tables: they are left aside where a relation was edited."""
    root = Path(shutil.copytree(workspace.root, folder, copy_function=os.link))
    file = root / "sql" / "lake" / "user_events.sql"
    text = file.read_text(encoding="utf-8")
    file.unlink()  # it is the other workspace's file, too
    file.write_text(text + "\n-- read as it is\n", encoding="utf-8")
    return engage.Workspace.open(root)


def _appetite(day: int, joined: np.ndarray) -> np.ndarray:
    age = day - joined
    return np.where(age < 0, 0.0, 0.2 + 0.8 * np.exp(-np.maximum(age, 0) / 10))


def _stage(workspace: engage.Workspace, dataset: str, table: pa.Table) -> None:
    schema = DATASETS[dataset].schema
    order = [(name, "ascending") for name in DATASETS[dataset].order]
    with workspace.lake.storage.writing(), workspace.lake.storage.batch() as batch:
        stage(batch, DATASETS[dataset], table.cast(schema).sort_by(order))
        batch.commit()


def _times(random: np.random.Generator, count: int, day: int) -> pa.Array:
    begin = int((START + timedelta(days=day)).timestamp()) * 1_000_000
    return pa.array(begin + random.integers(0, _DAY, count), pa.int64()).cast(pa.timestamp("us", tz="UTC"))


def _events(random: np.random.Generator, people: pa.Array, rate: np.ndarray, day: int) -> pa.Table:
    who = np.repeat(np.arange(len(rate)), random.poisson(rate))
    count = len(who)
    name = random.choice(len(NAMES), count, p=SHARES)
    amounts = np.char.add(np.char.add('{"amount":', random.integers(1, 300, count).astype(str)), "}")
    screens = np.char.add(np.char.add('{"screen":"s', random.integers(0, 50, count).astype(str)), '"}')
    clock = _times(random, count, day)
    columns = {
        "event_id": _texts(f"e{day:02}-", np.arange(count), 9),
        "user_id": people.take(pa.array(who)),
        "anonymous_id": pa.nulls(count, pa.string()),
        "event_name": pa.array(np.array(NAMES)[name]),
        "event_time": clock,
        "received_at": clock,
        "properties": pa.array(np.where(name == 4, amounts, screens)),
        "source": pa.array(np.full(count, "bench")),
    }
    return pa.table(columns)


def _messages(random: np.random.Generator, people: pa.Array, day: int, count: int) -> pa.Table:
    schema = DATASETS["notifications"].schema
    who, which = random.integers(0, len(people), count), random.integers(0, len(LABELS), count)
    clock = _times(random, count, day)
    ids = _texts(f"m{day:02}-", np.arange(count), 9)
    columns = {field.name: pa.nulls(count, field.type) for field in schema} | {
        "event_id": ids,
        "user_id": people.take(pa.array(who)),
        "event_name": pa.array(np.full(count, "Notification Sent")),
        "event_time": clock,
        "received_at": clock,
        "message_id": ids,
        "campaign_id": pa.array(np.array([name.lower() for name in LABELS])[which]),
        "channel": pa.array(np.full(count, "email")),
        "labels": pa.array([[label] for label in np.array(LABELS)[which]]),
        "source": pa.array(np.full(count, "bench")),
    }
    return pa.table(columns)
