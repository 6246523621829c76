"""The words of the field, each spelled in one place.

The vocabulary is CleverTap's where it has one (https://docs.clevertap.com: Campaigns, Message Labels,
Notification Sent), so that SQL written against an export from there reads the same here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = [
    "ACTIVITY_EXCLUDES",
    "MESSAGE_EVENTS",
    "PULLED_CHANNELS",
    "CampaignStatus",
    "Channel",
    "DeliveryType",
    "Event",
    "OutcomeStatus",
    "PermanentReason",
]


class Channel(StrEnum):
    """Where a message goes."""

    PUSH = "push"
    IN_APP = "in_app"
    APP_INBOX = "app_inbox"
    SMS = "sms"
    WEB_PUSH = "web_push"
    WEB_POPUP = "web_popup"
    WEB_EXIT_INTENT = "web_exit_intent"
    EMAIL = "email"
    WEBHOOK = "webhook"
    FACEBOOK_AUDIENCE = "facebook_audience"


PULLED_CHANNELS: Final = frozenset({Channel.IN_APP, Channel.APP_INBOX, Channel.WEB_POPUP, Channel.WEB_EXIT_INTENT})
"""Channels whose messages wait in the mailbox until the app or page fetches them."""


class Event(StrEnum):
    """System events: what the platform itself records."""

    NOTIFICATION_SENT = "Notification Sent"
    """A provider (or the on-site mailbox) accepted the message."""
    NOTIFICATION_DELIVERED = "Notification Delivered"
    NOTIFICATION_VIEWED = "Notification Viewed"
    NOTIFICATION_CLICKED = "Notification Clicked"
    NOTIFICATION_DISMISSED = "Notification Dismissed"
    """The person closed it, or deleted it from the inbox."""
    NOTIFICATION_FAILED = "Notification Failed"
    NOTIFICATION_HELD_OUT = "Notification Held Out"
    """Qualified, and kept back in a control group."""
    NOTIFICATION_IN_DOUBT = "Notification In Doubt"
    """The request left and no answer is known; never sent again without an idempotency key."""
    CHANNEL_SUBSCRIBED = "Channel Subscribed"
    CHANNEL_UNSUBSCRIBED = "Channel Unsubscribed"
    APP_INSTALLED = "App Installed"
    APP_LAUNCHED = "App Launched"
    APP_UNINSTALLED = "App Uninstalled"
    JOURNEY_ENTERED = "Journey Entered"
    JOURNEY_STEP = "Journey Step"
    JOURNEY_EXITED = "Journey Exited"
    CHARGED = "Charged"
    """A purchase; revenue is its ``amount``."""


MESSAGE_EVENTS: Final = frozenset(
    {
        Event.NOTIFICATION_SENT,
        Event.NOTIFICATION_DELIVERED,
        Event.NOTIFICATION_VIEWED,
        Event.NOTIFICATION_CLICKED,
        Event.NOTIFICATION_DISMISSED,
        Event.NOTIFICATION_FAILED,
        Event.NOTIFICATION_HELD_OUT,
        Event.NOTIFICATION_IN_DOUBT,
        Event.CHANNEL_SUBSCRIBED,
        Event.CHANNEL_UNSUBSCRIBED,
    }
)
"""Events that land in the notifications dataset."""

ACTIVITY_EXCLUDES: Final = MESSAGE_EVENTS | {
    Event.APP_UNINSTALLED,
    Event.JOURNEY_ENTERED,
    Event.JOURNEY_STEP,
    Event.JOURNEY_EXITED,
}
"""Events that are not something a person came and did; "any event" in an analysis leaves them out."""


class DeliveryType(StrEnum):
    """How a campaign's sends come about."""

    ONE_TIME = "one-time"
    RECURRING = "recurring"
    TRIGGERED = "triggered"
    INACTIVITY = "inactivity"
    DATE_BASED = "date-based"
    API = "api"
    JOURNEY = "journey"


class CampaignStatus(StrEnum):
    """Where a campaign is in its life."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"


class OutcomeStatus(StrEnum):
    """What a provider's answer means for one message."""

    SENT = "sent"
    """The provider accepted it."""
    RATE_LIMITED = "rate_limited"
    """Certainly not processed; try again after a while."""
    TEMPORARY = "temporary"
    """Certainly not processed, for a passing reason; try again with back-off."""
    PERMANENT = "permanent"
    """Refused for good, with a :class:`PermanentReason`."""
    CONFIG_ERROR = "config_error"
    """A wrong key, sender or account: stop the run, suppress nobody."""
    UNKNOWN = "unknown"
    """It may have been sent: in doubt."""


class PermanentReason(StrEnum):
    """Why a message was refused for good."""

    UNREGISTERED = "unregistered"
    INVALID_ADDRESS = "invalid_address"
    UNSUBSCRIBED = "unsubscribed"
    SUPPRESSED = "suppressed"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    CONTENT_REJECTED = "content_rejected"
    EXPIRED = "expired"
    REFUSED = "refused"
