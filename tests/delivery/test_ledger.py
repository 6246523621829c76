"""The ledger's contract, held by each database it may be kept in."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import engage
from engage.delivery.ledger import Ledger
from engage.delivery.records import Changes, Claim, Intent, Result
from engage.errors import ConfigurationError, EngageError, PlanError

Open = Callable[[], Ledger]
BATCHES = [(0, 4, 0.0), (4, 8, 0.0), (8, 10, 100.0)]


@pytest.fixture
def opens(ledger_at: str | Path) -> Iterator[Open]:
    """Opens the ledger again and again, each time as another process would."""
    ledgers: list[Ledger] = []

    def open_() -> Ledger:
        ledgers.append(Ledger.open(ledger_at))
        return ledgers[-1]

    yield open_
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def ledger(opens: Open) -> Ledger:
    found = opens()
    found.begin("r", recipients="sha", batches=BATCHES, now=1.0)
    return found


def intent(seq: int, *, attempt: int = 1, maybe: int = 0) -> Intent:
    return Intent(seq, seq, attempt, maybe, "p", "hash", 5.0)


def claimed(ledger: Ledger, owner: str, *, now: float = 50.0, due: float = 50.0, lease: float = 60.0) -> Claim:
    ledger.batches.vouch(owner)
    claim = ledger.batches.claim(1, owner, now=now, due=due, lease=lease)
    assert claim is not None
    return claim


def test_a_run_begins_once_and_with_the_same_recipients(ledger: Ledger, opens: Open) -> None:
    other = opens()
    assert other.begin("r", recipients="sha", batches=BATCHES, now=9.0) == ledger.run("r")
    with pytest.raises(PlanError, match="began with other recipients"):
        other.begin("r", recipients="else", batches=BATCHES, now=9.0)
    assert ledger.counts(1) == {"pending": 10}


def test_a_batch_has_one_holder(ledger: Ledger, opens: Open) -> None:
    first, second = claimed(ledger, "a"), claimed(opens(), "b")
    assert (first.lo, second.lo) == (0, 4)
    assert opens().batches.claim(1, "c", now=50.0, due=50.0, lease=60.0) is None, "the third is not due"
    assert ledger.batches.claim(1, "a", now=500.0, due=50.0, lease=60.0) is not None, "b's lease ran out"
    assert ledger.batches.claim(1, "a", now=9000.0, due=50.0, lease=60.0) is None, "never its own again"


def test_a_zombie_past_its_lease_writes_nothing(ledger: Ledger, opens: Open) -> None:
    zombie = claimed(ledger, "a", lease=1.0)
    other = opens()
    taken = claimed(other, "b", now=52.0)
    assert (taken.number, taken.epoch) == (zombie.number, zombie.epoch + 1)
    lost, state = ledger.batches.commit("a", {zombie: Changes(first=[intent(0)])}, lease_until=1e9)
    assert (lost, state) == ({zombie}, "running")
    assert other.batches.entries(taken) == []
    assert not ledger.batches.landed("a", zombie, seqs=None, outcomes={"sent": 4}, attempted=True, give_back=0.0)
    assert ledger.counts(1)["pending"] == 10


def test_the_batches_of_the_dead_are_free_at_once(opens: Open, ledger_at: str | Path) -> None:
    ledger = opens()
    ledger.begin("r", recipients="sha", batches=BATCHES, now=1.0)
    program = (
        "import sys, time; from engage.delivery.ledger import Ledger; l = Ledger.open(sys.argv[1]); "
        "l.batches.vouch('a'); print(l.batches.claim(1, 'a', now=50.0, due=50.0, lease=1e6).lo, flush=True); "
        "time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(engage.__file__).parent.parent)}
    where = str(ledger_at)
    with subprocess.Popen([sys.executable, "-c", program, where], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"0\n"
        ledger.batches.vouch("b")
        claim = ledger.batches.claim(1, "b", now=51.0, due=51.0, lease=60.0)
        assert claim is not None
        assert claim.lo == 4, "the living keep theirs"
        process.send_signal(signal.SIGKILL)
        process.wait()
    deadline = time.monotonic() + 10  # a server notices a client's death in its own time
    while (claim := ledger.batches.claim(1, "b", now=52.0, due=52.0, lease=60.0)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (claim.lo, claim.epoch) == (0, 2)


def test_a_message_goes_from_intent_to_landed(ledger: Ledger) -> None:
    claim = claimed(ledger, "a")
    commit, landed = ledger.batches.commit, ledger.batches.landed
    commit("a", {claim: Changes(first=[intent(0), intent(1), intent(2)])}, lease_until=1e9)
    assert {(e.seq, e.state) for e in ledger.batches.entries(claim)} == {(0, "sending"), (1, "sending"), (2, "sending")}
    results = [
        Result(0, "sent", at=7, provider_id="x"),
        Result(1, "retry", 1, not_before=60.0),
        Result(2, "failed", reason="refused"),
    ]
    direct = [Result(3, "failed", reason="unsubscribed")]
    commit("a", {claim: Changes(results=results, direct=direct)}, lease_until=1e9)
    assert ledger.counts(1) == {"sent": 1, "failed:refused": 1, "failed:unsubscribed": 1, "pending": 7}
    outcomes = {"sent": 1, "failed:refused": 1, "failed:unsubscribed": 1}
    assert landed("a", claim, seqs=None, outcomes=outcomes, attempted=True, give_back=60.0)
    assert [(e.seq, e.state, e.maybe, e.not_before) for e in ledger.batches.entries(claim)] == [(1, "retry", 1, 60.0)]
    assert ledger.batches.claim(1, "z", now=55.0, due=55.0, lease=9.0).lo == 4  # type: ignore[union-attr]
    assert ledger.batches.claim(1, "z", now=55.0, due=55.0, lease=9.0) is None, "given back until it is due"
    again = ledger.batches.claim(1, "z", now=61.0, due=61.0, lease=9.0)
    assert again is not None
    assert (again.lo, again.attempted) == (0, True)
    commit("z", {again: Changes(again=[intent(1, attempt=2, maybe=1)])}, lease_until=1e9)
    commit("z", {again: Changes(results=[Result(1, "in_doubt", 1, at=8)])}, lease_until=1e9)
    landed("z", again, seqs=None, outcomes={}, attempted=True, give_back=0.0)
    assert ledger.counts(1) == {**outcomes, "in_doubt": 1, "pending": 6}
    assert [entry.seq for entry in ledger.in_doubt(1)] == [1]
    assert ledger.resolve(1, [0, 1, 2], "sent") == 1
    assert ledger.counts(1) == {"sent": 2, "failed:refused": 1, "failed:unsubscribed": 1, "pending": 6}


def test_a_commit_is_all_or_nothing(ledger: Ledger) -> None:
    claim = claimed(ledger, "a")
    ledger.batches.commit("a", {claim: Changes(first=[intent(0)])}, lease_until=1e9)
    with pytest.raises(EngageError, match="not in the state they were left in"):
        ledger.batches.commit("a", {claim: Changes(first=[intent(1)], results=[Result(2, "sent")])}, lease_until=1e9)
    assert [entry.seq for entry in ledger.batches.entries(claim)] == [0]


def test_a_run_is_over_when_no_batch_is_open(ledger: Ledger) -> None:
    assert ledger.finish(1) == "running"
    for _ in range(3):
        claim = claimed(ledger, f"o{_}", due=200.0)
        ledger.batches.landed(f"o{_}", claim, seqs=None, outcomes={"sent": claim.hi - claim.lo}, attempted=True,
                              give_back=0.0)  # fmt: skip
    assert ledger.finish(1) == "completed"
    assert ledger.counts(1) == {"sent": 10, "pending": 0}


def test_what_the_lake_knows_is_taken_over(opens: Open) -> None:
    ledger = opens()
    done = {0: "sent", 1: "failed:refused", 5: "in_doubt"}
    ledger.begin("r", recipients="sha", batches=BATCHES, now=1.0, done=done)
    assert ledger.counts(1) == {"sent": 1, "failed:refused": 1, "in_doubt": 1, "pending": 7}
    assert {entry.seq: entry.state for entry in ledger.batches.entries(claimed(ledger, "a"))} == {
        0: "sent", 1: "failed",
    }  # fmt: skip


def test_of_many_who_claim_at_once_each_batch_goes_to_one(opens: Open) -> None:
    first = opens()
    first.begin("r", recipients="sha", batches=[(n, n + 1, 0.0) for n in range(40)], now=1.0)
    taken: list[int] = []
    failed: list[BaseException] = []

    def take(ledger: Ledger, owner: str) -> None:
        try:
            ledger.batches.vouch(owner)
            while (claim := ledger.batches.claim(1, owner, now=50.0, due=50.0, lease=60.0)) is not None:
                taken.append(claim.number)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=take, args=(opens(), f"o{n}")) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert Counter(taken) == Counter(range(40))


def test_whatever_is_done_to_a_batch_the_sum_holds(opens: Open) -> None:
    chance, ledger = random.Random(5), opens()
    ledger.begin("r", recipients="sha", batches=[(0, 30, 0.0), (30, 60, 0.0)], now=1.0)
    for turn in range(40):
        owner = f"o{turn}"
        ledger.batches.vouch(owner)
        claim = ledger.batches.claim(1, owner, now=1e3 * turn + 50, due=1e9, lease=60.0)
        if claim is None:
            break
        entries = {entry.seq: entry for entry in ledger.batches.entries(claim)}
        fresh = [] if claim.attempted else [seq for seq in range(claim.lo, claim.hi) if seq not in entries]
        taken = chance.sample(fresh, min(len(fresh), 7))
        ledger.batches.commit(owner, {claim: Changes(first=[intent(seq) for seq in taken])}, lease_until=0)
        results = [Result(seq, chance.choice(["sent", "failed", "in_doubt", "retry"]), reason="x") for seq in taken[1:]]
        again = [intent(e.seq, attempt=2) for e in entries.values() if e.state == "retry"]
        ledger.batches.commit(owner, {claim: Changes(results=results, again=again)}, lease_until=0)
        if chance.random() < 0.7:  # otherwise it dies here
            over = [r for r in results if r.state in ("sent", "failed")]
            ledger.batches.landed(
                owner, claim, seqs=[r.seq for r in results if r.state != "retry"],
                outcomes=Counter("sent" if r.state == "sent" else "failed:x" for r in over),
                attempted=len(fresh) == len(taken), give_back=0.0,
            )  # fmt: skip
        counts = ledger.counts(1)
        assert sum(counts.values()) == 60
        assert all(n >= 0 for n in counts.values())
    assert counts["pending"] < 60


def test_what_cannot_be_opened_is_told_in_one_line(tmp_path: Path, postgres_server: str) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"not a database, but long enough to look like one" * 100)
    with pytest.raises(ConfigurationError, match=r"ledger.sqlite: not a usable SQLite file"):
        Ledger.open(tmp_path / "ledger.sqlite")
    with pytest.raises(ConfigurationError, match="Postgres server does not answer") as caught:
        Ledger.open("postgresql://someone:secret@127.0.0.1:1/none")
    assert "secret" not in str(caught.value)
