"""Which provider serves which channel, whether it is complete, and whether it works."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import polars as pl

from engage.access.roles import Right
from engage.channels.message import Message, Outcome
from engage.channels.registry import PROVIDERS, Setup, setup
from engage.delivery.beside import beside_loop
from engage.delivery.trial import send_trial
from engage.errors import ConfigurationError
from engage.vocabulary import Channel
from engage.workspace.base import Base
from engage.workspace.guarding import guarded
from engage.workspace.sending import open_ledger, run_provider

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

    @guarded(Right.COMPOSE)
    def channel_needs(self, channel: str | None = None) -> pl.DataFrame:
        """What each configured provider needs and has, by name; no value is shown, nobody is called.

        Args:
            channel: Only this one; all that are configured by default.

        Returns:
            `channel`, `provider`, `what` (an option, or an environment variable as ``$NAME``), `state` (``set``,
            ``default``, ``missing``, or ``not set`` for a secret it can do without) and `note`; one row a thing it
            can be told. A provider that stands in for another is told of too, and an endpoint that is gone.

        Raises:
            ConfigurationError: There is no such channel or provider.
        """
        if channel is not None and channel not in {one.value for one in Channel}:
            raise ConfigurationError(
                f"there is no channel {channel!r}", where="channel", hint=f"there are: {', '.join(Channel)}"
            )
        rows: list[tuple[str, str, str, str, str]] = []
        for one in Channel:
            options = self.settings.channel(one)
            if (channel is None and not options) or channel not in (None, one):
                continue
            first = setup(one, options).name
            inner = [
                item.name for item in PROVIDERS if one in item.channels and isinstance(options.get(item.name), dict)
            ]
            fallback = options.get("fallback", ())
            names = [first, *((fallback,) if isinstance(fallback, str) else fallback), *inner]
            for name in dict.fromkeys(map(str, names)):
                given = options if name == first else options.get(name, {})
                rows += [(one.value, name, *row) for row in _needs(setup(one, {"provider": name}), given)]
                try:
                    run_provider(self, one, name)
                    rows.append((one.value, name, "provider", "ready", ""))
                except ConfigurationError as error:
                    rows.append((one.value, name, "provider", "incomplete", str(error)))
        if channel in (None, Channel.WEBHOOK):
            with closing(open_ledger(self)) as ledger:
                for url, since in ledger.disabled().items():
                    note = f"410 Gone since {datetime.fromtimestamp(since, UTC):%Y-%m-%d %H:%M} UTC"
                    rows.append((Channel.WEBHOOK.value, "webhook", url, "disabled", note))
        names_ = ("channel", "provider", "what", "state", "note")
        return pl.DataFrame(rows, schema=dict.fromkeys(names_, pl.String), orient="row")

    @guarded(Right.SEND, "channel.enable")
    def enable_endpoint(self, url: str) -> bool:
        """Send to an endpoint again that had answered 410 Gone.

        Returns:
            Whether it was disabled.
        """
        with closing(open_ledger(self)) as ledger:
            return ledger.enable(url)

    @guarded(Right.COMPOSE, "channel.test")
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
            return send_trial(run_provider(self, channel, None), message, country=self.settings.country)

        return beside_loop(send)


def _needs(provider: Setup, given: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """A provider's options and secrets: name, state and what to do."""
    rows = []
    for name, default in provider.options.items():
        if name in given:
            rows.append((name, "set", ""))
        elif default is ...:
            rows.append((name, "missing", "an option of [tool.engage.channels.…]"))
        elif default in ("", {}, None):
            rows.append((name, "not set", "can do without"))
        else:
            rows.append((name, "default", ""))
    for name, variable in provider.secrets.items():
        variable = str(given.get(f"{name}_env", variable))
        optional = name in provider.optional_secrets
        state = "set" if os.environ.get(variable) else "not set" if optional else "missing"
        note = {"not set": "can do without", "missing": f"export {variable}=…"}.get(state, "")
        rows.append((f"${variable}", state, note))
    return rows
