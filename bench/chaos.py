"""Senders killed at random moments until everyone is settled: ``python bench/chaos.py --kills 200 --messages 20000``.

A provider in a process of its own logs what it accepted; senders are killed with SIGKILL and started again. In the
end the provider's log is held against the ledger and the lake. Exits with 1 when a message was lost, or sent twice
without its key or without being in doubt.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pyarrow as pa

import engage
from engage.content.localised import make_renderer
from engage.delivery.pacing import Limits
from engage.delivery.sender import deliver
from engage.lake.runs import Run, read_run, write_run
from engage.lake.schema import RECIPIENTS
from engage.workspace.sending import open_ledger, run_provider

RUN = "chaos-once"


def planned(root: Path, url: str, messages: int, *, batch: int = 1, ledger: str = "") -> engage.Workspace:
    """Make a workspace with one planned run of webhooks."""
    engage.Workspace.create(root)
    file = root / "pyproject.toml"
    table = f'ledger = "{ledger}"\n' if ledger else ""
    channel = f'provider = "webhook"\nurl = "{url}"\nallow_private = true\nbatch_size = {batch}\n'
    text = file.read_text().replace("[tool.engage]\n", f"[tool.engage]\n{table}")
    file.write_text(text + f"\n[tool.engage.channels.webhook]\n{channel}")
    workspace = engage.Workspace.open(root)
    n = messages
    columns = {
        "run_id": [RUN] * n,
        "seq": list(range(n)),
        "message_id": [f"m{i:07}" for i in range(n)],
        "user_id": [f"u{i:07}" for i in range(n)],
        "planned": ["send"] * n,
        "reason": [None] * n,
        "channel": ["webhook"] * n,
        "variant": ["a"] * n,
        "address": [None] * n,
        "send_at": [None] * n,
        "context": ["{}"] * n,
    }
    run = Run(RUN, "chaos", "Chaos", "webhook", datetime(2026, 3, 1, tzinfo=UTC), content={"a": {}})
    write_run(workspace.settings, run, pa.table(columns).cast(RECIPIENTS))
    return workspace


def send(root: Path, *, keyed: bool, concurrency: int, lease: float = 60.0) -> None:
    """Send what is left of the run; a provider without a key answers for what must not be repeated."""
    workspace = engage.Workspace.open(root)
    provider = run_provider(workspace, "webhook", None)
    if not keyed:
        provider.idempotency = None
    with closing(open_ledger(workspace)) as ledger:
        deliver(
            read_run(workspace.settings, RUN),
            lake=workspace.lake,
            ledger=ledger,
            provider=provider,
            make_renderer=make_renderer,
            limits=Limits(concurrency=concurrency, backoff_base=0.05, lease=lease, patience=2 * lease),
        )


def life(work: Callable[[], None]) -> int:
    """Do some work in a process of its own, forked so that a thousand lives cost no thousand imports."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def between(database: str) -> bool:
    """Whether nobody is in the middle of a transaction: who is held there keeps others from taking over anything.

    Args:
        database: URL of a Postgres database, or a SQLite file.
    """
    time.sleep(0.005)
    if database.startswith("postgresql:"):
        held = (
            "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in trans%'"
        )
        with psycopg.connect(database, autocommit=True) as connection:
            return bool(connection.execute(held).fetchone() == (0,))
    with closing(sqlite3.connect(database, timeout=0)) as file:
        try:
            file.execute("begin immediate")
        except sqlite3.OperationalError:
            return False
    return True


def kill(
    log: Path, work: Callable[[], None], *, database: str, kills: int, workers: int, step: int, seed: int,
    pause: float = 0.0,
) -> int:  # fmt: skip
    """Kill senders at random moments, then let them come to an end.

    Args:
        log: The provider's.
        work: What a sender does.
        database: The ledger's, as `between` takes it.
        kills: How often.
        workers: Senders at once.
        step: Messages between kills.
        seed: Of the moments.
        pause: Instead of killing a sender hold it for so many seconds while another begins, and until that has sent
            something or ended, then let it go on.

    Returns:
        How many were killed at work.
    """
    chance, killed, failures = random.Random(seed), 0, 0
    lives = [life(work) for _ in range(workers)]
    never = float("inf")
    another = awake = never
    before, other = 0, 0
    while lives:
        wanted = size(log) + chance.randrange(step * 3 // 2) if killed < kills else None
        victim = chance.choice(lives)
        while (ended := os.waitpid(-1, os.WNOHANG))[0] == 0:
            if wanted is not None and size(log) >= wanted:
                time.sleep(chance.uniform(0.0, 0.03))
                os.kill(victim, signal.SIGSTOP if pause else signal.SIGKILL)
                if pause and not between(database):
                    os.kill(victim, signal.SIGCONT)
                    continue
                wanted = None
                if pause:
                    another, awake = time.monotonic() + pause / 2, time.monotonic() + pause
                    killed += 1
            if another <= time.monotonic():
                before = size(log)
                other = life(work)  # takes over what the lease no longer holds
                lives.append(other)
                another = never
            late = time.monotonic() - awake
            if another == never and late >= 0 and (size(log) > before or other not in lives or late > 60):
                os.kill(victim, signal.SIGCONT)
                awake = never
                wanted = size(log) + chance.randrange(step * 3 // 2) if killed < kills else None
                victim = chance.choice(lives)
            time.sleep(0.001)
        pid, status = ended
        lives.remove(pid)
        if os.WIFSIGNALED(status):
            killed += 1
            lives.append(life(work))
        elif status:
            failures += 1
            if failures > 3:
                raise SystemExit("senders fail by themselves")
            lives.append(life(work))
    return killed


def size(log: Path) -> int:
    """Lines of the log: each is as long as the first."""
    try:
        with log.open("rb") as file:
            first = len(file.readline())
        return log.stat().st_size // first if first else 0
    except FileNotFoundError:
        return 0


def verdict(workspace: engage.Workspace, log: Path, messages: int, *, keyed: bool) -> dict[str, int]:
    """Hold the provider's log against the lake and the ledger."""
    lines = [line.split() for line in log.read_text().splitlines()]
    deliveries = Counter(message for _, message in lines)
    by_key: dict[str, set[str]] = {}
    for key, message in lines:
        by_key.setdefault(message, set()).add(key)
    query = "select message_id, outcome from outcomes where run_id = $run"
    outcomes = dict(workspace.sql(query, run=RUN).rows())
    counts = workspace.run(RUN).counts()
    told = Counter(outcomes.values())
    doubt = {message for message, outcome in outcomes.items() if outcome == "in_doubt"}
    sent = {message for message, outcome in outcomes.items() if outcome == "sent"}
    repeated = {message: n for message, n in deliveries.items() if n > 1}
    # A provider that takes a key knows a repeated one, so there only another key makes a second message.
    other_key = {message for message, used in by_key.items() if len(used) > 1}
    doubled = other_key if keyed else set(repeated)
    return {
        "messages": messages,
        "sent": len(sent),
        "in doubt": len(doubt),
        "in doubt, delivered": sum(message in deliveries for message in doubt),
        "in doubt, not delivered": sum(message not in deliveries for message in doubt),
        "replays absorbed by key": sum(n - 1 for n in repeated.values()) if keyed else 0,
        "lost": sum(message not in deliveries for message in sent) + messages - len(sent) - len(doubt),
        "doubled": len(doubled),
        "delivered but not told": sum(outcomes.get(message) not in ("sent", "in_doubt") for message in deliveries),
        "ledger and lake disagree": sum(abs(n) for n in (Counter(counts) - told).values())
        + sum((told - Counter(counts)).values()),
    }


def chaos(
    *, kills: int, messages: int, seed: int, keyed: bool = True, ledger: str = "", workers: int = 1,
    concurrency: int = 32, batch: int = 1, wait: float = 0.02, lease: float = 60.0, pause: float = 0.0,
) -> dict[str, int]:  # fmt: skip
    """Run it all in a temporary folder.

    Args:
        kills: How often a sender is killed.
        messages: How many there are to be sent.
        seed: Of the moments.
        keyed: The provider takes an idempotency key.
        ledger: URL of a Postgres database; SQLite by default.
        workers: Senders at once.
        concurrency: Requests under way at once in each.
        batch: Messages a request.
        wait: Seconds the provider takes.
        lease: Seconds until a batch may be taken from a sender that does not renew it and is not known to be dead.
        pause: Instead of killing senders hold them for so many seconds.

    Returns:
        Figures by name, `killed` and `seconds` among them.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="engage-chaos-") as folder:
        log, root = Path(folder) / "accepted.log", Path(folder) / "workspace"
        command = [sys.executable, str(Path(__file__).with_name("provider.py")), str(log), str(wait)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            try:
                url = f"http://127.0.0.1:{int(server.stdout.readline())}/"
                workspace = planned(root, url, messages, batch=batch, ledger=ledger)

                def work() -> None:
                    send(root, keyed=keyed, concurrency=concurrency, lease=lease)

                step = max(1, messages // max(1, kills))
                database = ledger or str(workspace.settings.ledger)
                killed = kill(
                    log, work, database=database, kills=kills, workers=workers, step=step, seed=seed, pause=pause
                )
            finally:
                server.kill()
        figures = verdict(workspace, log, messages, keyed=keyed)
    return {"killed": killed, **figures, "seconds": round(time.monotonic() - began)}


WRONG = ("lost", "doubled", "delivered but not told", "ledger and lake disagree")


def main() -> None:
    """Read the command line, print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-key", action="store_true", help="the provider takes no idempotency key")
    parser.add_argument("--ledger", default="", help="postgresql://…; SQLite by default")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds to hold a sender instead of killing it")
    parser.add_argument("--lease", type=float, default=60.0)
    given = parser.parse_args()
    figures = chaos(
        kills=given.kills, messages=given.messages, seed=given.seed, keyed=not given.no_key, ledger=given.ledger,
        workers=given.workers, batch=given.batch, pause=given.pause, lease=given.lease,
    )  # fmt: skip
    print(json.dumps(figures, indent=1))
    if any(figures[name] for name in WRONG) or (figures["in doubt"] and not given.no_key):
        sys.exit(1)


if __name__ == "__main__":
    main()
