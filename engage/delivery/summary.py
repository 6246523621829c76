"""How far a run has got."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

__all__ = ["Progress", "Report", "Summary"]


@dataclass(frozen=True, slots=True)
class Progress:
    """What to show while a run is being sent.

    Args:
        run_id: The run.
        total: Messages to be sent.
        sent: Accepted by the provider.
        failed: Ended otherwise, by reason.
        in_doubt: Left without an answer.
        rate: Messages a second over the last seconds.
        seconds_left: At that rate; None when there is no telling.
        note: What is being waited for, if anything.
    """

    run_id: str
    total: int
    sent: int
    failed: Mapping[str, int]
    in_doubt: int
    rate: float = 0.0
    seconds_left: float | None = None
    note: str = ""

    @property
    def done(self) -> int:
        """Messages that have ended."""
        return self.sent + sum(self.failed.values()) + self.in_doubt

    @property
    def line(self) -> str:
        """How it goes, in a few words: what is waited for, or rate, failures by reason, doubt and time left."""
        if self.note:
            return self.note
        parts = [f"{self.rate:,.0f}/s"]
        parts += [f"{n:,} failed: {reason.replace('_', ' ')}" for reason, n in sorted(self.failed.items())]
        if self.in_doubt:
            parts.append(f"{self.in_doubt:,} in doubt")
        if self.seconds_left is not None and self.done < self.total:
            minutes, seconds = divmod(round(self.seconds_left), 60)
            parts.append(f"{minutes}:{seconds:02} left")
        return ", ".join(parts)


Report = Callable[[Progress], None]
"""Told of progress a few times a second."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of everyone in a run's audience; the parts add up to it.

    Args:
        run_id: The run.
        state: ``planned``, ``running``, ``paused``, ``stopping``, ``stopped``, ``completed`` or ``failed``.
        sent: Messages a provider accepted.
        held_out: People of the control group.
        excluded: People left out when the run was planned, by reason.
        failed: Messages that ended otherwise, by reason.
        in_doubt: Messages that left and were never answered.
        pending: Messages still to be sent.
        next_at: When the earliest of those is due, if that is known and not now.
        error: What stopped the run.
        campaign_id: The campaign or journey it belongs to.
        retry_of: The run whose failures it tries again; empty for a run of its own.
        fallback_of: The run whose people it reaches on another channel; empty for a run of its own.
    """

    run_id: str
    state: str
    sent: int = 0
    held_out: int = 0
    excluded: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    in_doubt: int = 0
    pending: int = 0
    next_at: datetime | None = None
    error: str = ""
    campaign_id: str = ""
    retry_of: str = ""
    fallback_of: str = ""

    @property
    def audience(self) -> int:
        """Everyone."""
        parts = (self.sent, self.held_out, self.in_doubt, self.pending)
        return sum(parts) + sum(self.excluded.values()) + sum(self.failed.values())

    def counts(self) -> dict[str, int]:
        """People by outcome: ``sent``, ``held_out``, ``excluded:<reason>``, ``failed:<reason>``, ``in_doubt``,
        ``pending``; those nobody has are left out."""
        counts = {"sent": self.sent, "held_out": self.held_out}
        counts |= {f"excluded:{reason}": n for reason, n in self.excluded.items()}
        counts |= {f"failed:{reason}": n for reason, n in self.failed.items()}
        counts |= {"in_doubt": self.in_doubt, "pending": self.pending}
        return {outcome: n for outcome, n in counts.items() if n}

    def joined(self, others: Sequence[Summary]) -> Summary:
        """This run and those for its people on other channels as one; each person is in one of them.

        Its state is that of whichever is least far.
        """
        runs = (self, *others)
        excluded: Counter[str] = Counter()
        failed: Counter[str] = Counter()
        for run in runs:
            excluded.update(run.excluded)
            failed.update(run.failed)
        return replace(
            self,
            state=min((run.state for run in runs), key=_FAR.index),
            sent=sum(run.sent for run in runs),
            held_out=sum(run.held_out for run in runs),
            excluded=dict(sorted(excluded.items())),
            failed=dict(sorted(failed.items())),
            in_doubt=sum(run.in_doubt for run in runs),
            pending=sum(run.pending for run in runs),
            next_at=min((run.next_at for run in runs if run.next_at), default=None),
            error=next((run.error for run in runs if run.error), ""),
        )


_FAR = ("failed", "planned", "running", "stopping", "paused", "stopped", "completed")
