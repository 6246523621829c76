"""A believable app's life, made up: people come, use it in a daily and weekly rhythm, tire, leave, and get messages.

Purchases per person and the time until they leave follow the shape of BG/NBD (Fader, Hardie and Lee, 2005): rates are
gamma-distributed, lifetimes are exponential with a mean that differs by person. Everything follows from the seed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from engage.lake.schema import DATASETS
from engage.sample.messages import Sent, send_all

__all__ = ["Simulation", "simulate"]

_DAY = 86_400
_COUNTRIES = {
    "DE": ("Europe/Berlin", "de", 0.25),
    "US": ("America/New_York", "en", 0.30),
    "IN": ("Asia/Kolkata", "en", 0.25),
    "BR": ("America/Sao_Paulo", "pt", 0.20),
}
_NAMES = ("Ada", "Alan", "Grace", "Linus", "Mary", "Noor", "Omar", "Priya", "Rosa", "Tim")
_KINDS = (
    "App Launched",
    "Screen Viewed",
    "Product Viewed",
    "Added To Cart",
    "Charged",
    "App Installed",
    "App Uninstalled",
)
_PER_SESSION = (1.0, 0.85, 0.55, 0.18, 0.06)
_WEEK = np.array([0.95, 0.9, 0.9, 0.95, 1.05, 1.25, 1.2]) / 1.25  # Monday first, as a share of the busiest day
_SCREENS = tuple(json.dumps({"screen": name}) for name in ("home", "search", "cart", "profile", "offers"))
_PRODUCTS = tuple(json.dumps({"product": f"p{n:03}", "price": 5 + 2 * n}) for n in range(60))
_RECEIPTS = tuple(
    json.dumps({"amount": round((5 + 2 * n) * q, 2), "quantity": q, "currency": "EUR", "product": f"p{n:03}"})
    for n in range(60)
    for q in (1, 2, 3)
)
_RELEASE_DAYS = 14


@dataclass(frozen=True, slots=True)
class Simulation:
    """What was made up.

    Args:
        profiles: Rows of the profiles dataset.
        devices: Rows of the devices dataset.
        truth: By campaign, the planted effect on conversion within 14 days (a difference of shares), and how many
            were sent and held out.
        events: How many events there are.
    """

    profiles: pa.Table
    devices: pa.Table
    truth: Mapping[str, Mapping[str, float]]
    events: int
    _columns: Mapping[str, np.ndarray]
    _sent: tuple[Sent, ...]
    _start: date
    _seed: int

    def batches(self) -> Iterator[tuple[pa.Table, pa.Table]]:
        """Events and notifications, a UTC day at a time, in the schemas of their datasets."""
        times = self._columns["time"]
        days = times // _DAY
        for day in range(int(days.min()), int(days.max()) + 1):
            low, high = np.searchsorted(days, [day, day + 1])
            events = _event_rows({name: column[low:high] for name, column in self._columns.items()}, low, self._seed)
            notes = [sent.rows(day * _DAY, (day + 1) * _DAY) for sent in self._sent]
            yield events, pa.concat_tables(notes)


def simulate(users: int, events: int, seed: int, *, days: int = 90, start: date = date(2026, 1, 1)) -> Simulation:
    """Make up an app's life.

    Args:
        users: How many people ever install it.
        events: How many events, to within 1 %; at least two a person.
        seed: The same seed gives the same bytes.
        days: How long.
        start: The first day.

    Returns:
        Profiles, devices, events by day and what was planted.
    """
    chance = np.random.default_rng(seed)
    epoch = int(datetime(start.year, start.month, start.day, tzinfo=UTC).timestamp())
    weekday = start.weekday()
    installed = chance.choice(days, users, p=_growth(days, weekday)) * _DAY + _time_of_day(chance, users)
    rate = chance.gamma(0.7, 1.0, users) + 0.02
    lifetime = (chance.exponential(chance.gamma(2.0, 18.0, users)) * _DAY).astype(np.int64) + 3_600
    left = installed + lifetime
    end = np.minimum(left, days * _DAY - 1)
    removed = np.flatnonzero((left < days * _DAY - _DAY) & (chance.random(users) < 0.6))
    user, when = _sessions(chance, events, users, removed.size, rate * (end - installed), installed, end, weekday)
    kind = np.concatenate([np.full(len(rows), k) for k, rows in enumerate(user)])
    people = np.concatenate([*user, np.arange(users), removed])
    time = np.concatenate([*when, installed, end[removed] + 1])
    kind = np.concatenate([kind, np.full(users, 5), np.full(removed.size, 6)]).astype(np.int8)
    detail = chance.integers(0, 1 << 30, people.size)
    bought = kind == 4
    sent, extra_user, extra_time, truth = send_all(
        chance, users, days * _DAY, epoch, installed, end, people[bought], time[bought], seed
    )
    people = np.concatenate([people, extra_user])
    time = np.concatenate([time, extra_time])
    kind = np.concatenate([kind, np.full(extra_user.size, 4, np.int8)])
    detail = np.concatenate([detail, chance.integers(0, 1 << 30, extra_user.size)])
    order = np.lexsort((people, time))
    columns = {"user": people[order], "time": time[order] + epoch, "kind": kind[order], "detail": detail[order]}
    profiles, devices = _people(chance, users, installed + epoch, seed)
    return Simulation(profiles, devices, truth, people.size, columns, sent, start, seed)


def _growth(days: int, weekday: int) -> np.ndarray:
    day = np.arange(days)
    weight = (1 + 0.8 * day / days) * _WEEK[(day + weekday) % 7]
    weight[0] += weight.sum() * 0.25  # those who had it before
    share: np.ndarray = weight / weight.sum()
    return share


def _time_of_day(chance: np.random.Generator, count: int) -> np.ndarray:
    hour = np.where(chance.random(count) < 0.4, chance.normal(12.5, 2.5, count), chance.normal(20, 2, count)) % 24
    return (hour * 3600).astype(np.int64)


def _sessions(
    chance: np.random.Generator, events: int, users: int, removed: int, weight: np.ndarray, installed: np.ndarray,
    end: np.ndarray, weekday: int,
) -> tuple[list[np.ndarray], list[np.ndarray]]:  # fmt: skip
    """Who did what in sessions, and when: one array a kind of event."""
    wanted = max(events - users - removed, users)
    count = int(wanted / sum(_PER_SESSION))
    user = np.empty(0, np.int64)
    when = np.empty(0, np.int64)
    share = weight / weight.sum()
    while user.size < count:  # days are drawn evenly and kept by the week's rhythm
        drawn = chance.choice(users, int((count - user.size) * 1.35) + 64, p=share)
        span = (end - installed)[drawn]
        moment = installed[drawn] + (chance.random(drawn.size) * span).astype(np.int64)
        moment = np.clip(moment // _DAY * _DAY + _time_of_day(chance, drawn.size), installed[drawn] + 1, end[drawn])
        kept = chance.random(drawn.size) < _WEEK[(moment // _DAY + weekday) % 7]
        user, when = np.concatenate([user, drawn[kept]]), np.concatenate([when, moment[kept]])
    user, when = user[:count], when[:count]
    who, times = [], []
    for step, share_of_sessions in enumerate(_PER_SESSION):
        rows = np.flatnonzero(chance.random(count) < share_of_sessions)
        who.append(user[rows])
        times.append(np.minimum(when[rows] + step * chance.integers(5, 90, rows.size), end[user[rows]]))
    return who, times


def _people(chance: np.random.Generator, users: int, installed: np.ndarray, seed: int) -> tuple[pa.Table, pa.Table]:
    codes = list(_COUNTRIES)
    country = chance.choice(len(codes), users, p=[_COUNTRIES[code][2] for code in codes])
    name = chance.integers(0, len(_NAMES), users)
    platform = np.where(chance.random(users) < 0.6, "android", "ios")
    mailed, phoned = chance.random(users) < 0.9, chance.random(users) < 0.5
    properties = []
    for n in range(users):
        zone, language, _ = _COUNTRIES[codes[country[n]]]
        row: dict[str, Any] = {
            "first_name": _NAMES[name[n]], "country": codes[country[n]], "language": language, "timezone": zone,
            "platform": str(platform[n]),
        }  # fmt: skip
        if mailed[n]:
            row["email"] = f"u{n:07}@app.example"
        if phoned[n]:
            row["phone"] = f"+1202555{n % 10_000:04}"
        properties.append(json.dumps(row, separators=(",", ":")))
    at = pa.array(installed * 1_000_000, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    ids = [f"u{n:07}" for n in range(users)]
    common = {"user_id": ids, "changed_at": at, "received_at": at, "source": ["sample"] * users}
    profiles = pa.table({**common, "change_id": [f"sample{seed}-p{n}" for n in range(users)], "properties": properties})
    devices = pa.table(
        {
            **common,
            "change_id": [f"sample{seed}-d{n}" for n in range(users)],
            "channel": ["push"] * users,
            "platform": platform.tolist(),
            "token": [f"sample-token-{n:07}" for n in range(users)],
            "environment": ["sandbox"] * users,
            "active": [True] * users,
        }
    )
    schemas = DATASETS["profiles"].schema, DATASETS["devices"].schema
    return profiles.select(schemas[0].names).cast(schemas[0]), devices.select(schemas[1].names).cast(schemas[1])


def _event_rows(columns: Mapping[str, np.ndarray], first: int, seed: int) -> pa.Table:
    count = columns["user"].size
    at = pa.array(columns["time"] * 1_000_000, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    text = pa.string()
    kind, detail = columns["kind"], columns["detail"]
    versions = tuple(json.dumps({"app_version": f"2.{n}.0"}) for n in range(40))
    version = _version(columns)
    choices = (*versions, *_SCREENS, *_PRODUCTS, *_RECEIPTS)
    screens, products, receipts = 40, 40 + len(_SCREENS), 40 + len(_SCREENS) + len(_PRODUCTS)
    index = np.select(
        [kind == 0, kind == 1, kind <= 3, kind == 4],
        [
            version,
            screens + detail % len(_SCREENS),
            products + detail % len(_PRODUCTS),
            receipts + detail % len(_RECEIPTS),
        ],
        version,
    )
    data = {
        "event_id": [f"sample{seed}-{n}" for n in range(first, first + count)],
        "user_id": [f"u{n:07}" for n in columns["user"].tolist()],
        "anonymous_id": pa.nulls(count, text),
        "event_name": pa.array(_KINDS).take(pa.array(kind.astype(np.int32))),
        "event_time": at,
        "received_at": at,
        "properties": pa.array(choices).take(pa.array(index.astype(np.int32))),
        "source": pa.repeat(pa.scalar("sample", text), count),
    }
    schema = DATASETS["events"].schema
    return pa.table({name: data[name] for name in schema.names}).cast(schema)


def _version(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """The app's version by day; each person updates up to nine days after a release, and never back."""
    version: np.ndarray = (columns["time"] // _DAY - columns["user"] % 9) // _RELEASE_DAYS % 40
    return version
