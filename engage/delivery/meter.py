"""How fast a run goes, for whoever watches."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping

from engage.delivery.metrics import BOUNDS
from engage.delivery.records import Result
from engage.delivery.summary import Progress, Report

__all__ = ["Meter"]

_EVERY = 0.2  # seconds between reports
_WINDOW = 10.0  # seconds the rate is taken over


class Meter:
    """Counts what has ended and reports it now and then.

    Args:
        run_id: The run.
        total: Messages to be sent.
        before: What had ended before, by outcome.
        report: Told of progress; None for nobody.
    """

    def __init__(self, run_id: str, total: int, before: Mapping[str, int], report: Report | None) -> None:
        self._run_id, self._total, self._report = run_id, total, report
        self._counts = Counter({outcome: n for outcome, n in before.items() if outcome != "pending"})
        self._seen: deque[tuple[float, int]] = deque([(time.monotonic(), self._counts.total())])
        self._told_at = 0.0
        self._latency: defaultdict[float, list[float]] = defaultdict(list)

    def count(self, results: Iterable[Result]) -> None:
        """Note messages that ended."""
        self._counts.update(f"failed:{r.reason}" if r.state == "failed" else r.state for r in results)

    def answered(self, seconds: float) -> None:
        """Note how long an answer took."""
        self._latency[BOUNDS[bisect_left(BOUNDS, seconds)]].append(seconds)

    def take_latency(self) -> dict[float, tuple[int, float]]:
        """Answers and their seconds in all since this was last asked, by the upper bound of the bucket."""
        taken, self._latency = self._latency, defaultdict(list)
        return {bound: (len(times), sum(times)) for bound, times in taken.items()}

    def tell(self, note: str = "", *, last: bool = False) -> None:
        """Report, unless that was done a moment ago.

        Args:
            note: What is being waited for.
            last: Report in any case.
        """
        now = time.monotonic()
        if self._report is None or (now - self._told_at < _EVERY and not last):
            return
        self._told_at = now
        done = self._counts.total()
        self._seen.append((now, done))
        while now - self._seen[0][0] > _WINDOW:
            self._seen.popleft()
        since, before = self._seen[0]
        rate = (done - before) / (now - since) if now > since else 0.0
        failed = {name.removeprefix("failed:"): n for name, n in self._counts.items() if name.startswith("failed:")}
        left = (self._total - done) / rate if rate > 0 else None
        self._report(
            Progress(
                self._run_id, self._total, self._counts["sent"], failed, self._counts["in_doubt"], rate, left, note
            )
        )
