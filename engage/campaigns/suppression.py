"""The suppression list: addresses that must not be written to, kept as events in the lake."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from engage.channels.addresses import address_key
from engage.errors import ImportFileError, PlanError
from engage.query.engine import Engine
from engage.vocabulary import Channel, Event

__all__ = ["read_addresses", "suppression_events"]


def suppression_events(
    engine: Engine, channel: str, addresses: Sequence[str], *, reason: str, suppress: bool, now: datetime
) -> list[dict[str, Any]]:
    """Events that put addresses on the suppression list, or take them off it.

    Args:
        engine: Knows whose addresses they are.
        channel: The channel they belong to.
        addresses: E-mail addresses, phone numbers, tokens.
        reason: Why; recorded with each.
        suppress: True to put them on the list, False to take them off.
        now: The clock.

    Returns:
        ``Channel Unsubscribed`` or ``Channel Subscribed``, one an address. An address of nobody known goes under the
        id ``channel:address``.

    Raises:
        PlanError: The channel is not known, or an address is empty.
    """
    if channel not in set(Channel):
        raise PlanError(f"channel {channel!r} is not known", hint=", ".join(Channel))
    country = engine.settings.country
    keys = list(dict.fromkeys(address_key(channel, address, country) for address in addresses))
    if not all(keys):
        raise PlanError("an address is empty", where=channel)
    column = {Channel.EMAIL: "lower(trim(email))", Channel.SMS: "sms_address(phone, country)"}.get(Channel(channel))
    source = (
        f"select {column} as address, min(user_id) as user_id from profiles where {column} in (select unnest($keys)) "
        if column
        else "select token as address, min(user_id) as user_id from devices where token in (select unnest($keys)) "
    )
    known = dict(engine.frame(f"{source} group by 1", {"keys": keys}).rows())
    return [
        {
            "user_id": known.get(key, f"{channel}:{key}"),
            "event_name": str(Event.CHANNEL_UNSUBSCRIBED if suppress else Event.CHANNEL_SUBSCRIBED),
            "event_time": now,
            "properties": json.dumps({"channel": channel, "address": key, "reason": reason}),
        }
        for key in keys
    ]


def read_addresses(path: Path) -> list[str]:
    """Addresses from a text file: one a line, or the column `address` (else the first) of a CSV file.

    Raises:
        ImportFileError: It cannot be read, or holds none.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if row and row[0].strip()]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImportFileError(f"cannot be read: {error}", where=str(path)) from error
    if not rows:
        raise ImportFileError("holds no address", where=str(path))
    heads = [cell.strip().lower() for cell in rows[0]]
    column = heads.index("address") if "address" in heads else 0
    if heads[column] in ("address", "email", "phone"):
        rows = rows[1:]
    return [row[column].strip() for row in rows if len(row) > column and row[column].strip()]
