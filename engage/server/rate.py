"""How much one client may send."""

from __future__ import annotations

import time

from engage.server.requests import Answer

__all__ = ["Rate"]


class Rate:
    """A budget a key, filled again as time passes; a single large batch may overdraw it.

    Args:
        per_second: Messages a second on average, and at most at once.
    """

    def __init__(self, per_second: float) -> None:
        self._rate = per_second
        self._budgets: dict[bytes, tuple[float, float]] = {}

    def spend(self, key: bytes, count: int) -> None:
        """Take messages off a key's budget.

        Raises:
            Answer: 429 where it is empty, with the seconds until it is not.
        """
        now = time.monotonic()
        budget, then = self._budgets.get(key, (self._rate, now))
        budget = min(self._rate, budget + (now - then) * self._rate)
        if budget <= 0:
            self._budgets[key] = (budget, now)
            raise Answer(429, "too many messages", **{"Retry-After": str(1 + int(-budget / self._rate))})
        self._budgets[key] = (budget - count, now)
