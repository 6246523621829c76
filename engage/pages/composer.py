"""What the campaign composer's form says, as a campaign."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import Any

from engage.campaigns.campaign import Campaign
from engage.campaigns.facts import span_text
from engage.errors import ContentError, PlanError
from engage.message_fields import CONTENT
from engage.vocabulary import Channel

__all__ = ["AS_IT_IS", "COMPOSED", "WHEN", "campaign_values", "content_fields", "edited_values", "form_values"]

COMPOSED = tuple(channel for channel in Channel if CONTENT[channel])
"""The channels messages are written for; ad audiences have none."""

AS_IT_IS = "(its own SQL)"
"""What the form says of people that a campaign chooses by SQL of its own."""

WHEN = {
    "when it is sent or launched": "",
    "once, at a time": "at",
    "again and again (cron)": "cron",
    "after an event": "event",
}
"""What the form offers for when messages are due, and the key of ``[schedule]`` it stands for."""

_SCHEDULE = ("at", "cron", "event", "after", "unless", "local_time")
_LONG = ("html", "text", "body")
_SHOWN = ("subject", "preheader", "title", "html", "text", "body", "image", "deep_link", "url", "actions")


def content_fields(channel: str) -> dict[str, tuple[str, bool]]:
    """The fields a channel's form has, in order.

    Args:
        channel: The channel.

    Returns:
        By name: what it is, and whether it is long.
    """
    fields = {one.name: one for one in CONTENT[Channel(channel)]}
    return {name: (fields[name].about, name in _LONG) for name in _SHOWN if name in fields}


def campaign_values(form: Mapping[str, Any]) -> dict[str, Any]:
    """What ``campaign.toml`` is to say.

    Args:
        form: `title`, `channel`, `segment` (None for everyone), `labels`, `control`, `content`, `content_b` (fields by
            name; empty for one variant), `weight_b` (of a hundred), `goal`, `within`, `per_day`, `per_week`,
            `quiet_from`, `quiet_to`, `topic`, `when` (a key of ``[schedule]``), `when_value`, `when_after`,
            `when_unless`, `when_local`.

    Raises:
        ContentError: Buttons are not a JSON list.
    """
    values: dict[str, Any] = {"title": form["title"] or form.get("name") or "Draft", "channel": form["channel"]}
    values |= {"segment": form["segment"]} if form.get("segment") else {"everyone": True}
    values["labels"] = list(form.get("labels") or ())
    values["control_percent"] = form.get("control") or 0
    values["content"] = _content(form.get("content") or {})
    values["goal"] = {"event": form.get("goal") or "Charged", "within": form.get("within") or "14 days"}
    caps = {period: int(form[f"per_{period}"]) for period in ("day", "week") if form.get(f"per_{period}")}
    values |= {"caps": caps} if caps else {}
    if form.get("quiet_from") and form.get("quiet_to"):
        values["quiet_hours"] = {"from": form["quiet_from"], "to": form["quiet_to"]}
    values |= {"topic": form["topic"]} if form.get("topic") else {}
    values |= {"schedule": schedule} if (schedule := _schedule(form)) else {}
    values |= {"variants": variants} if (variants := _variants(form)) else {}
    return values


def form_values(campaign: Campaign) -> dict[str, Any]:
    """What the form says of a campaign there is, as :func:`campaign_values` reads it.

    Raises:
        PlanError: It is more than the form can say; its file is to be edited.
    """
    raw = tomllib.loads((campaign.folder / "campaign.toml").read_text(encoding="utf-8"))
    rows = raw.get("variants", [])
    if len(rows) not in (0, 2) or (rows and rows[0].get("content")) or "localise" in raw:
        file = f"data/campaigns/{campaign.campaign_id}/campaign.toml"
        raise PlanError(
            "has variants or languages that this form does not show", where=campaign.title, hint=f"edit {file}"
        )
    names = content_fields(campaign.channel)
    first = campaign.variants[0].content
    other = rows[1].get("content", {}) if rows else {}
    caps = {cap.period: cap.most for cap in campaign.caps if cap.scope == "overall"}
    quiet, schedule = campaign.quiet_hours, raw.get("schedule", {})
    when = next((key for key in WHEN.values() if key and key in schedule), "")
    weights = [variant.weight for variant in campaign.variants]
    return {
        "title": campaign.title,
        "name": campaign.campaign_id,
        "channel": campaign.channel,
        "segment": AS_IT_IS if campaign.sql else campaign.segment,
        "labels": list(campaign.labels),
        "control": campaign.control_percent,
        "content": {name: _shown(first[name]) for name in names if name in first},
        "content_b": {name: _shown(other[name]) for name in names if name in other},
        "weight_b": round(100 * weights[1] / sum(weights)) if rows else 50,
        "goal": campaign.goal.event,
        "within": span_text(campaign.goal.within),
        "per_day": caps.get("day"),
        "per_week": caps.get("week"),
        "quiet_from": f"{quiet.begin:%H:%M}" if quiet else "",
        "quiet_to": f"{quiet.end:%H:%M}" if quiet else "",
        "topic": campaign.topic,
        "when": when,
        "when_value": _shown(schedule.get(when, "")),
        "when_after": schedule.get("after", ""),
        "when_unless": _shown(schedule.get("unless", "")),
        "when_local": _shown(schedule.get("local_time", "")),
    }


def edited_values(form: Mapping[str, Any], campaign: Campaign) -> tuple[dict[str, Any], dict[str, str | None]]:
    """What the form changes in a campaign; what it does not show stays as it is.

    Args:
        form: As in :func:`campaign_values`.
        campaign: The campaign.

    Returns:
        Values and files for :meth:`engage.Workspace.edit_campaign`; both empty where nothing was changed.

    Raises:
        ContentError: Buttons are not a JSON list.
        PlanError: It is more than the form can say.
    """
    before = form_values(campaign)
    changed = {name for name, value in before.items() if _same(form.get(name)) != _same(value)}
    wanted = campaign_values(form)
    values: dict[str, Any] = {
        key: wanted[key]
        for key, name in (("title", "title"), ("labels", "labels"), ("control_percent", "control"))
        if name in changed
    }
    if "segment" in changed and form.get("segment") != AS_IT_IS:
        values |= {"segment": form["segment"]} if form.get("segment") else {"everyone": True}
    if changed & {"goal", "within"}:
        values["goal"] = wanted["goal"]
    if changed & {"per_day", "per_week"}:
        values["caps"] = {period: wanted.get("caps", {}).get(period) for period in ("day", "week")}
    if changed & {"quiet_from", "quiet_to"}:
        values["quiet_hours"] = wanted.get("quiet_hours", False)
    if "topic" in changed:
        values["topic"] = wanted.get("topic")
    if any(name.startswith("when") for name in changed):
        values["schedule"] = wanted.get("schedule")
        if values["schedule"]:
            values["schedule"] = dict.fromkeys(_SCHEDULE) | values["schedule"]
    if changed & {"content_b", "weight_b"}:
        values["variants"] = wanted.get("variants")
    files: dict[str, str | None] = {}
    own = _content(form.get("content") or {})
    for field in CONTENT[Channel(campaign.channel)]:
        old = before["content"].get(field.name, "")
        if field.name not in content_fields(campaign.channel) or _same(_shown(own.get(field.name, ""))) == _same(old):
            continue
        if field.file and (campaign.folder / field.file).is_file():
            files[field.file] = str(own[field.name]) if field.name in own else None
        else:
            values.setdefault("content", {})[field.name] = own.get(field.name)
    return values, files


def _schedule(form: Mapping[str, Any]) -> dict[str, Any]:
    when, value = form.get("when") or "", str(form.get("when_value") or "").strip()
    if not when or not value:
        return {}
    found: dict[str, Any] = {when: json.loads(value) if value.startswith("{") else value}
    if when == "event":
        more = {"after": form.get("when_after"), "unless": form.get("when_unless")}
    else:
        more = {"local_time": form.get("when_local")}
    return found | {key: str(text).strip() for key, text in more.items() if str(text or "").strip()}


def _variants(form: Mapping[str, Any]) -> list[dict[str, Any]]:
    other = _content(form.get("content_b") or {})
    share = min(max(float(form.get("weight_b") or 50), 0), 100)
    return [{"name": "A", "weight": 100 - share}, {"name": "B", "weight": share, "content": other}] if other else []


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


def _same(value: Any) -> Any:
    """A field's value as it is compared: empty is empty, whether it is missing, None or blank."""
    if isinstance(value, Mapping):
        return {name: text for name, inner in value.items() if (text := str(inner or "").strip())}
    return value if value and str(value).strip() else None


def _content(fields: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: text for name, text in fields.items() if str(text or "").strip()}
    if "actions" in found:
        try:
            actions = json.loads(str(found["actions"]))
        except ValueError:
            actions = None
        if not isinstance(actions, list):
            hint = '[{"label": "See it", "url": "https://shop.example"}]'
            raise ContentError("the buttons are not a JSON list", where="actions", hint=hint)
        found["actions"] = actions
    return found
