"""What goes to a provider and what comes back, in one vocabulary for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from engage.vocabulary import OutcomeStatus, PermanentReason

__all__ = ["Message", "Outcome", "Receipt"]


@dataclass(frozen=True, slots=True)
class Message:
    """One rendered message to one address.

    Args:
        message_id: Deterministic id of (campaign, run, user, channel, step); the idempotency key.
        user_id: The person.
        channel: One of :class:`engage.vocabulary.Channel`.
        address: E-mail address, E.164 phone number, push token, web-push subscription (JSON) or endpoint.
        content: Rendered fields, as :data:`engage.message_fields.CONTENT` lists them for the channel.
        campaign_id: The campaign or journey it belongs to.
        run_id: The execution it belongs to.
        labels: Message labels, as frozen when the run was planned.
        profile: Address details some providers need beside the address (``country``, ``platform``,
            ``environment``).
    """

    message_id: str
    user_id: str
    channel: str
    address: str
    content: Mapping[str, Any]
    campaign_id: str = ""
    run_id: str = ""
    labels: tuple[str, ...] = ()
    profile: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a provider's answer means for one message.

    Args:
        message_id: Our id of the message.
        status: The meaning.
        reason: Why, when `status` is permanent.
        provider_id: The provider's own id of the message, when it gave one.
        retry_after: Seconds to wait, when the provider said so.
        suppress: The address is dead or unwilling: it is not to be used again.
        detail: The provider's raw answer, shortened; free of addresses and secrets.
        dead_since: When the address died, where the provider says so; an address that was registered again since
            then is alive.
        gone: The endpoint itself is gone for everybody: nothing is sent there until somebody says that it is back.
    """

    message_id: str
    status: OutcomeStatus
    reason: PermanentReason | None = None
    provider_id: str | None = None
    retry_after: float | None = None
    suppress: bool = False
    detail: str = ""
    dead_since: datetime | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a provider told afterwards about one message.

    Args:
        event_name: A system event: ``Notification Delivered``, ``… Viewed``, ``… Clicked``, ``… Failed``,
            ``Channel Unsubscribed`` or ``Channel Subscribed``.
        event_id: The provider's id of this very report, for de-duplication.
        event_time: When it happened, UTC.
        message_id: Our id, where the provider echoes it.
        provider_id: The provider's id of the message.
        address: The address concerned, where no id is known.
        reason: Why, when it failed or unsubscribed (``hard_bounce``, ``complaint``, ``stop``, …).
        suppress: The address is not to be used again.
        properties: What else is worth keeping: ``url``, ``user_agent``, ``machine`` (which machine looked, no person),
            ``raw_event``.
    """

    event_name: str
    event_id: str
    event_time: datetime
    message_id: str | None = None
    provider_id: str | None = None
    address: str | None = None
    reason: str | None = None
    suppress: bool = False
    properties: Mapping[str, Any] = field(default_factory=dict)
