"""SMTP (RFC 5321): any mail server, or a provider's SMTP door."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar

import aiosmtplib

from engage.channels.email.mime import build_email, sender_of
from engage.channels.message import Message, Outcome
from engage.channels.registry import Configured
from engage.errors import ChannelError, ConfigurationError, ContentError, InvalidAddressError
from engage.vocabulary import Channel, OutcomeStatus, PermanentReason

__all__ = ["Smtp", "outcome_of_reply"]

_ENHANCED = re.compile(r"^\s*([245])\.(\d{1,3})\.(\d{1,3})\b")
_NO_SUCH_ADDRESS = {"1.1", "1.2", "1.3", "1.6", "1.10", "2.1"}
_FULL = {"2.2"}


def outcome_of_reply(message_id: str, code: int, text: str) -> Outcome:
    """What a server's refusal means.

    Args:
        message_id: Our id.
        code: The reply code.
        text: Its text; an enhanced status code (RFC 3463) at its beginning refines the meaning.

    Returns:
        4yz is temporary, 5yz permanent. Only an address that does not exist is suppressed: a refusal for policy or
        content says nothing about the person, and a wrong login nothing about anybody.
    """
    match = _ENHANCED.match(text)
    detail = f"{code} {match[0].strip()}" if match else str(code)
    enhanced = f"{int(match[2])}.{int(match[3])}" if match else ""
    if code in (530, 534, 535, 538) or enhanced == "7.8":
        return Outcome(message_id, OutcomeStatus.CONFIG_ERROR, detail=detail)
    if 400 <= code < 500 or enhanced in _FULL:
        return Outcome(message_id, OutcomeStatus.TEMPORARY, detail=detail)
    if enhanced in _NO_SUCH_ADDRESS or (not enhanced and code in (550, 551, 553)):
        dead = bool(enhanced)  # a bare 550 may be policy as well: refuse the message, keep the address
        return Outcome(
            message_id, OutcomeStatus.PERMANENT, PermanentReason.INVALID_ADDRESS, suppress=dead, detail=detail
        )
    if code == 552 or enhanced == "3.4":
        return Outcome(message_id, OutcomeStatus.PERMANENT, PermanentReason.PAYLOAD_TOO_LARGE, detail=detail)
    if 500 <= code < 600:
        return Outcome(message_id, OutcomeStatus.PERMANENT, PermanentReason.CONTENT_REJECTED, detail=detail)
    return Outcome(message_id, OutcomeStatus.UNKNOWN, detail=detail)


class Smtp:
    """Delivers over one connection that is kept open from message to message.

    Args:
        configured: host, port, tls (``starttls``, ``tls`` or ``none``), username, password, from, timeout (seconds).
    """

    name: ClassVar[str] = "smtp"
    channel: ClassVar[str] = Channel.EMAIL.value
    past = False
    batch_size = 50
    idempotency: timedelta | None = None

    def __init__(self, configured: Configured) -> None:
        options = configured.options
        tls = str(options["tls"]).lower()
        if tls not in ("starttls", "tls", "none"):
            raise ConfigurationError(
                f"tls = {tls!r} is not known", where="[tool.engage.channels.email]", hint="write starttls, tls or none"
            )
        self._sender = str(options["from"])
        self._login = (str(options["username"]), configured.secrets.get("password", ""))
        self._where = f"{options['host']}:{options['port']}"
        self._client = aiosmtplib.SMTP(
            hostname=str(options["host"]),
            port=int(options["port"]),
            use_tls=tls == "tls",
            # None: use STARTTLS where the server offers it, as mail servers among themselves do.
            start_tls={"tls": False, "none": False, "starttls": True}[tls],
            timeout=float(options["timeout"]),
            validate_certs=bool(options["verify"]),
        )

    async def deliver(self, batch: Sequence[Message]) -> list[Outcome]:
        """Deliver messages: exactly one outcome a message, in their order.

        Raises:
            ChannelError: The server cannot be reached; nothing of the batch was sent.
            ConfigurationError: The server refuses the login; nothing of the batch was sent.
        """
        await self._connect()
        outcomes: list[Outcome] = []
        for message in batch:
            if not self._client.is_connected and outcomes:
                try:
                    await self._connect()
                except (ChannelError, ConfigurationError) as error:
                    rest = batch[len(outcomes) :]
                    outcomes += [
                        Outcome(item.message_id, OutcomeStatus.TEMPORARY, detail=type(error).__name__) for item in rest
                    ]
                    break
            outcomes.append(await self._send(message))
        return outcomes

    async def aclose(self) -> None:
        """Say goodbye to the server."""
        if self._client.is_connected:
            transport = self._client.transport  # the client forgets it when it quits
            try:
                await self._client.quit()
            except aiosmtplib.SMTPException:
                pass
            finally:
                self._hang_up(transport)

    def _hang_up(self, transport: asyncio.BaseTransport | None) -> None:
        """Let go of the connection at once: closing TLS waits for the server's word, which may come after our loop."""
        self._client.close()
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()

    async def _connect(self) -> None:
        if self._client.is_connected:
            return
        try:
            await self._client.connect()
            if self._login[0]:
                await self._client.login(*self._login)
        except aiosmtplib.SMTPAuthenticationError as error:
            self._hang_up(self._client.transport)
            raise ConfigurationError(
                f"the mail server refuses the login ({error.code})",
                where=self._where,
                hint="check username and SMTP_PASSWORD",
            ) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            self._hang_up(self._client.transport)
            raise ChannelError(
                f"the mail server cannot be reached ({type(error).__name__})",
                where=self._where,
                hint="check host, port and tls of [tool.engage.channels.email], then send again",
            ) from error

    async def _send(self, message: Message) -> Outcome:
        try:
            mail = build_email(message, sender=self._sender)
        except ContentError as error:
            bad = isinstance(error, InvalidAddressError)
            reason = PermanentReason.INVALID_ADDRESS if bad else PermanentReason.CONTENT_REJECTED
            return Outcome(message.message_id, OutcomeStatus.PERMANENT, reason, detail=error.what)
        sender = sender_of(str(message.content.get("from") or self._sender))
        try:
            _, told = await self._client.send_message(mail, sender=sender, recipients=[sender_of(message.address)])
        except aiosmtplib.SMTPRecipientsRefused as error:
            refused = error.recipients[0]
            return outcome_of_reply(message.message_id, refused.code, refused.message)
        except aiosmtplib.SMTPResponseException as error:
            return outcome_of_reply(message.message_id, error.code, error.message)
        except (aiosmtplib.SMTPException, OSError) as error:
            # The connection went while the message was under way: it may have been taken.
            self._hang_up(self._client.transport)
            return Outcome(message.message_id, OutcomeStatus.UNKNOWN, detail=type(error).__name__)
        return Outcome(message.message_id, OutcomeStatus.SENT, provider_id=_queue_id(told))


def _queue_id(text: str) -> str | None:
    match = re.search(r"(?:queued as|id=)\s*([\w.\-]+)", text, re.IGNORECASE)
    return match[1] if match else None
