"""The best variant of a campaign, chosen after a sample."""

from __future__ import annotations

from datetime import datetime

from engage.campaigns.campaign import Campaign
from engage.query.engine import Engine

__all__ = ["best_variant"]

_QUERY = """
with sent as (
    select message_id, any_value(user_id) as user_id, any_value(variant) as variant, min(event_time) as sent_at
    from notifications
    where run_id = $run and event_name = 'Notification Sent'
    group by message_id
),
answered as (
    {answered}
)
select sent.variant, count(*) as sent, count(answered.message_id) as answered
from sent
left join answered on answered.message_id = sent.message_id
group by sent.variant
order by count(answered.message_id) / count(*) desc, count(*) desc, sent.variant
"""
_TOLD = (
    "select distinct message_id from notifications where run_id = $run and event_name = $event "
    "and properties->>'$.machine' is null"
)
_CONVERTED = """select distinct sent.message_id from sent
    join user_events as goal on goal.user_id = sent.user_id and goal.event_name = $event
    and goal.event_time >= sent.sent_at and goal.event_time < sent.sent_at + $seconds * interval 1 second"""


def best_variant(engine: Engine, campaign: Campaign, run_id: str, *, as_of: datetime) -> str:
    """The variant of a sample with the highest share of clicks, views or conversions among those sent.

    Args:
        engine: What answers.
        campaign: The campaign.
        run_id: The run of the sample.
        as_of: What had happened by then counts.

    Returns:
        Its name; where nothing was sent, the first variant's. Of equals the one sent more often, then the first.
    """
    metric = campaign.winner.metric if campaign.winner else "clicked"
    params: dict[str, object] = {"run": run_id}
    if metric == "converted":
        params |= {"event": campaign.goal.event, "seconds": int(campaign.goal.within.total_seconds())}
        query = _QUERY.format(answered=_CONVERTED)
    else:
        params["event"] = "Notification Clicked" if metric == "clicked" else "Notification Viewed"
        query = _QUERY.format(answered=_TOLD)
    names = {variant.name for variant in campaign.variants}
    for name in engine.frame(query, params, as_of=as_of)["variant"]:
        if (name or "") in names:
            return str(name or "")
    return campaign.variants[0].name
