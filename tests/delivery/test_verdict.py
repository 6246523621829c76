from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.delivery.pacing import Gate, Limits, backoff
from engage.delivery.verdict import verdict
from engage.vocabulary import OutcomeStatus

S = OutcomeStatus


@pytest.mark.parametrize(
    ("status", "maybe", "keyed", "exhausted", "state"),
    [
        (S.SENT, True, False, True, "sent"),
        (S.PERMANENT, False, False, False, "failed"),
        (S.PERMANENT, True, True, False, "in_doubt"),  # attempt 1 was delivered, its repetition refused
        (S.UNKNOWN, False, False, False, "in_doubt"),
        (S.UNKNOWN, False, True, False, "retry"),
        (S.UNKNOWN, False, True, True, "in_doubt"),
        (S.TEMPORARY, False, False, False, "retry"),
        (S.TEMPORARY, False, False, True, "failed"),
        (S.TEMPORARY, True, True, True, "in_doubt"),
        (S.RATE_LIMITED, False, False, True, "retry"),
        (S.RATE_LIMITED, True, False, False, "in_doubt"),
        (S.CONFIG_ERROR, False, False, True, "retry"),
    ],
)
def test_what_an_answer_means(status: S, maybe: bool, keyed: bool, exhausted: bool, state: str) -> None:
    assert verdict(status, maybe=maybe, keyed=keyed, exhausted=exhausted).state == state


@given(st.sampled_from(list(S)), st.booleans(), st.booleans(), st.booleans())
def test_doubt_is_never_forgotten(status: S, maybe: bool, keyed: bool, exhausted: bool) -> None:
    judged = verdict(status, maybe=maybe, keyed=keyed, exhausted=exhausted)
    if maybe or status is S.UNKNOWN:
        assert judged.state != "failed"
        assert judged.state == "sent" or judged.maybe
        assert judged.state != "retry" or keyed


@given(st.integers(1, 10_000), st.integers())
def test_backoff_stays_within_its_bounds(attempt: int, seed: int) -> None:
    wait = backoff(attempt, base=1.0, cap=300.0, chance=random.Random(seed))
    assert 0.0 <= wait <= min(300.0, 2.0 ** min(attempt - 1, 60))


def gate(limits: Limits) -> tuple[Gate, list[float]]:
    clock = [0.0]
    return Gate(limits, chance=random.Random(1), clock=lambda: clock[0]), clock


def test_a_rate_is_kept_over_a_minute() -> None:
    entrance, clock = gate(Limits(per_second=20.0))
    left = 0
    while clock[0] < 60.0:
        if entrance.wait() == 0.0:
            entrance.admit(1)
            left += 1
        else:
            clock[0] += 0.001
    assert 1195 <= left <= 1203


def test_a_storm_of_failures_opens_the_breaker_once_and_a_probe_closes_it() -> None:
    entrance, clock = gate(Limits(breaker=5, backoff_base=1.0))
    for _ in range(64):  # all were under way when the provider went down
        entrance.failed()
    assert 0.25 <= entrance.wait() <= 1.0
    clock[0] += 1.0
    assert entrance.wait() == 0.0
    entrance.admit(1)
    assert entrance.wait() > 0.0, "one probe at a time"
    entrance.succeeded()
    assert entrance.wait() == 0.0
    assert entrance.down_for == 0.0
