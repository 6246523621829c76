"""Recipients into requests: rendering, and what is wrong with one message kept from the others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence

import httpx

from engage.channels.message import Message
from engage.channels.provider import HttpProvider, Provider
from engage.delivery.held import Group, Held, Job
from engage.delivery.recipients import Rendering
from engage.delivery.records import Result
from engage.errors import ContentError, InvalidAddressError
from engage.vocabulary import PermanentReason

__all__ = ["Preparer"]


class Preparer:
    """Makes requests ready.

    Args:
        provider: Whose requests.
        renderers: Compiled content by variant.
        now: The send's clock, in microseconds since 1970.
    """

    def __init__(self, provider: Provider, renderers: Mapping[str, Rendering], now: Callable[[], int]) -> None:
        self._provider, self._renderers, self._now = provider, renderers, now
        self._http = provider if isinstance(provider, HttpProvider) else None
        # Mail goes one message after the other anyway: alone in its request, no more than one is in doubt after a kill.
        alone = self._http is None and provider.idempotency is None
        self._size = 1 if alone else provider.batch_size

    def fresh(self, held: Held) -> list[Job]:
        """Make ready the next messages of a batch that were never tried.

        Those that cannot be rendered end as failed, without an attempt.

        Returns:
            Usually one request; none where no message could be rendered.
        """
        seqs, messages = [], []
        for seq in held.next_fresh(self._size):
            try:
                messages.append(held.rows.message(seq, self._renderers))
                seqs.append(seq)
            except ContentError as error:
                held.changes.direct.append(self._rejected(seq, error))
        jobs = []
        for part, batch, request in self._requests(seqs, messages):
            if isinstance(request, ContentError):
                held.changes.direct.append(self._rejected(part[0], request))
            else:
                jobs.append(Job(held, part, batch, request, self._body(batch, request)))
        return jobs

    def again(self, held: Held, group: Group) -> list[Job]:
        """Make ready messages that are to be tried again.

        A request whose first attempt may have been delivered is repeated byte for byte or not at all.
        """
        seqs = group.seqs
        size = len(seqs) if group.maybe else self._size
        jobs = []
        for start in range(0, len(seqs), size):
            chunk = seqs[start : start + size]
            try:
                messages = [held.rows.message(seq, self._renderers) for seq in chunk]
            except ContentError as error:
                held.changes.results += [self._given_up(seq, group, str(error)) for seq in chunk]
                continue
            for part, batch, request in self._requests(chunk, messages):
                if isinstance(request, ContentError):
                    held.changes.results.append(self._given_up(part[0], group, str(request)))
                    continue
                body = self._body(batch, request)
                if group.maybe and body != group.body:
                    held.changes.results += [self._given_up(seq, group, "the request is not the same") for seq in part]
                    continue
                job = Job(held, part, batch, request, body, fresh=False)
                job.attempt, job.maybe, job.first_at = group.attempt + 1, group.maybe, group.first_at
                jobs.append(job)
        return jobs

    def _requests(
        self, seqs: Sequence[int], messages: list[Message]
    ) -> list[tuple[Sequence[int], list[Message], httpx.Request | ContentError | None]]:
        """One request, or one a message where the provider cannot express one of them."""
        if not messages:
            return []
        if self._http is None:
            return [(seqs, messages, None)]
        try:
            return [(seqs, messages, self._http.request(messages))]
        except ContentError as error:
            if len(messages) == 1:
                return [(seqs, messages, error)]
        pairs = zip(seqs, messages, strict=True)
        return [one for seq, message in pairs for one in self._requests([seq], [message])]

    def _body(self, batch: Sequence[Message], request: httpx.Request | None) -> str:
        """Hash of what the provider would compare with the first attempt's; empty where it compares nothing."""
        if self._provider.idempotency is None:
            return ""
        if request is not None:
            content = request.content
        else:
            content = json.dumps([(m.message_id, m.address, dict(m.content)) for m in batch], default=str).encode()
        return hashlib.blake2b(content, digest_size=9).hexdigest()

    def _rejected(self, seq: int, error: ContentError) -> Result:
        bad_address = isinstance(error, InvalidAddressError)
        reason = PermanentReason.INVALID_ADDRESS if bad_address else PermanentReason.CONTENT_REJECTED
        return Result(seq, "failed", at=self._now(), reason=reason, detail=str(error)[:200])

    def _given_up(self, seq: int, group: Group, detail: str) -> Result:
        if group.maybe:
            return Result(seq, "in_doubt", 1, at=self._now(), detail=detail[:200])
        return Result(seq, "failed", at=self._now(), reason=PermanentReason.CONTENT_REJECTED, detail=detail[:200])
