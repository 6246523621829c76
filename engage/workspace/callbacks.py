"""What providers tell afterwards: checked, and landed as events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from engage.access.roles import Right
from engage.channels import registry
from engage.channels.provider import HttpProvider
from engage.delivery.callbacks import Told, callback_events
from engage.errors import ChannelError
from engage.lake.records import event_rows
from engage.vocabulary import Channel
from engage.workspace.base import Base
from engage.workspace.guarding import guarded
from engage.workspace.sending import run_provider

__all__ = ["CallbackFace"]


class CallbackFace(Base):
    """What takes the callbacks of the providers that are configured."""

    def callback_provider(self, name: str) -> tuple[str, HttpProvider]:
        """The provider of that name that serves one of the workspace's channels, or stands in for it.

        Returns:
            Its channel, and the provider.

        Raises:
            ChannelError: None of that name is configured.
            ConfigurationError: It is, and lacks something.
        """
        for channel in Channel:
            options = self.settings.channel(channel)
            names = [one.name for one in registry.PROVIDERS if channel in one.channels]
            if name not in names or not options:
                continue
            if name in {options.get("provider", names[0]), *options.get("fallback", ())} or name in options:
                built = run_provider(self, channel, name)
                if isinstance(built, HttpProvider):
                    return channel.value, built
        raise ChannelError(f"no provider {name[:40]!r} is configured", hint="see `engage channel list`")

    @guarded(Right.ADMINISTER)
    def land_callbacks(self, told: Sequence[Told], *, now: datetime | None = None) -> list[Told]:
        """Land receipts whose callbacks were verified; one that comes again adds nothing.

        Args:
            told: The receipts.
            now: The clock.

        Returns:
            Those about messages that are not in the lake yet: to be landed again in a moment. After a quarter of an
            hour they land by their address, or are dropped.

        Raises:
            LandingError: The lake is locked by another process; nothing landed.
        """
        clock = now or datetime.now(UTC)
        events, waiting = callback_events(self.engine, told, now=clock)
        if events:
            self.lake.land_all(event_rows(events, received_at=clock, source="callback"))
        return waiting
