"""A mail server that delivers nowhere, where aiosmtpd is installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from engage.sample.providers.email import text_of
from engage.sample.providers.received import Received, Row
from engage.vocabulary import OutcomeStatus, PermanentReason

__all__ = ["ROWS", "mail_server"]

_P = OutcomeStatus.PERMANENT
ROWS: Mapping[str, tuple[Row, ...]] = {
    "smtp": (
        Row("invalid@magic.test", 550, "5.1.1 no such user", _P, PermanentReason.INVALID_ADDRESS),
        Row("content@magic.test", 554, "5.7.1 refused for policy", _P, PermanentReason.CONTENT_REJECTED),
        Row("full@magic.test", 452, "4.2.2 mailbox full", OutcomeStatus.TEMPORARY),
        Row("down@magic.test", 451, "4.3.0 try later", OutcomeStatus.TEMPORARY),
    )
}
"""Replies to RCPT, by the address that gets them."""


@contextmanager
def mail_server(received: Received, port: int) -> Iterator[int | None]:
    """Run a mail server beside the others.

    Args:
        received: Takes the mails.
        port: On 127.0.0.1.

    Yields:
        The port; None where aiosmtpd is not installed.
    """
    try:
        from aiosmtpd.controller import Controller
    except ImportError:
        yield None
        return

    class Handler:
        async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
            row = next((row for row in ROWS["smtp"] if row.to == address), None)
            if row is not None:
                received.note("smtp", address, "", "", row.status)
                return f"{row.status} {row.body}"
            envelope.rcpt_tos.append(address)
            return "250 OK"

        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
            to, subject, text = text_of(envelope.content)
            body = envelope.content.decode("utf-8", "replace")
            number = received.note("smtp", to, subject, text, 250, {"mail": body})
            return f"250 taken as {number}"

    controller = Controller(Handler(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield port
    finally:
        controller.stop()
