"""What providers tell afterwards, as events about the messages and people they concern."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from engage.campaigns.suppression import suppression_events
from engage.channels.addresses import address_key
from engage.channels.message import Receipt
from engage.query.engine import Engine
from engage.vocabulary import Event

__all__ = ["Told", "callback_events"]

_OLDEST = timedelta(days=45)  # a message is not reported on later than that
_AHEAD = timedelta(days=1)  # by which a provider's clock may be wrong
_PATIENCE = timedelta(minutes=15)  # for a message whose sending has not landed yet

_ABOUT = "campaign_id, campaign_name, run_id, journey_id, channel, delivery_type, variant, labels"
_MESSAGES = f"""
select message_id, nullif(properties->>'$.provider_id', '') as provider_id, user_id, {_ABOUT}
from notifications
where
    event_name in ('Notification Sent', 'Notification In Doubt', 'Notification Failed')
    and channel in (select unnest($channels::varchar[]))
    and event_time >= $since
    and (
        message_id in (select unnest($ids::varchar[]))
        or (len($refs::varchar[]) > 0 and properties->>'$.provider_id' in (select unnest($refs::varchar[])))
    )
qualify row_number() over (partition by message_id order by event_name = 'Notification Sent' desc, event_time) = 1
"""


@dataclass(frozen=True, slots=True)
class Told:
    """A receipt, with who told it.

    Args:
        channel: The provider's channel.
        provider: Its name.
        received_at: When its callback came in, UTC.
        receipt: What it says.
    """

    channel: str
    provider: str
    received_at: datetime
    receipt: Receipt

    def to_json(self) -> dict[str, Any]:
        """As values of JSON; :meth:`from_json` reads them."""
        values = asdict(self)
        values["received_at"] = self.received_at.isoformat()
        values["receipt"]["event_time"] = self.receipt.event_time.isoformat()
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Told:
        """Read what :meth:`to_json` wrote."""
        receipt = {**values["receipt"], "event_time": datetime.fromisoformat(values["receipt"]["event_time"])}
        received_at = datetime.fromisoformat(values["received_at"])
        return cls(values["channel"], values["provider"], received_at, Receipt(**receipt))


def callback_events(engine: Engine, told: Sequence[Told], *, now: datetime) -> tuple[list[dict[str, Any]], list[Told]]:
    """Find the messages and people that receipts are about.

    Receipts may come in any order, more than once, and before the message they are about has landed: the `event_id`
    follows from the provider's own id of the report, and who cannot be found yet is waited for, a quarter of an hour.

    Args:
        engine: Knows the messages that were sent.
        told: The receipts.
        now: The clock.

    Returns:
        Events for :func:`engage.lake.records.event_rows`, and those to ask about again later. A receipt that ends an
        address is also a ``Channel Unsubscribed`` that names it. One about nobody known goes under the id
        ``channel:address``; without an address either it is dropped.
    """
    if not told:
        return [], []
    told = [_sensible(one) for one in told]
    by_id, by_ref = _messages(engine, told)
    events: list[dict[str, Any]] = []
    waiting: list[Told] = []
    for one in told:
        receipt = one.receipt
        about = by_id.get(receipt.message_id or "") or by_ref.get((one.channel, receipt.provider_id or ""))
        names_message = bool(receipt.message_id or receipt.provider_id)
        if about is None and names_message and now - one.received_at < _PATIENCE:
            waiting.append(one)
            continue
        if about is None and not receipt.address:
            continue
        events += _events(engine, one, about or {}, now)
    return events, waiting


def _sensible(told: Told) -> Told:
    """A receipt with a time it can have, and an address if any: some providers send ``0001-01-01`` for no time."""
    receipt = told.receipt
    late = not told.received_at - _OLDEST <= receipt.event_time <= told.received_at + _AHEAD
    blank = receipt.address is not None and not receipt.address.strip()
    if not late and not blank:
        return told
    at = told.received_at if late else receipt.event_time
    return replace(told, receipt=replace(receipt, event_time=at, address=None if blank else receipt.address))


def _messages(
    engine: Engine, told: Sequence[Told]
) -> tuple[dict[str, dict[str, Any]], dict[tuple[str, str], dict[str, Any]]]:
    ids = sorted({one.receipt.message_id for one in told if one.receipt.message_id})
    refs = sorted({r.provider_id for one in told if (r := one.receipt).provider_id and not r.message_id})
    if not ids and not refs:
        return {}, {}
    since = min(one.receipt.event_time for one in told) - _OLDEST
    channels = sorted({one.channel for one in told})
    params = {"ids": ids, "refs": refs, "channels": channels, "since": since.astimezone(UTC)}
    rows = engine.frame(_MESSAGES, params).to_dicts()
    return (
        {row["message_id"]: row for row in rows},
        {(row["channel"], row["provider_id"]): row for row in rows if row["provider_id"]},
    )


def _events(engine: Engine, told: Told, about: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
    receipt, event_id = told.receipt, f"{told.provider}:{told.receipt.event_id}"
    address = address_key(told.channel, receipt.address, engine.settings.country) if receipt.address else ""
    user_id = about.get("user_id")
    if user_id is None:
        [row] = suppression_events(
            engine, told.channel, [address], reason=receipt.reason or "", suppress=receipt.suppress, now=now
        )
        user_id = row["user_id"]
    known = {name: value for name, value in about.items() if value and name not in ("user_id", "provider_id")}
    properties = {**known, "channel": told.channel, "provider": told.provider, **receipt.properties}
    properties |= {"reason": receipt.reason} if receipt.reason else {}
    properties |= {"address": address} if address else {}
    event = {"event_id": event_id, "user_id": user_id, "event_name": receipt.event_name, "properties": properties}
    event |= {"event_time": receipt.event_time, "received_at": told.received_at}
    ends = receipt.suppress and address and receipt.event_name != Event.CHANNEL_UNSUBSCRIBED
    return [event, _ending(event)] if ends else [event]


def _ending(event: Mapping[str, Any]) -> dict[str, Any]:
    return {**event, "event_id": f"{event['event_id']}:suppressed", "event_name": str(Event.CHANNEL_UNSUBSCRIBED)}
