"""What the campaign composer's form says, as a campaign."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from engage.errors import ContentError
from engage.message_fields import CONTENT
from engage.vocabulary import Channel

__all__ = ["COMPOSED", "campaign_values", "content_fields"]

COMPOSED = tuple(channel for channel in Channel if CONTENT[channel])
"""The channels messages are written for; ad audiences have none."""

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
            `quiet_from`, `quiet_to`, `topic`.

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
    if other := _content(form.get("content_b") or {}):
        share = min(max(float(form.get("weight_b") or 50), 0), 100)
        values["variants"] = [
            {"name": "A", "weight": 100 - share},
            {"name": "B", "weight": share, "content": other},
        ]
    return values


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
