"""Words by which people stop text messages, and take that back."""

from __future__ import annotations

__all__ = ["opted"]

# CTIA, Messaging Principles and Best Practices, 5.1.3; https://www.twilio.com/docs/messaging/features/advanced-opt-out
_STOP = frozenset(
    {"STOP", "STOPALL", "STOP ALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT", "OPT OUT"}
)
_START = frozenset({"START", "UNSTOP"})


def opted(text: str) -> str:
    """``STOP`` or ``START`` where a reply is such a word alone, in any case and with a full stop or not; else empty."""
    word = " ".join(text.upper().strip(" .!\r\n\t").split())
    return "STOP" if word in _STOP else "START" if word in _START else ""
