"""What an answer means for a message, given what went before."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from engage.vocabulary import OutcomeStatus

__all__ = ["Verdict", "verdict"]


class Verdict(NamedTuple):
    """What becomes of a message.

    Args:
        state: ``sent``, ``failed``, ``in_doubt`` or ``retry``.
        maybe: This or an earlier attempt may have been delivered.
        gave_up: It failed only because there were too many attempts.
    """

    state: str
    maybe: bool
    gave_up: bool = False


@lru_cache(maxsize=64)
def verdict(status: OutcomeStatus, *, maybe: bool, keyed: bool, exhausted: bool) -> Verdict:
    """Judge one answer.

    Once an attempt's outcome is unknown, a later refusal proves nothing: the first may have been delivered and the
    repetition refused. So it ends in doubt, never as failed.

    Args:
        status: What the provider's answer to this attempt means.
        maybe: An earlier attempt may have been delivered.
        keyed: The very same request may be sent again: the provider still knows its key.
        exhausted: There were as many attempts as there may be.

    Returns:
        What becomes of the message. In doubt is left only by a callback or a person.
    """
    match status:
        case OutcomeStatus.SENT:
            return Verdict("sent", maybe=False)
        case OutcomeStatus.PERMANENT:
            return Verdict("in_doubt" if maybe else "failed", maybe)
        case OutcomeStatus.UNKNOWN:
            return Verdict("retry" if keyed and not exhausted else "in_doubt", maybe=True)
        case OutcomeStatus.TEMPORARY if exhausted:
            return Verdict("in_doubt", maybe) if maybe else Verdict("failed", maybe, gave_up=True)
        case _:  # rate-limited, temporary, or a wrong key: certainly not processed
            return Verdict("in_doubt" if maybe and not keyed else "retry", maybe)
