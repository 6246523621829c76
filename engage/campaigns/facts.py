"""A campaign in words: what its file says, as a person would tell it."""

from __future__ import annotations

from datetime import timedelta

from engage.campaigns.campaign import Campaign
from engage.campaigns.schedule import Schedule

__all__ = ["campaign_facts", "span_text"]


def campaign_facts(campaign: Campaign) -> dict[str, str]:
    """What a campaign is, line by line; what it does not say is left out.

    Args:
        campaign: The campaign.

    Returns:
        By heading, in the order people ask: what, to whom, when, under which limits, to what end.
    """
    quiet, win = campaign.quiet_hours, campaign.winner
    facts = {
        "Title": campaign.title,
        "Status": campaign.status,
        "Channel": campaign.channel + (f" through {campaign.provider}" if campaign.provider else ""),
        "Else": ", else ".join(other.channel for other in campaign.fallback),
        "Whom": campaign.segment or (f"by SQL: {' '.join(campaign.sql.split())}" if campaign.sql else "everyone"),
        "But not": ", ".join(campaign.exclude),
        "Nor those of": ", ".join(campaign.not_in),
        "Labels": ", ".join(campaign.labels) or "none",
        "When": _when(campaign.schedule),
        "From": f"{campaign.start:%Y-%m-%d %H:%M} UTC" if campaign.start else "",
        "Until": f"{campaign.end:%Y-%m-%d %H:%M} UTC" if campaign.end else "",
        "Delivery": campaign.delivery_type,
        "Held out": f"{campaign.control_percent:g} %",
        "Variants": ", ".join(f"{v.name} ({v.weight:g})" for v in campaign.variants if v.name),
        "Winner": (f"the most {win.metric} of {win.sample_percent:g} %, after {span_text(win.after)}" if win else ""),
        "Goal": f"{campaign.goal.event} within {span_text(campaign.goal.within)}",
        "Topic": campaign.topic,
        "Caps": ", ".join(f"{cap.most} a {cap.period} {cap.name}".strip() for cap in campaign.caps),
        "Quiet hours": (
            f"{quiet.begin:%H:%M} to {quiet.end:%H:%M}, {'left out' if quiet.skip else 'sent afterwards'}"
            if quiet
            else ""
        ),
        "Speed": f"{campaign.throttle_per_second:g} a second" if campaign.throttle_per_second else "",
        "Consent": "not asked: transactional" if campaign.transactional else "",
    }
    return {heading: text for heading, text in facts.items() if text}


def _when(schedule: Schedule) -> str:
    by = ""
    if schedule.local_time is not None:
        by = f", at {schedule.local_time:%H:%M} by each one's clock"
    elif schedule.usual_hour:
        by = ", at each one's usual hour"
    if schedule.event is not None:
        text = f"after {_event(schedule.event)}"
        text = f"{span_text(schedule.after)} {text}" if schedule.after else text
        return text + (f", unless {_event(schedule.unless)}" if schedule.unless is not None else "")
    if schedule.date_property:
        days = schedule.offset_days
        side = f"{abs(days)} days {'after' if days > 0 else 'before'}" if days else "on"
        text = f"{side} {schedule.date_property}"
        return f"{text} at {schedule.time_of_day:%H:%M} {schedule.timezone}" + (
            ", each year" if schedule.yearly else ""
        )
    if schedule.cron:
        return f"cron {schedule.cron} {schedule.timezone}{by}"
    if schedule.at is not None:
        return f"{schedule.at:%Y-%m-%d %H:%M} UTC{by}"
    return "when it is sent or launched"


def _event(event: object) -> str:
    return str(event.get("event", event)) if isinstance(event, dict) else str(event)


def span_text(span: timedelta) -> str:
    """A length of time as settings say it, e.g. ``14 days``."""
    for seconds, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        count, rest = divmod(int(span.total_seconds()), seconds)
        if count and not rest:
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return str(span)
