"""What one person wants to get, by channel and topic: read, and changed by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from engage.errors import ConfigurationError
from engage.query.engine import Engine
from engage.settings import Settings
from engage.vocabulary import Channel, Event

__all__ = ["Preferences", "Topic", "preference_events", "read_preferences", "read_topics"]

_CHOSEN = (Channel.EMAIL, Channel.SMS, Channel.PUSH, Channel.WEB_PUSH)


@dataclass(frozen=True, slots=True)
class Topic:
    """A subject people may subscribe to.

    Args:
        name: The word campaigns use in ``topic``.
        titles: What people call it, by language.
        channels: Where it is offered.
    """

    name: str
    titles: Mapping[str, str]
    channels: tuple[str, ...] = tuple(map(str, _CHOSEN))


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a person wants.

    Args:
        user_id: The person.
        language: The one of their profile, such as ``de`` or ``pt-BR``; empty when it is not known.
        wanted: By channel, then by topic; the topic '' is whatever has none. Only channels that reach them.
        addresses: Their mail address and phone number, by channel.
    """

    user_id: str
    language: str
    wanted: Mapping[str, Mapping[str, bool]]
    addresses: Mapping[str, str]


def read_topics(settings: Settings) -> tuple[Topic, ...]:
    """The topics of a workspace: tables ``[tool.engage.topics.<name>]`` with a title a language.

    Raises:
        ConfigurationError: One is not such a table, or names a channel that does not exist.
    """
    topics = []
    for name, values in settings.options.get("topics", {}).items():
        where = f"[tool.engage.topics.{name}]"
        if not isinstance(values, Mapping) or not all(
            isinstance(value, str) for key, value in values.items() if key != "channels"
        ):
            raise ConfigurationError("is not a topic", where=where, hint='write en = "News", de = "Neues"')
        channels = tuple(values.get("channels", map(str, _CHOSEN)))
        if unknown := [channel for channel in channels if channel not in set(Channel)]:
            raise ConfigurationError(f"channel {unknown[0]!r} is not known", where=where, hint=", ".join(Channel))
        titles = {language: title for language, title in values.items() if language != "channels"}
        topics.append(Topic(name, titles or {"en": name}, channels))
    return tuple(topics)


_PERSON = """
select
    (select email from profiles where user_id = $user) as email,
    (select phone from profiles where user_id = $user) as phone,
    (select coalesce(properties->>'$.language', properties->>'$.locale') from profiles where user_id = $user)
        as language,
    (select list(distinct channel) from devices where user_id = $user) as devices,
"""
_SAID = "select channel, topic, subscribed, since from consents where user_id = $user"
_SUPPRESSED = "select channel from suppressions where channel = $channel and address = $address"


def read_preferences(engine: Engine, user_id: str, *, channel: str = "") -> Preferences:
    """Read what a person wants, as planning understands it.

    Args:
        engine: What answers.
        user_id: The person.
        channel: One that is listed whatever is known of them: that of the message they come from.
    """
    email, phone, language, devices = engine.frame(_PERSON, {"user": user_id}).row(0)
    addresses = {Channel.EMAIL: (email or "").strip(), Channel.SMS: (phone or "").strip()}
    addresses = {name: address for name, address in addresses.items() if address}
    said = engine.frame(_SAID, {"user": user_id}).rows()
    state = {(where, topic): (subscribed, since) for where, topic, subscribed, since in said}
    there = {*addresses, *(devices or []), channel, *(where for where, _, _, _ in said)}
    topics = read_topics(engine.settings)
    wanted: dict[str, dict[str, bool]] = {}
    for where in (str(one) for one in _CHOSEN if one in there):
        own = state.get((where, ""))
        left = own is not None and not own[0]
        if not left and where in addresses:
            key = addresses[Channel(where)].lower() if where == Channel.EMAIL else addresses[Channel(where)]
            left = engine.frame(_SUPPRESSED, {"channel": where, "address": key}).height > 0
        wanted[where] = {"": not left}
        for topic in topics:
            if where not in topic.channels:
                continue
            told = state.get((where, topic.name))
            if left:  # who has left the channel gets what they asked for since
                wanted[where][topic.name] = bool(told and told[0] and own and told[1] > own[1])
            else:
                wanted[where][topic.name] = told is None or bool(told[0])
        wanted[where][""] = wanted[where].pop("")  # what has no topic is shown last
    return Preferences(user_id, language or "", wanted, {str(name): value for name, value in addresses.items()})


def preference_events(
    before: Preferences,
    wanted: Mapping[str, Mapping[str, bool]],
    *,
    now: datetime,
    about: Mapping[str, Any] | None = None,
    addresses: Sequence[tuple[str, str]] = (),
) -> list[dict[str, Any]]:
    """The events that make what a person wants so.

    Who leaves a channel for all topics has their address suppressed too, so that nobody writes to it under another
    id; who wants anything of it has it taken off that list.

    Args:
        before: What they wanted.
        wanted: What they want now, by channel and topic; what is not named stays.
        now: The clock.
        about: The message they come from, as properties of the events on its channel.
        addresses: Further addresses of theirs, with the channel: those the message was sent to.

    Returns:
        ``Channel Subscribed`` and ``Channel Unsubscribed``, one a change.
    """
    events: list[dict[str, Any]] = []

    def tell(channel: str, topic: str, yes: bool, address: str | None, at: datetime) -> None:
        told_by = about if about and about.get("channel") == channel else {}
        properties = {**told_by, "channel": channel}
        properties |= {} if yes else {"reason": "unsubscribed"}
        properties |= {"topic": topic} if topic else {}
        properties |= {"address": address} if address else {}
        name = Event.CHANNEL_SUBSCRIBED if yes else Event.CHANNEL_UNSUBSCRIBED
        events.append({"user_id": before.user_id, "event_name": str(name), "event_time": at, "properties": properties})

    for channel, now_wanted in wanted.items():
        old = before.wanted.get(channel, {"": True})
        new = {**old, **now_wanted}
        own = [before.addresses.get(channel), *(address for where, address in addresses if where == channel)]
        known: list[str | None] = list(dict.fromkeys(address for address in own if address)) or [None]
        leaves, moved = any(old.values()) and not any(new.values()), new[""] != old[""]
        if leaves or moved:
            named = known if new[""] or leaves else [None]
            for address in named:
                tell(channel, "", new[""], address, now)
        for topic, yes in new.items():
            # With the channel left or joined every topic is said anew, an instant later: that it was left ends them.
            if topic and (moved or yes != old[topic]):
                for address in known if yes else [None]:
                    tell(channel, topic, yes, address, now + timedelta(microseconds=1))
    return events
