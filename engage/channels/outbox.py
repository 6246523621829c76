"""The outbox: messages written to a folder instead of being sent. The default provider of every channel."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from engage.channels.email.mime import build_email
from engage.channels.message import Message, Outcome
from engage.channels.registry import Configured
from engage.errors import ContentError, InvalidAddressError
from engage.vocabulary import Channel, OutcomeStatus, PermanentReason

__all__ = ["Outbox"]


class Outbox:
    """Writes each message to ``data/outbox/<channel>/<message_id>.eml`` (e-mail) or ``.json``.

    A file appears whole, under the message's id, so writing it twice leaves one. It is not synced to disk: it stands
    for the outside world in demos and tests, and nobody's mail hangs on it.

    Args:
        configured: Options and the folder.
    """

    name: ClassVar[str] = "outbox"
    past = True
    batch_size = 500
    idempotency = timedelta(days=36_500)  # the same id is the same file, for ever

    def __init__(self, configured: Configured) -> None:
        self.channel = configured.channel
        self._sender = str(configured.options["from"])
        self._folder = configured.outbox / configured.channel

    async def deliver(self, batch: Sequence[Message]) -> list[Outcome]:
        """Write messages: exactly one outcome a message, in their order."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return [self._write(message) for message in batch]

    async def aclose(self) -> None:
        """Nothing is held open."""

    def _write(self, message: Message) -> Outcome:
        try:
            if self.channel == Channel.EMAIL:
                content, ending = build_email(message, sender=self._sender).as_bytes(), "eml"
            else:
                fields = {
                    "message_id": message.message_id,
                    "user_id": message.user_id,
                    "channel": message.channel,
                    "address": message.address,
                    "content": dict(message.content),
                    "campaign_id": message.campaign_id,
                    "run_id": message.run_id,
                    "labels": list(message.labels),
                }
                content, ending = json.dumps(fields, indent=2, ensure_ascii=False, default=str).encode(), "json"
        except (ContentError, ValueError, TypeError) as error:
            detail = error.what if isinstance(error, ContentError) else type(error).__name__
            bad = isinstance(error, InvalidAddressError)
            reason = PermanentReason.INVALID_ADDRESS if bad else PermanentReason.CONTENT_REJECTED
            return Outcome(message.message_id, OutcomeStatus.PERMANENT, reason, detail=detail)
        path = self._folder / f"{_file_name(message.message_id)}.{ending}"
        temporary = path.with_suffix(f".{os.getpid()}.part")
        temporary.write_bytes(content)
        temporary.replace(path)
        return Outcome(message.message_id, OutcomeStatus.SENT, provider_id=path.name)


def _file_name(message_id: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in Path(message_id).name)
