"""Which provider serves which channel, whether it is complete, and whether it works."""

from __future__ import annotations

import json
from uuid import uuid4

import polars as pl

from engage.channels.message import Message, Outcome
from engage.channels.registry import setup
from engage.delivery.beside import beside_loop
from engage.delivery.trial import send_trial
from engage.errors import ConfigurationError
from engage.vocabulary import Channel
from engage.workspace.base import Base
from engage.workspace.deliveries import run_provider

__all__ = ["ChannelFace"]

_SCHEMA = ("channel", "provider", "state", "note")


class ChannelFace(Base):
    """What tells of channels and tries them."""

    def channels(self) -> pl.DataFrame:
        """Every channel with the provider that is configured for it.

        Returns:
            `channel`, `provider`, `state` (``ready``; ``outbox`` where messages are written to a folder and reach
            nobody; ``incomplete``) and `note` (what is missing); one row a channel. Nothing is sent or called.
        """
        rows = []
        for channel in Channel:
            options = self.settings.channel(channel)
            try:
                chosen = setup(channel, options).name
                run_provider(self, channel, None)
            except ConfigurationError as error:
                rows.append((channel.value, str(options.get("provider", "")), "incomplete", str(error)))
                continue
            state = "outbox" if chosen == "outbox" else "ready"
            rows.append((channel.value, chosen, state, "written to data/outbox/" if state == "outbox" else ""))
        return pl.DataFrame(rows, schema=dict.fromkeys(_SCHEMA, pl.String), orient="row")

    def test_channel(self, channel: str, address: str, text: str = "A test message of engage") -> Outcome:
        """Send one message through a channel's provider; nothing of it is recorded.

        Args:
            channel: The channel.
            address: Yours: an e-mail address, a phone number, a push token, ….
            text: What it says.

        Returns:
            What the provider's answer means.

        Raises:
            ConfigurationError: There is no such channel, or its provider is incomplete.
            ContentError: The provider cannot express it, or the address is none.
            ChannelError: The provider cannot be reached.
        """
        if channel not in {one.value for one in Channel}:
            raise ConfigurationError(
                f"there is no channel {channel!r}", where="channel", hint=f"there are: {', '.join(Channel)}"
            )
        content = {"subject": text, "title": text, "body": text, "text": text, "transactional": True}
        if channel == Channel.WEBHOOK:
            content["body"] = json.dumps({"text": text})
        message = Message(f"test-{uuid4().hex}", "test", channel, address, content)

        def send(_: object) -> Outcome:
            return send_trial(run_provider(self, channel, None), message)

        return beside_loop(send)
