"""Addresses of a workspace's own server in messages: signed, so that they lead nowhere else and nobody makes up others.

A token says whose message it belongs to and, for a link, where it leads; it holds no address and no time, so the same
message has the same links however often it is rendered. Tokens of one purpose are not valid for another.
"""

from __future__ import annotations

from typing import NamedTuple

from engage.signing import Signer, UntrustedError

__all__ = ["Links", "Who"]


class Who(NamedTuple):
    """Whose message a link is in.

    Args:
        run_id: The run.
        message_id: The message.
        user_id: The person.
        variant: The variant they got; empty when there is only one.
    """

    run_id: str
    message_id: str
    user_id: str
    variant: str = ""


class Links:
    """Makes and reads signed addresses.

    Args:
        base: The server's public address; empty where links are only read.

    Raises:
        ConfigurationError: ENGAGE_SECRET_KEY is not set or too short.
    """

    def __init__(self, base: str) -> None:
        self._base = base.rstrip("/")
        self._signers = {purpose: Signer(f"link-{purpose}") for purpose in ("opened", "clicked", "subscriptions")}

    def pixel(self, who: Who) -> str:
        """The address of the picture that tells that a message was opened."""
        return f"{self._base}/o/{self._signers['opened'].sign(who)}.gif"

    def click(self, who: Who, url: str) -> str:
        """The address that notes a click and leads on to `url`."""
        return f"{self._base}/c/{self._signers['clicked'].sign([*who, url])}"

    def subscriptions(self, who: Who) -> tuple[str, str]:
        """The address that ends the subscription (RFC 8058), and that of the page to choose what one gets."""
        token = self._signers["subscriptions"].sign(who)
        return f"{self._base}/u/{token}", f"{self._base}/p/{token}"

    def read(self, purpose: str, token: str) -> tuple[Who, str] | None:
        """Whose message a token belongs to, and where it leads.

        Args:
            purpose: ``opened``, ``clicked`` or ``subscriptions``.
            token: As it came in.

        Returns:
            None when it was not made here for this purpose.
        """
        try:
            values = self._signers[purpose].read(token)
        except UntrustedError:
            return None
        return Who(*values[:4]), str(values[4]) if len(values) > 4 else ""
