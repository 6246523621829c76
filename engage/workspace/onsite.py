"""Messages that apps and pages fetch: who may, and what waits for them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from engage.access.roles import Right
from engage.channels.in_app.mailbox import Mailbox
from engage.channels.in_app.preview import preview_document, templates
from engage.errors import ConfigurationError
from engage.signing import UserTokens
from engage.vocabulary import Channel
from engage.windows import parse_window
from engage.workspace.base import Base, Time
from engage.workspace.guarding import guarded
from engage.workspace.sending import run_provider

__all__ = ["OnSiteFace"]

_FORGOTTEN_AFTER = timedelta(days=30)


class OnSiteFace(Base):
    """What gives tokens and keeps the mailbox."""

    @cached_property
    def mailbox(self) -> Mailbox:
        """Messages that wait for apps and pages to fetch them."""
        return Mailbox(self.settings.mailbox)

    @guarded(Right.ADMINISTER)
    def user_token(self, user_id: str, lasts: str = "30 days", *, now: Time = None) -> str:
        """A signed token by which an app or page proves for whom it speaks; give it to nobody else.

        Args:
            user_id: The user who has logged in there.
            lasts: How long it is good.
            now: The clock.

        Raises:
            ConfigurationError: ``ENGAGE_SECRET_KEY`` is not set, or `user_id` is empty.
            QueryError: `lasts` is not a length of time.
        """
        if not user_id:
            raise ConfigurationError("user_id is empty", where="user_token")
        return UserTokens().give(user_id, now=self.moment(now) or datetime.now(UTC), lasts=parse_window(lasts))

    def web_push_key(self) -> str:
        """The key browsers subscribe to web push with.

        Raises:
            ConfigurationError: Web push is not set up.
        """
        key = getattr(run_provider(self, Channel.WEB_PUSH, None), "public_key", None)
        if key is None:
            raise ConfigurationError(
                "web push has no key", where="[tool.engage.channels.web_push]", hint='set provider = "web_push"'
            )
        return str(key)

    def message_templates(self, channel: str) -> dict[str, dict[str, Any]]:
        """What an on-site message may begin from: content by name; see :mod:`engage.channels.in_app.preview`."""
        return templates(channel)

    def preview_html(self, channel: str, content: Mapping[str, Any], *, device: str = "phone", now: Time = None) -> str:
        """An HTML document that shows an on-site message as pages show it.

        To put it into another page, use an iframe with ``sandbox="allow-scripts"``.

        Args:
            channel: An on-site channel.
            content: The rendered fields, as :meth:`OpenCampaign.preview` gives them.
            device: ``phone`` or ``browser``.
            now: The clock.

        Raises:
            UnsupportedContentError: A rule, an address or a style is not one.
        """
        return preview_document(channel, content, device=device, now=self.moment(now) or datetime.now(UTC))

    @guarded(Right.ADMINISTER)
    def sweep_mailbox(self, now: Time = None) -> int:
        """Forget messages that expired or were closed 30 days ago.

        Returns:
            How many.
        """
        if not self.settings.mailbox.exists():
            return 0
        return self.mailbox.sweep((self.moment(now) or datetime.now(UTC)) - _FORGOTTEN_AFTER)
