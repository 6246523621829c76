from __future__ import annotations

from engage.delivery.meter import Meter
from engage.delivery.records import Result
from engage.delivery.summary import Progress


def test_progress_is_told_in_one_line() -> None:
    going = Progress("r", 1000, 400, {"bad_address": 3, "gave_up": 1}, 2, 1234.4, 65.2)
    assert going.line == "1,234/s, 3 failed: bad address, 1 failed: gave up, 2 in doubt, 1:05 left"
    assert Progress("r", 10, 10, {}, 0, 50.0, 0.0).line == "50/s"
    assert Progress("r", 10, 1, {}, 0, 5.0, 2.0, "waiting 9 s for smtp").line == "waiting 9 s for smtp"


def test_what_had_ended_before_counts_but_does_not_make_it_faster() -> None:
    told: list[Progress] = []
    meter = Meter("r", 100, {"sent": 60, "failed:gave_up": 1, "pending": 39}, told.append)
    meter.count([Result(1, "sent"), Result(2, "failed", reason="refused"), Result(3, "in_doubt")])
    meter.tell(last=True)
    [one] = told
    assert (one.sent, dict(one.failed), one.in_doubt, one.done) == (61, {"gave_up": 1, "refused": 1}, 1, 64)
    for seconds in (0.004, 0.005, 0.2, 99.0):
        meter.answered(seconds)
    buckets = meter.take_latency()
    assert {bound: n for bound, (n, _) in buckets.items()} == {0.005: 2, 0.25: 1, float("inf"): 1}
    assert meter.take_latency() == {}
