"""The made-up app's campaigns: who was sent what, who was held out, and what it did to them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from engage.lake.schema import DATASETS

__all__ = ["CAMPAIGNS", "Scheme", "Sent", "send_all"]

_DAY = 86_400
_WINDOW = 14 * _DAY
_SCHEMA = DATASETS["notifications"].schema


@dataclass(frozen=True, slots=True)
class Scheme:
    """One campaign.

    Args:
        campaign_id: Its id.
        name: Its name.
        channel: Where it goes.
        label: Its message label.
        day: The day it is sent on; None for a day after each person's install.
        control: The share held out.
        effect: The chance that a message brings about a purchase that would not have been.
        delivered: Shares of messages delivered, of those viewed, of those clicked.
    """

    campaign_id: str
    name: str
    channel: str
    label: str
    day: int | None
    control: float
    effect: float
    delivered: tuple[float, float, float]


CAMPAIGNS = (
    Scheme("app_onboarding", "Onboarding: first steps", "push", "App onboarding", None, 0.2, 0.05, (0.93, 0.4, 0.15)),
    Scheme("spring_offer", "Spring offer", "email", "Promotion", 40, 0.2, 0.03, (0.97, 0.3, 0.08)),
    Scheme("come_back", "Come back", "sms", "Win back", 60, 0.3, 0.0, (0.95, 0.9, 0.05)),
)


@dataclass(frozen=True, slots=True)
class Sent:
    """One kind of notification of one campaign, in time order."""

    scheme: Scheme
    event: str
    user: np.ndarray
    time: np.ndarray
    seed: int

    def rows(self, begin: int, end: int) -> pa.Table:
        """Its notifications from `begin` to `end`, seconds since 1970, the latter not included."""
        low, high = np.searchsorted(self.time, [begin, end])
        people = [f"u{n:07}" for n in self.user[low:high].tolist()]
        count, text, scheme = len(people), pa.string(), self.scheme
        at = pa.array(self.time[low:high] * 1_000_000, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
        message = [f"sample{self.seed}-{scheme.campaign_id}-{user}" for user in people]
        same = {
            "event_name": self.event,
            "campaign_id": scheme.campaign_id,
            "campaign_name": scheme.name,
            "run_id": f"{scheme.campaign_id}-once",
            "channel": scheme.channel,
            "provider": "sample",
            "delivery_type": "one-time" if scheme.day is not None else "triggered",
            "source": "sample",
        }
        data = {name: pa.repeat(pa.scalar(value, text), count) for name, value in same.items()}
        data |= {
            "event_id": pa.array([f"{key}-{self.event}" for key in message], text),
            "message_id": pa.array(message, text),
            "user_id": pa.array(people, text),
            "event_time": at,
            "received_at": at,
            "labels": pa.array([[scheme.label]] * count, pa.list_(text)),
        }
        return pa.table({n: data.get(n, pa.nulls(count, _SCHEMA.field(n).type)) for n in _SCHEMA.names}).cast(_SCHEMA)


def send_all(
    chance: np.random.Generator, users: int, span: int, epoch: int, installed: np.ndarray, end: np.ndarray,
    buyer: np.ndarray, bought: np.ndarray, seed: int,
) -> tuple[tuple[Sent, ...], np.ndarray, np.ndarray, Mapping[str, Mapping[str, float]]]:  # fmt: skip
    """Send every campaign.

    Args:
        chance: Where chance comes from.
        users: How many people there are.
        span: Seconds the simulation lasts.
        epoch: When it begins, seconds since 1970.
        installed: When each installed, from 0.
        end: When each was last there.
        buyer: Who bought, a row a purchase.
        bought: When.
        seed: Names the messages.

    Returns:
        Notifications; users and times of the purchases that messages brought about; and what was planted.
    """
    found: list[Sent] = []
    extra_user, extra_time = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    truth: dict[str, dict[str, float]] = {}
    for scheme in CAMPAIGNS:
        at = installed + _DAY if scheme.day is None else np.full(users, scheme.day * _DAY + 9 * 3600)
        there = (installed < at) & (end > at) & (at + _WINDOW < span)
        people = np.flatnonzero(there)
        held = np.fromiter(
            (_bucket(scheme.campaign_id, n) < scheme.control for n in people.tolist()), bool, people.size
        )
        would = np.zeros(users, bool)
        would[buyer[(bought >= at[buyer]) & (bought < at[buyer] + _WINDOW)]] = True
        treated, control = people[~held], people[held]
        moved = treated[chance.random(treated.size) < scheme.effect]
        moment = at[moved] + chance.integers(600, _WINDOW // 2, moved.size)
        inside = moment <= end[moved]  # whoever has left by then does not come back for it
        extra_user.append(moved[inside])
        extra_time.append(moment[inside])
        # The planted effect: the purchases that would not have been, as a share of those sent.
        truth[scheme.campaign_id] = {
            "conversion": float((~would[moved[inside]]).sum() / max(treated.size, 1)),
            "sent": float(treated.size),
            "held_out": float(control.size),
        }
        steps = [("Notification Sent", treated, at[treated]), ("Notification Held Out", control, at[control])]
        reached = treated
        for event, share, wait in zip(
            ("Notification Delivered", "Notification Viewed", "Notification Clicked"),
            scheme.delivered,
            (5, 3600, 3700),
            strict=True,
        ):
            reached = reached[chance.random(reached.size) < share]
            steps.append((event, reached, at[reached] + wait))
        for event, who, when in steps:
            order = np.argsort(when, kind="stable")
            found.append(Sent(scheme, event, who[order], when[order] + epoch, seed))
    return tuple(found), np.concatenate(extra_user), np.concatenate(extra_time), truth


def _bucket(salt: str, user: int) -> float:
    return int(hashlib.sha256(f"{salt}:u{user:07}".encode()).hexdigest()[:8], 16) / 2**32
