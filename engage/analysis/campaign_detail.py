"""One campaign looked into: its days, its variants against each other, its links, its failures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from engage.analysis.campaign_report import CampaignFacts
from engage.analysis.statistics import difference_of_proportions, wilson_interval
from engage.query.engine import Engine
from engage.query.files import read_sql

__all__ = ["CampaignDetail", "campaign_detail"]

HELD_OUT = "held out"
_DAYS = 14


@dataclass(frozen=True, slots=True)
class CampaignDetail:
    """What happened in one campaign.

    Args:
        days: `day`, `sent`, `delivered`, `viewed`, `clicked`, `failed`, `unsubscribed`: messages by the day of the
            workspace's time zone on which it happened.
        variants: `variant` (`held out` is the control group), `people`, `viewed`, `clicked`, `unsubscribed`,
            `converted` (people), `revenue`, `clicked_rate`, `conversion_rate`, its 95 % interval `conversion_low` and
            `conversion_high` (Wilson), and against the control group, or the first variant where there is none:
            `difference`, `difference_low`, `difference_high`, `p_value`.
        funnel: `stage` (sent, delivered, viewed, clicked, converted), `count`, `of_sent`.
        links: `url`, `clicks`, `by_machines`, `people`, `last_clicked_at`.
        failures: `event_name`, `reason`, `channel`, `messages`, `people`.
        devices: `platform` (`not told` where unknown), `people`, `sent`, `viewed`, `clicked` (messages).
    """

    days: pl.DataFrame
    variants: pl.DataFrame
    funnel: pl.DataFrame
    links: pl.DataFrame
    failures: pl.DataFrame
    devices: pl.DataFrame


def campaign_detail(
    engine: Engine, campaign_id: str, fact: CampaignFacts | None = None, *, as_of: datetime | None = None
) -> CampaignDetail:
    """Look into one campaign.

    Args:
        engine: What answers.
        campaign_id: Its id; one the lake knows nothing of has empty tables.
        fact: Its goal; the event `Charged` within 14 days where it has none.
        as_of: As of then.
    """
    folder = engine.settings.sql / "reports"

    def ask(name: str, **params: object) -> pl.DataFrame:
        file = read_sql(folder / f"campaign_{name}.sql")
        return engine.frame(file.text, {**file.params, "campaign": campaign_id, **params}, as_of=as_of)

    goal: dict[str, object] = {}
    if fact and fact.goal:
        goal = {"goal": fact.goal, "seconds": fact.goal_seconds or _DAYS * 86_400}
        goal |= {"property": fact.goal_property} if fact.goal_property else {}
    days, variants = ask("days"), _compared(ask("variants", **goal))
    treated = variants.filter(pl.col("variant") != HELD_OUT)
    counts = [(name, int(days[name].sum())) for name in ("sent", "delivered", "viewed", "clicked")]
    counts.append(("converted", int(treated["converted"].sum())))
    sent = counts[0][1]
    funnel = pl.DataFrame(
        [(name, count, count / sent if sent else None) for name, count in counts],
        schema={"stage": pl.String, "count": pl.Int64, "of_sent": pl.Float64},
        orient="row",
    )
    return CampaignDetail(days, variants, funnel, ask("links"), ask("failures"), ask("devices"))


_COMPARED = ("conversion_low", "conversion_high", "difference", "difference_low", "difference_high", "p_value")


def _compared(counted: pl.DataFrame) -> pl.DataFrame:
    rows = counted.to_dicts()
    base = next((row for row in rows if row["variant"] == HELD_OUT), rows[0] if len(rows) > 1 else None)
    found: list[tuple[float | None, ...]] = []
    for row in rows:
        interval = wilson_interval(row["converted"], row["people"]) or (None, None)
        if base is None or row is base:
            found.append((*interval, None, None, None, None))
            continue
        told = difference_of_proportions(row["people"], row["converted"], base["people"], base["converted"])
        found.append((*interval, told.difference, told.ci_low, told.ci_high, told.p_value))
    return counted.with_columns(
        clicked_rate=pl.col("clicked") / pl.col("people"), conversion_rate=pl.col("converted") / pl.col("people")
    ).hstack(pl.DataFrame(found, schema=dict.fromkeys(_COMPARED, pl.Float64), orient="row"))
