"""When a provider may be asked: concurrency, rate limit, Retry-After, back-off and circuit breaker."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from engage.errors import ConfigurationError

__all__ = ["Gate", "Limits", "backoff"]

_WHERE = "[tool.engage.delivery]"


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
        recheck: Seconds after which suppression is looked up again.
        turn: Seconds after which the run is left for others to have their turn; None for never.
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
    recheck: float = 60.0
    turn: float | None = None

    @classmethod
    def read(cls, options: Mapping[str, Any], **defaults: float) -> Limits:
        """Take limits from settings.

        Args:
            options: The ``[tool.engage.delivery]`` table.
            defaults: What holds where it says nothing.

        Raises:
            ConfigurationError: There is no such limit, or it is not a number above 0.
        """
        names = {one.name for one in fields(cls)}
        for name, value in options.items():
            if name not in names:
                near = get_close_matches(name, names, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(names))}"
                raise ConfigurationError(f"there is no limit {name!r}", where=_WHERE, hint=hint)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise ConfigurationError(f"{name} is not a number above 0", where=_WHERE)
            if name in ("concurrency", "attempts", "breaker") and not isinstance(value, int):
                raise ConfigurationError(f"{name} is not a whole number", where=_WHERE)
        return cls(**{**defaults, **options})


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

    def take_over(self, earlier: Gate) -> None:
        """Go on where an earlier sender to the same provider left off: closed for as long, and as wary."""
        self._closed_until = earlier._closed_until
        self._failures, self._trips = earlier._failures, earlier._trips
        self._down_since = self._clock() if earlier._down_since is not None else None

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

    @property
    def is_open(self) -> bool:
        """Whether requests may leave as they come: no rate, no closing time, no failures that count as down."""
        return self._rate is None and not self.closed and self._failures < self._limits.breaker

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
