"""What the ledger knows, as OpenMetrics text.

Source: https://prometheus.io/docs/specs/om/open_metrics_spec/ (1.0). Counters are the ledger's own, so they are
the same whichever process is asked, and go on across restarts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import accumulate

from engage.delivery.ledger import Ledger

__all__ = ["BOUNDS", "metrics"]

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, float("inf"))
"""Upper bounds of the histogram of answers, in seconds."""


def metrics(ledger: Ledger, channels: Mapping[str, str]) -> str:
    """Describe all runs.

    Args:
        ledger: The ledger.
        channels: The channel of each run, by its id.

    Returns:
        OpenMetrics text, to be served as ``application/openmetrics-text; version=1.0.0; charset=utf-8``. Nothing in it
        tells of a person.
    """
    ended, pending, doubt, states = Counter[tuple[str, str, str]](), Counter[str](), Counter[str](), Counter[str]()
    for run_id, state, counts in ledger.totals():
        channel = channels.get(run_id, "")
        states[state] += 1
        for outcome, n in counts.items():
            if outcome == "pending":
                pending[channel] += n if state not in ("stopped", "completed") else 0
            elif outcome == "in_doubt":
                doubt[channel] += n
            else:
                word, _, reason = outcome.partition(":")
                ended[channel, word, reason] += n
    lines = ["# TYPE engage_messages counter", "# HELP engage_messages Messages that ended, by outcome and reason."]
    for (channel, word, reason), n in sorted(ended.items()):
        lines.append(f"engage_messages_total{_labels(channel=channel, outcome=word, reason=reason)} {n}")
    for name, about, values in (
        ("pending", "Messages still to be sent.", pending),
        ("in_doubt", "Messages that left and were never answered.", doubt),
    ):
        lines += [f"# TYPE engage_messages_{name} gauge", f"# HELP engage_messages_{name} {about}"]
        lines += [f"engage_messages_{name}{_labels(channel=key)} {n}" for key, n in sorted(values.items())]
    lines += ["# TYPE engage_runs gauge", "# HELP engage_runs Runs by state."]
    lines += [f"engage_runs{_labels(state=state)} {n}" for state, n in sorted(states.items())]
    lines += [
        "# TYPE engage_request_seconds histogram",
        "# UNIT engage_request_seconds seconds",
        "# HELP engage_request_seconds Time providers took to answer a request.",
    ]
    for provider, buckets in sorted(ledger.latency().items()):
        numbers = [buckets.get(bound, (0, 0.0))[0] for bound in BOUNDS]
        for bound, n in zip(BOUNDS, accumulate(numbers), strict=True):
            le = "+Inf" if bound == float("inf") else str(bound)
            lines.append(f"engage_request_seconds_bucket{_labels(provider=provider, le=le)} {n}")
        lines.append(f"engage_request_seconds_count{_labels(provider=provider)} {sum(numbers)}")
        total = sum(seconds for _, seconds in buckets.values())
        lines.append(f"engage_request_seconds_sum{_labels(provider=provider)} {total:.6f}")
    return "\n".join([*lines, "# EOF", ""])


def _labels(**values: str) -> str:
    kept = {name: value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for name, value in values.items()}
    return "{" + ",".join(f'{name}="{value}"' for name, value in kept.items()) + "}"
