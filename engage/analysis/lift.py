"""What a campaign caused: its people against the control group that was held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import polars as pl

from engage.analysis.lift_result import LIFT_SCHEMA, Lift, lift_from_counts, lift_from_moments, sample_ratio_p
from engage.errors import UnknownCampaignError
from engage.query.engine import Engine
from engage.vocabulary import Event
from engage.windows import parse_window

__all__ = ["Lift", "lift", "lift_table"]

MISMATCH_P = 0.001
"""Below this the split of people is not the one planned (Fabijan et al., KDD 2019, use thresholds this strict)."""
FEW_PEOPLE = 30
FEW_EVENTS = 10

_ASSIGNED = """
with assigned as (
    select campaign_id, user_id,
        min(event_time) filter (event_name <> 'Notification Held Out') as treated_at,
        min(event_time) filter (event_name = 'Notification Held Out') as held_out_at,
        bool_and(event_name = 'Notification Failed') as is_failed
    from notifications
    where event_name in
        ('Notification Sent', 'Notification Failed', 'Notification In Doubt', 'Notification Held Out')
        and campaign_id is not null and ($campaign is null or campaign_id = $campaign)
        and ($runs is null or regexp_matches(run_id, $runs))
    group by campaign_id, user_id
),
people as (
    select campaign_id, user_id, is_failed,
        coalesce(treated_at <= held_out_at, held_out_at is null) as is_treated,
        treated_at is not null and held_out_at is not null as is_both,
        least(treated_at, held_out_at) as assigned_at
    from assigned
),
outcomes as (
    select people.campaign_id, people.user_id, {value} as value
    from people
    join events on events.user_id = people.user_id
        and events.event_time >= people.assigned_at
        and events.event_time < people.assigned_at + $seconds * interval 1 second
    where {condition}
    group by people.campaign_id, people.user_id
),
metric as (
    select people.*, coalesce(outcomes.value, 0)::double as value
    from people left join outcomes using (campaign_id, user_id)
)
select campaign_id,
    count(*) filter (is_treated) as treated_n,
    count(*) filter (not is_treated) as control_n,
    avg(value) filter (is_treated) as treated_mean,
    avg(value) filter (not is_treated) as control_mean,
    var_samp(value) filter (is_treated) as treated_variance,
    var_samp(value) filter (not is_treated) as control_variance,
    count(*) filter (is_treated and value <> 0) as treated_nonzero,
    count(*) filter (not is_treated and value <> 0) as control_nonzero,
    count(*) filter (is_both) as both_n,
    count(*) filter (is_treated and is_failed) as failed_n,
    count(*) filter (assigned_at + $seconds * interval 1 second > as_of()) as unfinished_n
from metric
group by campaign_id
order by campaign_id
"""


def lift(
    engine: Engine,
    campaign: str,
    metric: str = "revenue",
    within: str = "14 days",
    as_of: datetime | None = None,
    *,
    goal: str = Event.CHARGED,
    control_share: float | None = None,
    runs: str | None = None,
) -> Lift:
    """What one campaign caused, against the people held out of it.

    People are compared as they were assigned (intention to treat): a message that failed or is in doubt counts as
    treated, because those held out were never tried and have as many dead addresses among them. Whoever was both
    sent to and held out (in different runs) stays where they came first. Each person's metric is counted from
    their own first such moment, for `within`, its end excluded.

    Args:
        engine: Where to ask.
        campaign: The campaign's id.
        metric: ``revenue`` (sum of ``amount`` over ``Charged``, per person), ``conversion`` (did the `goal`, 0 or
            1), or the name of an event (did it, 0 or 1).
        within: Length of the window, such as "14 days"; a day is 24 hours.
        as_of: Look at the lake as it was at this time.
        goal: The campaign's conversion event.
        control_share: Planned share of the control group (0 to 1), where known: then an uneven split is told.
        runs: A regular expression: only those its runs of such names sent to or held out.

    Returns:
        The lift, with 95 % intervals.

    Raises:
        UnknownCampaignError: Nobody was sent or held out of this campaign.
        QueryError: `within` is not a length of time.
    """
    shares = {} if control_share is None else {campaign: control_share}
    found = _lifts(engine, campaign, metric, within, as_of, {campaign: goal}, shares, runs)
    if not found:
        raise UnknownCampaignError(
            "nobody was sent or held out of this campaign", where=campaign, hint="send it first, or check its id"
        )
    return found[0]


def lift_table(
    engine: Engine,
    metric: str = "revenue",
    within: str = "14 days",
    as_of: datetime | None = None,
    *,
    goals: Mapping[str, str] | None = None,
    control_shares: Mapping[str, float] | None = None,
) -> pl.DataFrame:
    """The lift of every campaign at once; see :func:`lift`.

    Args:
        engine: Where to ask.
        metric: As for :func:`lift`.
        within: As for :func:`lift`.
        as_of: As for :func:`lift`.
        goals: Conversion event by campaign id, where it is not ``Charged``.
        control_shares: Planned share of the control group by campaign id.

    Returns:
        One row a campaign, ordered by id, with the fields of :class:`Lift`; those of the comparison are null where
        nobody was held out.
    """
    found = _lifts(engine, None, metric, within, as_of, goals or {}, control_shares or {})
    return pl.DataFrame([{**asdict(one), "warnings": list(one.warnings)} for one in found], schema=LIFT_SCHEMA)


def _lifts(
    engine: Engine,
    campaign: str | None,
    metric: str,
    within: str,
    as_of: datetime | None,
    goals: Mapping[str, str],
    shares: Mapping[str, float],
    runs: str | None = None,
) -> list[Lift]:
    params: dict[str, object] = {"campaign": campaign, "runs": runs, "seconds": parse_window(within).total_seconds()}
    is_share = metric != "revenue"
    if metric == "revenue":
        value = "sum(as_number(events.properties ->> 'amount'))"
        condition = "events.event_name = 'Charged'"
    elif metric == "conversion":
        value = "1"
        named = {name: goal for name, goal in goals.items() if goal != Event.CHARGED}
        params |= {"campaigns": list(named), "goals": list(named.values())}
        condition = (
            "events.event_name = coalesce("
            "($goals::varchar[])[list_position($campaigns::varchar[], people.campaign_id)], 'Charged')"
        )
    else:
        value, condition = "1", "events.event_name = $event"
        params["event"] = metric
    found = engine.frame(_ASSIGNED.format(value=value, condition=condition), params, as_of=as_of)
    return [_row_lift(row, metric, within, is_share, shares) for row in found.iter_rows(named=True)]


def _row_lift(row: dict[str, Any], metric: str, within: str, is_share: bool, shares: Mapping[str, float]) -> Lift:
    n1, n0 = row["treated_n"], row["control_n"]
    if is_share:
        found = lift_from_counts(n1, row["treated_nonzero"], n0, row["control_nonzero"])
    else:
        found = lift_from_moments(
            n1,
            row["treated_mean"] or 0.0,
            row["treated_variance"] or 0.0,
            n0,
            row["control_mean"] or 0.0,
            row["control_variance"] or 0.0,
        )
    return replace(
        found,
        campaign=row["campaign_id"],
        metric=metric,
        within=within,
        treated_mean=row["treated_mean"],
        control_mean=row["control_mean"],
        warnings=tuple(_warnings(row, is_share, shares.get(row["campaign_id"]))),
    )


def _warnings(row: dict[str, Any], is_share: bool, share: float | None) -> list[str]:
    n1, n0 = row["treated_n"], row["control_n"]
    if not n1 or not n0:
        return ["no control group, so nothing to compare with" if n1 else "everybody was held out"]
    told = []
    for group, n, nonzero in (("treated", n1, row["treated_nonzero"]), ("control", n0, row["control_nonzero"])):
        rare = min(nonzero, n - nonzero) if is_share else nonzero
        if n < FEW_PEOPLE:
            told.append(f"only {n} people in the {group} group: too small a sample to rely on the interval")
        elif rare < FEW_EVENTS:
            told.append(f"only {rare} of {n:,} people in the {group} group differ: too few to rely on the interval")
    if share is not None and (p := sample_ratio_p(n1, n0, share)) < MISMATCH_P:
        told.append(
            f"sample ratio mismatch: {n0 / (n0 + n1):.2%} were held out where {share:.2%} was planned (p {p:.1g}), "
            "so the groups may not be alike"
        )
    if row["both_n"]:
        told.append(f"{row['both_n']:,} people were both sent to and held out; they count where they came first")
    if row["failed_n"] > n1 / 100:
        told.append(
            f"{row['failed_n']:,} of the treated were never reached (failed); they count as treated, so the effect "
            "on those reached is larger"
        )
    if row["unfinished_n"]:
        told.append(f"the window of {row['unfinished_n']:,} people is not over yet")
    return told
