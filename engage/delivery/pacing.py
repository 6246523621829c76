"""When a provider may be asked: concurrency, rate limit, Retry-After, back-off and circuit breaker."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Gate", "Limits", "backoff"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How hard to press a provider, and how long to wait for it.

    Args:
        concurrency: Requests under way at once.
        per_second: Messages a second; None for no limit.
        timeout: Seconds a provider has to answer.
        attempts: How often a message is tried before it fails for a passing reason.
        backoff_base: Seconds; the first retry waits up to this long, each further one up to twice as long.
        backoff_cap: Seconds no retry waits beyond, unless the provider says so.
        breaker: Failures in a row after which the provider counts as down.
        unreachable: Seconds a provider may be down before the run gives up for now.
        patience: Seconds to wait for what is not due yet before the run is left for later.
        lease: Seconds until another sender may take what this one holds and does not renew.
        land_every: Seconds between landings of receipts.
        grace: Seconds a stop waits for answers under way.
    """

    concurrency: int = 32
    per_second: float | None = None
    timeout: float = 30.0
    attempts: int = 8
    backoff_base: float = 1.0
    backoff_cap: float = 300.0
    breaker: int = 5
    unreachable: float = 20.0
    patience: float = 300.0
    lease: float = 60.0
    land_every: float = 5.0
    grace: float = 30.0


def backoff(attempt: int, *, base: float, cap: float, chance: random.Random) -> float:
    """Seconds before the next attempt: exponential, with full jitter.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

    Args:
        attempt: Attempts made so far, from 1.
        base: Upper bound of the first wait.
        cap: Upper bound of any.
        chance: Where the jitter comes from.
    """
    return chance.uniform(0.0, min(cap, base * 2.0 ** min(attempt - 1, 60)))


class Gate:
    """The entrance to one provider: a token bucket, a closing time and a circuit breaker.

    A Retry-After closes it for all messages, whichever was told. After `breaker` failures in a row it opens for one
    probe at a time, at growing intervals, until one succeeds.

    Args:
        limits: How hard to press.
        per_second: A lower limit of the campaign's own.
        chance: Where jitter comes from.
        clock: Seconds that only go forward.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        per_second: float | None = None,
        chance: random.Random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        rates = [rate for rate in (limits.per_second, per_second) if rate is not None]
        self._rate = min(rates) if rates else None
        self._limits, self._chance, self._clock = limits, chance, clock
        self._burst = max(1.0, self._rate / 10) if self._rate else 0.0
        self._tokens, self._filled = self._burst, clock()
        self._closed_until = 0.0
        self._failures = self._trips = 0
        self._down_since: float | None = None
        self._probing = False

    @property
    def down_for(self) -> float:
        """Seconds since the first of the failures in a row, once they are enough to count as down; else 0."""
        if self._down_since is None or self._failures < self._limits.breaker:
            return 0.0
        return self._clock() - self._down_since

    @property
    def closed(self) -> bool:
        """Whether nothing may leave now, whatever the rate."""
        return self._clock() < self._closed_until

    def wait(self) -> float:
        """Seconds until a request may leave; 0 when one may now."""
        now = self._clock()
        if self._probing and self._failures >= self._limits.breaker:
            return 1.0  # the probe's answer opens or closes the gate sooner
        wait = max(0.0, self._closed_until - now)
        if self._rate is not None:
            self._fill(now)
            if self._tokens < 1.0:
                wait = max(wait, (1.0 - self._tokens) / self._rate)
        return wait

    def admit(self, messages: int) -> None:
        """Count a request that leaves; a batch larger than the bucket is paid for by those after it."""
        if self._rate is not None:
            self._fill(self._clock())
            self._tokens -= messages
        if self._failures >= self._limits.breaker:
            self._probing = True

    def _fill(self, now: float) -> None:
        assert self._rate is not None
        self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
        self._filled = now

    def close_for(self, seconds: float) -> None:
        """Let nothing leave for a while, as the provider asked."""
        self._closed_until = max(self._closed_until, self._clock() + seconds)

    def succeeded(self) -> None:
        """Note an answer that shows the provider at work."""
        self._failures, self._trips, self._down_since, self._probing = 0, 0, None, False

    def failed(self) -> None:
        """Note that the provider could not be reached, or could not do its work."""
        self._failures += 1
        self._probing = False
        if self._down_since is None:
            self._down_since = self._clock()
        if self._failures >= self._limits.breaker and not self.closed:  # others under way then say nothing new
            self._trips += 1
            base = self._limits.backoff_base
            self.close_for(max(base / 4, backoff(self._trips, base=base, cap=60.0, chance=self._chance)))
