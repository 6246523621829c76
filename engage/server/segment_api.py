"""Segment's messages as rows of the lake.

Source: https://segment.com/docs/connections/spec/ (identify, track, page, screen, group, alias; common fields).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from engage.server.fields import ANONYMOUS, EARLIEST, Rejected, check_depth, moment, object_of, text
from engage.vocabulary import MESSAGE_EVENTS, Event

__all__ = ["KINDS", "translate"]

KINDS = ("identify", "track", "page", "screen", "group", "alias")
"""Kinds of messages there are."""

_OF_THE_USER = {Event.NOTIFICATION_VIEWED, Event.NOTIFICATION_CLICKED, Event.NOTIFICATION_DISMISSED}


def translate(
    message: Any, kind: str | None, *, sent_at: Any = None, received_at: datetime, proven: bool = False
) -> dict[str, dict[str, Any]]:
    """Turn one message into rows.

    The time is corrected for a client's wrong clock by what passed on that clock between event and sending, as
    Segment does; it is never later than `received_at`.

    Args:
        message: The message as the client sent it.
        kind: One of :data:`KINDS`; None to take the message's `type`.
        sent_at: When the client sent the batch, by its own clock; the message's own `sentAt` goes first.
        received_at: The server's clock.
        proven: The sender proved to be the message's user. Only then may it say that the user viewed, clicked or closed
            one: a write key is public.

    Returns:
        A row a dataset (events, profiles, identities, devices).

    Raises:
        Rejected: It is no such message.
    """
    if not isinstance(message, Mapping):
        raise Rejected("a message is not an object")
    check_depth(message)
    kind = kind or message.get("type")
    if kind not in KINDS:
        raise Rejected("type is not one of " + ", ".join(KINDS))
    user, anonymous = text(message, "userId"), text(message, "anonymousId")
    if not user and not anonymous and not (kind == "alias" and message.get("previousId")):
        raise Rejected("userId and anonymousId are both empty")
    sent = message.get("sentAt") or sent_at
    change = {
        "change_id": text(message, "messageId") or secrets.token_hex(16),
        "changed_at": _time(message, sent, received_at).isoformat(),
        "received_at": received_at.isoformat(),
    }
    if kind in ("track", "page", "screen"):
        return {"events": _event(message, kind, user, anonymous, change, proven)}
    rows: dict[str, dict[str, Any]] = {}
    if kind == "alias":
        previous = text(message, "previousId") or anonymous
        if not user or not previous:
            raise Rejected("alias needs userId and previousId")
        return {"identities": {**change, "anonymous_id": previous, "user_id": user}}
    traits = object_of(message, "traits")
    if kind == "group":
        traits = {"group_id": text(message, "groupId"), "group": traits}
        if not traits["group_id"]:
            raise Rejected("groupId is empty")
    person, source = user or anonymous, "segment" if user else ANONYMOUS
    rows["profiles"] = {**change, "user_id": person, "properties": traits, "source": source}
    if user and anonymous and user != anonymous:
        rows["identities"] = {**change, "anonymous_id": anonymous, "user_id": user}
    device = object_of(object_of(message, "context"), "device")
    if token := text(device, "token", length=4096):
        rows["devices"] = {
            **change,
            "user_id": person,
            "channel": "push",
            "platform": (text(device, "type") or "").lower() or None,
            "token": token,
            "environment": None,
            "active": True,
            "source": source,
        }
    return rows


def _event(
    message: Mapping[str, Any], kind: str, user: str | None, anonymous: str | None, change: dict[str, Any], proven: bool
) -> dict[str, Any]:
    properties = object_of(message, "properties")
    if kind == "track":
        name = text(message, "event")
        if not name:
            raise Rejected("event is empty")
        if name in MESSAGE_EVENTS and not (proven and user and name in _OF_THE_USER):
            raise Rejected("only the platform itself records this event")
    else:
        name = f"{kind.title()} Viewed"
        properties = {**properties, **{key: message[key] for key in ("name", "category") if message.get(key)}}
    return {
        "event_id": change["change_id"],
        "user_id": user,
        "anonymous_id": anonymous,
        "event_name": name,
        "event_time": change["changed_at"],
        "received_at": change["received_at"],
        "properties": properties,
        "source": "segment",
    }


def _time(message: Mapping[str, Any], sent_at: Any, received_at: datetime) -> datetime:
    given = message.get("originalTimestamp") or message.get("timestamp")
    if not given:
        return received_at
    happened = moment(given, "timestamp")
    try:
        if sent_at:
            happened = received_at - (moment(sent_at, "sentAt") - happened)
    except OverflowError:
        raise Rejected("timestamp and sentAt are too far apart") from None
    if happened < EARLIEST:
        raise Rejected("timestamp lies before the year 2000")
    return min(happened, received_at)
