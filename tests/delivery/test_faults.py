"""Faults at the network's edge and of the disk: every message ends in the right state, none lost, none twice."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import engage
from engage.content.localised import make_renderer
from engage.delivery.ledger import Ledger
from engage.delivery.pacing import Gate, Limits
from engage.delivery.sender import deliver
from engage.delivery.summary import Summary
from engage.errors import ChannelError, ConfigurationError
from engage.lake.runs import Run, read_run, write_run
from engage.lake.schema import RECIPIENTS
from engage.workspace.sending import open_ledger, run_provider

QUICK = Limits(concurrency=4, backoff_base=0.02, backoff_cap=0.2, timeout=0.5, breaker=50, unreachable=20.0)


def planned(workspace: engage.Workspace, url: str, people: int, **more: Any) -> engage.Workspace:
    import pyarrow as pa

    file = workspace.root / "pyproject.toml"
    file.write_text(
        file.read_text()
        + f'\n[tool.engage.channels.webhook]\nprovider = "webhook"\nurl = "{url}"\nallow_private = true\n'
    )
    space = engage.Workspace.open(workspace.root)
    rows = [
        {"run_id": "r", "seq": i, "message_id": f"m{i:03}", "user_id": f"u{i:03}", "planned": "send", "reason": None}
        | {"channel": "webhook", "variant": "a", "address": None, "send_at": None, "context": "{}"}
        for i in range(people)
    ]
    run = Run("r", "c", "C", "webhook", datetime(2026, 3, 1, tzinfo=UTC), content={"a": {}}, **more)
    write_run(space.settings, run, pa.Table.from_pylist(rows, RECIPIENTS))
    return space


def send(space: engage.Workspace, *, keyed: bool = True, limits: Limits = QUICK, **more: Any) -> Summary:
    provider = run_provider(space, "webhook", None)
    if not keyed:
        provider.idempotency = None
    with closing(open_ledger(space)) as ledger:
        return deliver(
            read_run(space.settings, "r"), lake=space.lake, ledger=ledger, provider=provider,
            make_renderer=make_renderer, limits=limits, seed=1, **more,
        )  # fmt: skip


def lake_says(space: engage.Workspace) -> dict[str, int]:
    return dict(space.sql("select outcome, count(*) as n from outcomes group by 1").rows())


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize("fault", ["no answer", "reset", "hung up", "half a body", "slow drip", "500", "garbage"])
def test_an_answer_that_tells_nothing(
    workspace: engage.Workspace, edge: Any, says: Any, hangs_up: Any, fault: str, keyed: bool
) -> None:
    faults = {
        "no answer": says(204, pause=1.2),
        "reset": hangs_up(reset=True),
        "hung up": hangs_up(),
        "half a body": hangs_up(after=b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"),
        "slow drip": says(200, b"x" * 200, each=0.05),
        "500": says(500),
        "garbage": hangs_up(after=b"\x16\x03\x01 not http at all\r\n\r\n"),
    }
    space = planned(workspace, edge.url, 20)
    edge.answers = [says(204), faults[fault], says(204), faults[fault]]
    summary = send(space, keyed=keyed)
    taken = Counter(edge.seen)
    if keyed or fault == "500":  # a webhook's 5xx says it was not taken
        assert summary.counts() == {"sent": 20}
        assert sum(taken.values()) == 22
    else:
        assert summary.counts() == {"sent": 18, "in_doubt": 2}
        assert sum(taken.values()) == 20, "without a key it is not asked again"
    assert len(taken) == 20
    assert lake_says(space) == summary.counts()
    assert send(space, keyed=keyed).counts() == summary.counts()
    assert sum(taken.values()) == len(edge.seen)


def test_a_provider_that_asks_for_time_gets_it_for_every_message(
    workspace: engage.Workspace, edge: Any, says: Any
) -> None:
    space = planned(workspace, edge.url, 12)
    times: list[float] = []

    def answer(connection: Any, key: bytes) -> None:
        times.append(time.monotonic())
        if len(times) == 3:
            says(429, b"", "retry-after: 1")(connection, key)
        else:
            says(204)(connection, key)

    edge.answer = answer
    assert send(space).counts() == {"sent": 12}
    assert max(b - a for a, b in pairwise(times)) >= 0.9
    quiet = next(n for n, (a, b) in enumerate(pairwise(times)) if b - a >= 0.9)
    assert quiet <= 8, "only what was under way, or left before the 429 was read, came after it"


def test_the_wish_to_be_left_alone_outlives_one_send(workspace: engage.Workspace, edge: Any, says: Any) -> None:
    space = planned(workspace, edge.url, 3)
    edge.answers = [says(429, b"", "retry-after: 60")] * 3
    gates: dict[str, Gate] = {}
    short = Limits(concurrency=1, patience=0.3)
    assert send(space, limits=short, gates=gates).counts() == {"pending": 3}
    assert send(space, limits=short, gates=gates).counts() == {"pending": 3}
    assert len(edge.seen) == 1


def test_a_provider_that_is_down_keeps_everybody_pending(workspace: engage.Workspace, edge: Any, says: Any) -> None:
    space = planned(workspace, edge.url, 30)
    edge.answer = says(503)
    impatient = Limits(concurrency=4, backoff_base=0.02, unreachable=0.5, breaker=3)
    with pytest.raises(ChannelError, match=r"webhook has not answered as it should for \d+ s \(HTTP 503\)"):
        send(space, limits=impatient)
    assert space.run("r").counts() == {"pending": 30}
    edge.answer = says(204)
    assert send(space, limits=impatient).counts() == {"sent": 30}


def test_one_message_that_always_fails_gives_up_alone(workspace: engage.Workspace, edge: Any, says: Any) -> None:
    space = planned(workspace, edge.url, 10)

    def answer(connection: Any, key: bytes) -> None:
        says(500 if key == b"m004" else 204)(connection, key)

    edge.answer = answer
    limits = Limits(concurrency=2, attempts=3, backoff_base=0.02, unreachable=0.1, breaker=2)
    assert send(space, limits=limits).counts() == {"sent": 9, "failed:gave_up": 1}
    assert Counter(edge.seen)["m004"] == 3


def test_a_certificate_or_a_name_that_is_wrong_leaves_everybody_pending(workspace: engage.Workspace, edge: Any) -> None:
    impatient = Limits(concurrency=2, backoff_base=0.02, unreachable=0.3, breaker=2, timeout=0.3)
    space = planned(workspace, f"https://127.0.0.1:{edge.port}/", 3)
    with pytest.raises(ChannelError):
        send(space, limits=impatient)
    file = space.root / "pyproject.toml"
    file.write_text(file.read_text().replace(f"https://127.0.0.1:{edge.port}/", "http://nowhere.invalid/"))
    space = engage.Workspace.open(space.root)
    with pytest.raises(ChannelError):
        send(space, limits=impatient)
    assert space.run("r").counts() == {"pending": 3}


def test_what_has_not_left_by_its_end_expires(workspace: engage.Workspace, edge: Any) -> None:
    space = planned(workspace, edge.url, 5, end_at=datetime.now(UTC) - timedelta(seconds=1))
    assert send(space).counts() == {"failed:expired": 5}
    assert edge.seen == []
    assert lake_says(space) == {"failed:expired": 5}


def test_a_stop_waits_for_answers_under_way(workspace: engage.Workspace, edge: Any, says: Any) -> None:
    space = planned(workspace, edge.url, 200)
    stop = threading.Event()

    def answer(connection: Any, key: bytes) -> None:
        if len(edge.seen) >= 20:
            stop.set()
        says(204, pause=0.02)(connection, key)

    edge.answer = answer
    summary = send(space, stop=stop)
    assert summary.in_doubt == 0
    assert summary.sent == len(edge.seen) < 40
    assert send(space).counts() == {"sent": 200}
    assert len(edge.seen) == len(set(edge.seen)) == 200


def test_a_clock_that_jumps_neither_loses_nor_repeats(
    workspace: engage.Workspace, edge: Any, says: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = planned(workspace, edge.url, 60)
    real, shift = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + shift[0])

    def answer(connection: Any, key: bytes) -> None:
        shift[0] = {10: 86_400.0, 30: -86_400.0, 45: 7_200.0}.get(len(edge.seen), shift[0])
        says(500 if len(edge.seen) in (11, 31) else 204)(connection, key)

    edge.answer = answer
    limits = Limits(concurrency=4, backoff_base=0.02, patience=0.2)
    summary = send(space, limits=limits)
    shift[0] = 0.0
    while summary.pending:
        summary = send(space, limits=limits)
        shift[0] += 90_000.0  # whatever the step, the wait ends
    assert summary.counts() == {"sent": 60}
    assert len(set(edge.seen)) == 60
    assert len(edge.seen) == 62


def test_a_ledger_that_others_hold_is_waited_for_and_then_told_of(
    workspace: engage.Workspace, edge: Any, tmp_path: Path
) -> None:
    space = planned(workspace, edge.url, 5)
    with closing(Ledger.open(space.settings.ledger)):
        pass
    with closing(sqlite3.connect(space.settings.ledger, isolation_level=None, check_same_thread=False)) as other:
        other.execute("begin immediate")
        threading.Timer(0.5, other.execute, ("rollback",)).start()
        assert send(space).counts() == {"sent": 5}


DISK_FULL = """
import resource, sys, engage
sys.path.insert(0, sys.argv[2])
import test_faults
space = engage.Workspace.open(sys.argv[1])
limit = space.settings.ledger.stat().st_size + 70_000
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    test_faults.send(space)
except engage.errors.EngageError as error:
    print(error)
"""


def test_a_full_disk_stops_the_run_with_nothing_untold(workspace: engage.Workspace, edge: Any) -> None:
    space = planned(workspace, edge.url, 800)
    with closing(Ledger.open(space.settings.ledger)):
        pass
    root = Path(engage.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", DISK_FULL, str(space.root), str(Path(__file__).parent)],
        env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "ledger.sqlite: it cannot be written" in done.stdout, done.stdout + done.stderr
    before = len(edge.seen)
    assert 0 < before < 800, "it came while sending"
    assert send(space).counts() == {"sent": 800}
    assert len(set(edge.seen)) == 800
    assert len(edge.seen) - 800 <= 3 * QUICK.concurrency, "asked again with their key: what was under way or next"


def test_a_wrong_key_stops_the_run_whatever_is_under_way(workspace: engage.Workspace, edge: Any, says: Any) -> None:
    space = planned(workspace, edge.url, 40)
    edge.answers = [says(204)] * 10
    edge.answer = says(401)
    with pytest.raises(ConfigurationError, match="refuses the key"):
        send(space)
    assert space.run("r").counts() == {"sent": 10, "pending": 30}
    assert space.run("r").state == "failed"


def test_a_fallback_sends_while_the_first_is_down_and_never_what_the_first_may_have_taken(
    workspace: engage.Workspace, edge: Any, hangs_up: Any
) -> None:
    file = workspace.root / "pyproject.toml"
    file.write_text(
        file.read_text()
        + f'\n[tool.engage.channels.webhook]\nprovider = "webhook"\nurl = "{edge.url}"\nallow_private = true\n'
        'fallback = ["outbox"]\n[tool.engage.delivery]\nbackoff_base = 0.02\nunreachable = 0.2\nbreaker = 3\n'
        "concurrency = 2\n"
    )
    space = engage.Workspace.open(workspace.root)
    earlier = datetime.now(UTC) - timedelta(days=1)
    space.land_profiles([{"user_id": f"u{i}", "email": f"u{i}@example.com"} for i in range(10)], now=earlier)
    space.create_campaign("news", {"title": "News", "channel": "webhook", "everyone": True, "content": {}})
    edge.answer = hangs_up()
    summary = space.campaign("news").send()
    maybe = len(set(edge.seen))
    assert 0 < maybe < 10
    assert summary.counts() == {"sent": 10 - maybe, "in_doubt": maybe}
    written = {path.stem for path in (space.settings.outbox / "webhook").iterdir()}
    assert len(written) == 10 - maybe
    assert not written & set(edge.seen)


@pytest.mark.parametrize("keyed", [True, False])
def test_what_was_entered_ahead_stays_once_the_run_is_paused(
    workspace: engage.Workspace, edge: Any, says: Any, keyed: bool
) -> None:
    space = planned(workspace, edge.url, 60)

    def answer(connection: Any, key: bytes) -> None:
        if len(edge.seen) == 12:
            with closing(Ledger.open(space.settings.ledger)) as ledger:
                record = ledger.run("r")
                assert record is not None
                ledger.set_state(record.key, "paused")
        says(204, pause=0.02)(connection, key)

    edge.answer = answer
    paused = send(space, keyed=keyed)
    left = len(edge.seen)
    assert (paused.state, paused.sent, paused.pending) == ("paused", left, 60 - left)
    assert lake_says(space) == {"sent": left, "pending": 60 - left}
    with sqlite3.connect(space.settings.ledger) as ledger:
        states = dict(ledger.execute("select state, count(*) from message group by 1").fetchall())
    ahead = states.get("retry", 0)
    assert "sending" not in states
    assert 0 < ahead <= 2 * QUICK.concurrency if keyed else ahead == 0, "only a key lets messages be entered ahead"
    gone = {f"u{i:03}" for i in range(60) if f"m{i:03}" not in edge.seen}
    # Whoever is suppressed meanwhile is let go, whether or not a row was entered.
    with closing(Ledger.open(space.settings.ledger)) as ledger:
        record = ledger.run("r")
        assert record is not None
        ledger.set_state(record.key, "running")
    done = send(space, keyed=keyed, suppressed=lambda users: gone & set(users))
    assert done.counts() == {"sent": left, "failed:unsubscribed": 60 - left}
    assert len(edge.seen) == len(set(edge.seen)) == left
    assert lake_says(space) == done.counts()


def test_a_channel_has_its_own_pace(workspace: engage.Workspace, edge: Any) -> None:
    space = planned(workspace, edge.url, 40)
    file = space.root / "pyproject.toml"
    file.write_text(file.read_text() + "rate = 40\n[tool.engage.delivery]\nper_second = 1000\n")
    began = time.monotonic()
    assert engage.Workspace.open(space.root).send_run("r").counts() == {"sent": 40}
    assert time.monotonic() - began > 0.7
    file.write_text(file.read_text().replace("rate = 40", 'rate = "fast"'))
    with pytest.raises(ConfigurationError, match="per_second is not a number above 0"):
        engage.Workspace.open(space.root).send_run("r")
