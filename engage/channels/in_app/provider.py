"""The provider of the pulled channels: engage's own mailbox."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from engage.channels.in_app.mailbox import Mailbox
from engage.channels.in_app.message import mailbox_message
from engage.channels.message import Message, Outcome
from engage.channels.registry import Configured
from engage.errors import ConfigurationError, ContentError, QueryError
from engage.vocabulary import OutcomeStatus, PermanentReason
from engage.windows import parse_window

__all__ = ["OnSite"]


class OnSite:
    """Puts messages into ``data/mailbox.sqlite``, from which the server hands them to apps and pages.

    Sent means that it is there; whether it was seen, the app reports (Notification Viewed).

    Args:
        configured: keep (how long a message waits where its campaign does not say; ``never`` ends).
        now: The clock.
    """

    name: ClassVar[str] = "mailbox"
    past = False
    batch_size = 500
    idempotency: timedelta | None = timedelta(days=365)  # the same id is the same message

    def __init__(self, configured: Configured, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.channel = configured.channel
        self._path = configured.outbox.parent / "mailbox.sqlite"
        self._now = now
        keep = str(configured.options["keep"])
        try:
            self._keep = None if keep == "never" else parse_window(keep)
        except QueryError as error:
            where = f"[tool.engage.channels.{self.channel}]"
            raise ConfigurationError(f"keep: {error.what}", where=where, hint='write "30 days" or "never"') from error
        self._mailbox: Mailbox | None = None

    async def deliver(self, batch: Sequence[Message]) -> list[Outcome]:
        """Put messages in: exactly one outcome a message, in their order."""
        self._mailbox = self._mailbox or Mailbox(self._path)
        now, outcomes, ready = self._now(), [], []
        for message in batch:
            try:
                ready.append((message.user_id, message.run_id, mailbox_message(message, now=now, keep=self._keep)))
            except ContentError as error:
                reason = PermanentReason.CONTENT_REJECTED
                outcomes.append(Outcome(message.message_id, OutcomeStatus.PERMANENT, reason, detail=str(error)))
            else:
                outcomes.append(Outcome(message.message_id, OutcomeStatus.SENT, provider_id=message.message_id))
        self._mailbox.put(ready)
        return outcomes

    async def aclose(self) -> None:
        """Give back the file."""
        if self._mailbox is not None:
            self._mailbox.close()
            self._mailbox = None
