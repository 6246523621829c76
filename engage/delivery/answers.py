"""What a provider answered in its own words, kept with what failed: shortened, without addresses and secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace

import httpx

from engage.channels.message import Message, Outcome
from engage.vocabulary import OutcomeStatus

__all__ = ["KEPT", "with_answers"]

KEPT = 500
"""Characters of a detail that are kept."""

_READ = 4_000  # bytes of an answer that are looked at
_HIDDEN = re.compile(
    r"[^\s\"'<>(),;:@]+@[^\s\"'<>(),;:]+"  # a mail address
    r"|\+?[0-9][0-9 ()./-]{6,}[0-9]"  # a phone number, or as long a number
    r"|[A-Za-z0-9_+/=~%.-]{24,}"  # a token, a key, a signature
)


def with_answers(outcomes: Sequence[Outcome], batch: Sequence[Message], response: httpx.Response) -> list[Outcome]:
    """Put the answer's own words behind the details of what was not sent.

    Where the answer to several messages is a list with an item for each (Postmark), each has the words of its item;
    another answer about many is nobody's own.

    Args:
        outcomes: One a message, in their order; what was sent needs no words.
        batch: The request's messages.
        response: The answer, read whole.
    """
    if all(outcome.status is OutcomeStatus.SENT for outcome in outcomes):
        return list(outcomes)
    texts = [response.content[:_READ].decode("utf-8", "replace")] if len(batch) == 1 else _items(batch, response)
    return [
        one if one.status is OutcomeStatus.SENT else replace(one, detail=_detail(one.detail, _plain(text, message)))
        for one, message, text in zip(outcomes, batch, texts, strict=True)
    ]


def _items(batch: Sequence[Message], response: httpx.Response) -> list[str]:
    try:
        items = response.json()
    except (ValueError, RecursionError):
        items = None
    if not isinstance(items, list) or len(items) != len(batch):
        return [""] * len(batch)
    return [json.dumps(item, ensure_ascii=False)[:_READ] for item in items]


def _plain(text: str, message: Message) -> str:
    for known in (message.address, message.address.removeprefix("+"), message.user_id):
        if len(known) > 3:
            text = text.replace(known, "…")
    text = " ".join(_HIDDEN.sub("…", text).split())
    return "".join(c for c in text if c.isprintable())


def _detail(detail: str, text: str) -> str:
    return f"{detail}: {text}"[:KEPT] if text else detail
