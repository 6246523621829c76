"""Facebook as a channel: whom a campaign or journey reaches is put into a custom audience that is there already.

An audience that follows a segment is kept in step by :mod:`engage.delivery.audiences` instead, which also takes people
out; give campaigns an audience of their own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import httpx

from engage.channels.facebook.graph import MAX_ROWS, Graph
from engage.channels.facebook.hashing import KEYS, hashed_row
from engage.channels.message import Message, Outcome, Receipt
from engage.channels.registry import Configured
from engage.errors import ChannelError, ConfigurationError, InvalidAddressError
from engage.vocabulary import Channel, OutcomeStatus, PermanentReason

__all__ = ["Facebook"]

_WHERE = "[tool.engage.channels.facebook_audience]"


class Facebook:
    """Puts up to 10,000 people a request into one audience; people are a set, so a repeat changes nothing.

    Args:
        configured: account, audience_id, fields (a profile property for each of Meta's keys), base_url, version;
            access_token, and app_secret where the app asks for a proof.
        now: The clock, for Retry-After.
    """

    name: ClassVar[str] = "facebook"
    channel: ClassVar[str] = Channel.FACEBOOK_AUDIENCE.value
    batch_size = MAX_ROWS
    past = False
    http2 = False
    idempotency: timedelta | None = timedelta(days=1)

    def __init__(self, configured: Configured, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        options, secrets = configured.options, configured.secrets
        self.graph = Graph(
            str(options["account"]),
            secrets["access_token"],
            app_secret=secrets.get("app_secret", ""),
            base_url=str(options["base_url"]),
            version=str(options["version"]),
        )
        self._now = now
        self._audience, self._fields = str(options["audience_id"]), dict(options["fields"])
        if unknown := sorted(set(self._fields) - set(KEYS)):
            what = f"{unknown[0]!r} is not a key of Meta's"
            raise ConfigurationError(what, where=f"{_WHERE} fields", hint=f"there are: {', '.join(KEYS)}")

    def request(self, batch: Sequence[Message]) -> httpx.Request:
        """One session of one request; who has nothing to be matched by is left out of it.

        Raises:
            ConfigurationError: It is not said which audience.
            InvalidAddressError: Nobody of them can be matched.
        """
        if not self._audience.isdecimal():
            hint = "write the number that `engage audience list` shows"
            raise ConfigurationError("audience_id is no audience's number", where=_WHERE, hint=hint)
        rows = [json.dumps(row) for row in map(self._row, batch) if any(row)]
        if not rows:
            raise InvalidAddressError("nothing is known to match the person by", where="facebook")
        joined = "\x1f".join(message.message_id for message in batch)
        number = int.from_bytes(hashlib.sha256(joined.encode()).digest()[:8], "big") >> 2 or 1
        session = {"session_id": number, "batch_seq": 1, "last_batch_flag": True, "estimated_num_total": len(rows)}
        return self.graph.users(self._audience, list(self._fields), rows, session=session)

    def outcomes(self, batch: Sequence[Message], response: httpx.Response) -> list[Outcome]:
        """One answer for all of them; Meta does not say whom it knows."""
        answer = self.graph.answer(response, self._now())
        reason = PermanentReason.REFUSED if answer.status is OutcomeStatus.PERMANENT else None
        limited = answer.status in (OutcomeStatus.RATE_LIMITED, OutcomeStatus.TEMPORARY)
        wait = answer.wait if limited else None
        return [
            Outcome(one.message_id, answer.status, reason, retry_after=wait, detail=answer.detail)
            if any(self._row(one))
            else Outcome(one.message_id, OutcomeStatus.PERMANENT, PermanentReason.INVALID_ADDRESS)
            for one in batch
        ]

    def receipts(self, callback: httpx.Request) -> list[Receipt]:
        """Meta tells nothing of one person.

        Raises:
            ChannelError: Always.
        """
        raise ChannelError("Facebook has no callbacks", where="facebook")

    def _row(self, message: Message) -> list[str]:
        known = dict(message.profile)
        values = {key: message.user_id if name == "user_id" else known.get(name) for key, name in self._fields.items()}
        if not known and message.address != message.user_id:  # a test message, to one address
            values["EMAIL" if "@" in message.address else "PHONE"] = message.address
        return hashed_row(list(self._fields), values, str(known.get("country") or ""))
