"""The campaign report: one consolidated row a campaign, over all channels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import polars as pl

from engage.analysis.statistics import difference_of_means
from engage.query.engine import Engine
from engage.query.files import read_sql
from engage.vocabulary import CampaignStatus

__all__ = ["CampaignFacts", "campaign_report"]


@dataclass(frozen=True, slots=True)
class CampaignFacts:
    """What a campaign's definition adds to what the lake knows of it.

    Args:
        campaign_id: Its id.
        name: What people call it.
        channel: Where its messages go.
        status: Where it is in its life.
        delivery_type: How its sends come about.
        labels: Its message labels as of now.
        segment: Whom it is for, in a word.
        audience: How many people its runs were planned for; None where there was no run.
        left_out: How many of them were left out when they were planned.
        goal: The event that counts as a conversion.
        goal_seconds: How long after the message it counts, in seconds.
        goal_property: The property of the goal event that is money.
    """

    campaign_id: str
    name: str
    channel: str
    status: str
    delivery_type: str
    labels: tuple[str, ...]
    segment: str | None = None
    audience: int | None = None
    left_out: int = 0
    goal: str | None = None
    goal_seconds: int | None = None
    goal_property: str | None = None


def campaign_report(
    engine: Engine,
    facts: Iterable[CampaignFacts] = (),
    *,
    prices: Mapping[str, float] | None = None,
    as_of: datetime | None = None,
) -> pl.DataFrame:
    """Consolidate all campaigns.

    Args:
        engine: What answers.
        facts: Every campaign that has a definition, and every journey; the lake may know of others (imported ones).
        prices: What one message costs, by channel.
        as_of: As of then.

    Returns:
        One row a campaign or journey, the latest sent first: `campaign_id`, `campaign`, `journey` (the id, where it is
        one), `channel`, `status`, `delivery_type`, `labels` (as sent; as defined where nothing was), `segment`,
        `first_sent_at`, `last_sent_at`, `audience` (people its runs were planned for; those told of, where there was no
        run), `left_out`, `held_out`, `users_sent` (people), `sent`, `delivered`, `viewed`, `clicked`, `failed`,
        `in_doubt`, `unsubscribed` (messages), `viewed_by_people` and `clicked_by_people` (without those only machines
        looked at: proxies, link scanners), `converted` (people who reached the goal within its window), `revenue`,
        `cost` (null where no price is known), rates of those, and `lift`, `lift_low`, `lift_high`, `lift_p_value`:
        conversion rate of those sent less that of those held out, with a 95 % interval; null without a control group.
    """
    known = {fact.campaign_id: fact for fact in facts}
    goals = [
        {
            "campaign_id": fact.campaign_id,
            "event": fact.goal,
            "seconds": fact.goal_seconds,
            "property": fact.goal_property,
        }
        for fact in known.values()
        if fact.goal
    ]
    file = read_sql(engine.settings.sql / "reports" / "campaigns.sql")
    asked = {**file.params, "goals": json.dumps(goals)}
    if "prices" in file.params:  # a workspace's own file may do without
        asked["prices"] = json.dumps([{"channel": name, "price": price} for name, price in (prices or {}).items()])
    counted = engine.frame(file.text, asked, as_of=as_of)
    rows = [_row(row, known.pop(str(row["campaign_id"]), None)) for row in counted.iter_rows(named=True)]
    rows += [_unsent(fact) for fact in known.values()]
    report = pl.DataFrame(rows, schema=_SCHEMA)
    return report.sort("last_sent_at", "campaign_id", descending=[True, False], nulls_last=True)


_COUNTS = (
    "audience",
    "left_out",
    "held_out",
    "users_sent",
    "sent",
    "delivered",
    "viewed",
    "clicked",
    "viewed_by_people",
    "clicked_by_people",
    "converted",
    "failed",
    "in_doubt",
    "unsubscribed",
)
_TIME = pl.Datetime("us", "UTC")
_SCHEMA: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "campaign_id": pl.String,
    "campaign": pl.String,
    "journey": pl.String,
    "channel": pl.String,
    "status": pl.String,
    "delivery_type": pl.String,
    "labels": pl.List(pl.String),
    "segment": pl.String,
    "first_sent_at": _TIME,
    "last_sent_at": _TIME,
    **dict.fromkeys(_COUNTS, pl.Int64),
    "revenue": pl.Float64,
    "cost": pl.Float64,
    "delivered_rate": pl.Float64,
    "viewed_rate": pl.Float64,
    "clicked_rate": pl.Float64,
    "failed_rate": pl.Float64,
    "unsubscribed_rate": pl.Float64,
    "conversion_rate": pl.Float64,
    "control_rate": pl.Float64,
    "lift": pl.Float64,
    "lift_low": pl.Float64,
    "lift_high": pl.Float64,
    "lift_p_value": pl.Float64,
}


def _row(row: Mapping[str, object], fact: CampaignFacts | None) -> dict[str, object]:
    given = dict(row)
    channels = given["channels"] or []
    found = {name: given.get(name) for name in _SCHEMA}
    for name in ("viewed", "clicked"):  # a workspace's own file may do without
        given.setdefault(f"{name}_by_people", given.get(name))
    found |= {name: given.get(name) or 0 for name in _COUNTS}
    found["campaign"] = given["campaign_name"] or (fact.name if fact else given["campaign_id"])
    found["channel"] = ", ".join(channels) if isinstance(channels, list) and channels else fact and fact.channel
    found["status"] = fact.status if fact else CampaignStatus.COMPLETED.value
    found["journey"] = given.get("journey_id")
    if fact:
        found["segment"], found["left_out"] = fact.segment, fact.left_out
        found["audience"] = found["audience"] if fact.audience is None else fact.audience
    found["delivery_type"] = given["delivery_type"] or (fact and fact.delivery_type)
    for part in ("delivered", "viewed", "clicked", "unsubscribed"):
        found[f"{part}_rate"] = _share(found[part], found["sent"])
    # A message refused at once was never sent, one that bounced later was: both are of those that were tried.
    found["failed_rate"] = _share(found["failed"], max(int(str(found["sent"])), int(str(found["failed"]))))
    found["conversion_rate"] = _share(found["converted"], found["users_sent"])
    if given.get("control_n") and given.get("treated_n"):
        moments: list[Any] = [
            given[f"{group}_{what}"] for group in ("treated", "control") for what in ("n", "mean", "variance")
        ]
        found["control_rate"] = given["control_mean"]
        estimate = asdict(difference_of_means(*[value or 0 for value in moments]))
        for name, field in (("", "difference"), ("_low", "ci_low"), ("_high", "ci_high"), ("_p_value", "p_value")):
            found[f"lift{name}"] = estimate[field]
    return found


def _unsent(fact: CampaignFacts) -> dict[str, object]:
    empty: dict[str, object] = dict.fromkeys(_SCHEMA)
    empty |= dict.fromkeys(_COUNTS, 0)
    named: dict[str, object] = {
        "campaign_id": fact.campaign_id,
        "campaign": fact.name,
        "channel": fact.channel,
        "status": fact.status,
    }
    named |= {"delivery_type": fact.delivery_type, "labels": list(fact.labels), "segment": fact.segment}
    return empty | named | {"audience": fact.audience or 0, "left_out": fact.left_out, "revenue": 0.0}


def _share(part: object, whole: object) -> float | None:
    return int(str(part)) / int(str(whole)) if whole else None
