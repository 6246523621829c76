"""A journey ticked by processes killed at random moments: ``python bench/journey_chaos.py --kills 200 --seed 1``.

Two workspaces with the same history. In one a process ticks through ten days undisturbed; in the other it is killed
with SIGKILL again and again, and started anew at the tick it was in. In the end moves, notifications and profiles are
held against each other row for row, and what arrived (at a provider in a process of its own, and in the outbox)
against what was told. Exits with 1 on any difference, or when somebody was sent anything twice.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from chaos import life

import engage
from engage.channels.webhook import Webhook

NAME = "welcome"
BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
SPAN = timedelta(days=10)
MAIL = {"kind": "message", "channel": "email", "content": {"subject": "Hello", "text": "Of {{ data.event.name }}"}}
VALUES: dict[str, Any] = {
    "title": "Onboarding",
    "labels": ["Onboarding"],
    "control_percent": 10,
    "caps": {"day": 1},
    "entry": {"event": "App Launched", "to": "hello"},
    "goal": {"event": "Charged"},
    "nodes": {
        "hello": {**MAIL, "to": "look"},
        "look": {
            "kind": "wait",
            "event": "Product Viewed",
            "timeout": "1 day",
            "to": {"next": "often", "timeout": "nudge"},
        },
        "often": {
            "kind": "branch",
            "cases": [{"port": "yes", "event": "Product Viewed", "within": "ever", "at_least": 2}],
            "to": {"yes": "keen", "else": "nudge"},
        },
        "keen": {"kind": "update", "set": {"interest": "keen"}, "to": "tell"},
        "tell": {"kind": "webhook", "to": "rest"},
        "nudge": {**MAIL, "to": "rest"},
        "rest": {"kind": "wait", "for": "2 days", "to": "known"},
        "known": {
            "kind": "branch",
            "cases": [{"port": "yes", "where": {"interest": "keen"}}],
            "to": {"yes": "again", "else": "bye"},
        },
        "again": {"kind": "webhook", "to": "out"},
        "bye": {**MAIL, "to": "out"},
        "out": {"kind": "exit"},
    },
}


def prepare(root: Path, url: str, people: int, seed: int) -> None:
    """Make a workspace with a history and the journey launched at its beginning."""
    engage.Workspace.create(root)
    file = root / "pyproject.toml"
    file.write_text(
        file.read_text()
        + f'\n[tool.engage.channels.webhook]\nprovider = "webhook"\nurl = "{url}"\nallow_private = true\n'
    )
    workspace = engage.Workspace.open(root)
    chance = random.Random(seed)
    users = [f"u{n:05}" for n in range(people)]
    workspace.land_profiles([{"user_id": u, "email": f"{u}@example.com", "changed_at": BEGIN} for u in users])
    events = []
    for user in users:
        first = chance.uniform(0, 8 * 24)
        hours = [("App Launched", first)]
        hours += [("Product Viewed", first + chance.expovariate(1 / 20)) for _ in range(chance.randrange(4))]
        hours += [("Charged", first + chance.uniform(1, 100))] if chance.random() < 0.2 else []
        for name, hour in hours:
            at = BEGIN + timedelta(seconds=round(hour * 3600))
            events.append({"user_id": user, "event_name": name, "event_time": at, "received_at": at})
    workspace.land_events(events)
    workspace.create_journey(NAME, VALUES).launch(BEGIN)


def finished(root: Path) -> int:
    """How many ticks came to their end: a byte each."""
    try:
        return (root / "ticks").stat().st_size
    except FileNotFoundError:
        return 0


def tick(root: Path, ends: Sequence[datetime]) -> None:
    """Tick through what is left of the span."""
    Webhook.past = True  # the endpoint is on this machine, so it may be sent to as of the past
    workspace = engage.Workspace.open(root)
    for end in ends[finished(root) :]:
        for done in workspace.tick_journeys(end):
            if done.error:
                raise RuntimeError(done.error)
        with (root / "ticks").open("ab") as file:
            file.write(b".")


def where(root: Path, ends: Sequence[datetime]) -> str:
    """What a process that was just killed had been at, by what it left."""
    record = engage.Workspace.open(root).journey(NAME).record
    state, end = record.state(), ends[min(finished(root), len(ends) - 1)]
    if (record.reached(state) or BEGIN) < end:
        return "working out moves"
    if state.handed is None or state.handed < end:
        return "moves recorded, nothing handed over"
    return "sending" if state.runs else "messages sent, tick not ended"


def kill(
    root: Path, ends: Sequence[datetime], *, kills: int, seed: int, usual: float, limit: float
) -> tuple[Counter[str], int]:
    """Tick to the end of the span, killed at random moments on the way.

    Args:
        root: The workspace.
        ends: Of the ticks.
        kills: How often; spread over the first nine tenths of the ticks.
        seed: Of the moments.
        usual: Seconds a tick takes; a kill comes up to one and a half times as long after its tick began.
        limit: `time.monotonic()` by which it must be over.

    Returns:
        Kills by what was under way, and how many times a process ended by an error of its own.

    Raises:
        SystemExit: Processes fail by themselves again and again, or it takes too long.
    """
    chance, found, failures = random.Random(seed), Counter[str](), 0
    while True:
        child, due = life(lambda: tick(root, ends)), None
        aim = (sum(found.values()) + chance.random()) * 0.9 * len(ends) / max(1, kills)
        while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
            now = time.monotonic()
            if now > limit:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise SystemExit(f"not over in time: {finished(root)} of {len(ends)} ticks")
            if due is None and sum(found.values()) < kills and finished(root) >= int(aim):
                due = now + chance.uniform(0.0, 1.5 * usual)
            if due is not None and now >= due:
                os.kill(child, signal.SIGKILL)
                due = float("inf")
            time.sleep(0.001)
        if os.WIFSIGNALED(ended[1]):
            found[where(root, ends)] += 1
        elif not ended[1]:
            return found, failures
        elif (failures := failures + 1) > 3:
            raise SystemExit("ticks fail by themselves")


def rows(workspace: engage.Workspace, relation: str, without: str = "") -> Counter[tuple[Any, ...]]:
    """Every row of a relation, as it can be compared."""
    columns = f"* exclude ({without})" if without else "*"
    return Counter(tuple(map(str, row)) for row in workspace.sql(f"select {columns} from {relation}").rows())


def files(workspace: engage.Workspace) -> dict[str, list[str]]:
    """The record's files, the rows of each sorted."""
    ticks = workspace.journey(NAME).record.ticks()
    return {file.name: sorted(map(str, pq.ParquetFile(file).read().to_pylist())) for file in ticks}


def arrived(root: Path, log: Path) -> tuple[Counter[str], int]:
    """Messages by how often they arrived under another key or name, and how many were repeats known by their key."""
    lines = Counter(log.read_text().splitlines()) if log.exists() else Counter[str]()
    ids = Counter(line.split()[1] for line in lines)
    ids.update(file.stem for file in (root / "data" / "outbox").glob("*/*.eml"))
    return ids, sum(n - 1 for n in lines.values())


def verdict(calm: Path, killed: Path, log: Path) -> dict[str, int]:
    """Hold a workspace whose processes were killed against one left in peace, and against what arrived."""
    one, other = engage.Workspace.open(calm), engage.Workspace.open(killed)
    figures: dict[str, int] = {}
    # When a notification was written down is the machine's time; all else of it follows from the span.
    for relation, without in (("transitions", ""), ("notifications", "received_at"), ("profiles", "")):
        first, second = rows(one, relation, without), rows(other, relation, without)
        figures[relation] = first.total()
        figures[f"{relation} that differ"] = (first - second).total() + (second - first).total()
    first, second = files(one), files(other)
    figures["files of moves"] = len(first)
    figures["files that differ"] = sum(first.get(name) != second.get(name) for name in {*first, *second})
    query = "select message_id, user_id, run_id from notifications where event_name = 'Notification Sent'"
    told = {message: (user, run.split("-")[1]) for message, user, run in other.sql(query).rows()}
    ids, repeats = arrived(killed, log)
    figures["sent"] = len(told)
    figures["repeats known by their key"] = repeats
    # Nobody passes a node twice here, so a second message of a node is one too many.
    figures["sent twice"] = sum(n - 1 for n in (*Counter(told.values()).values(), *ids.values()))
    figures["told and arrived differ"] = len(set(told) ^ set(ids))
    return figures


WRONG = (
    "transitions that differ", "notifications that differ", "profiles that differ", "files that differ", "sent twice",
    "told and arrived differ", "failed by themselves",
)  # fmt: skip


def chaos(*, kills: int, people: int, ticks: int, seed: int, limit: float) -> dict[str, Any]:
    """Run it all in a temporary folder.

    Args:
        kills: How often a process is killed.
        people: How many enter.
        ticks: Into how many the span is cut.
        seed: Of history and moments.
        limit: Seconds it may take.

    Returns:
        Figures by name.
    """
    began = time.monotonic()
    ends = [BEGIN + SPAN * (n + 1) / ticks for n in range(ticks)]
    with tempfile.TemporaryDirectory(prefix="engage-journey-chaos-") as name, ExitStack() as stack:
        folder = Path(name)
        roots, urls = (folder / "calm", folder / "killed"), []
        for root in roots:
            log = root.with_suffix(".log")
            command = [sys.executable, str(Path(__file__).with_name("provider.py")), str(log), "0.005"]
            server = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            stack.callback(server.kill)
            assert server.stdout is not None
            urls.append(f"http://127.0.0.1:{int(server.stdout.readline())}/")

        def make() -> None:
            for root, url in zip(roots, urls, strict=True):
                prepare(root, url, people, seed)

        # Everything that asks the lake does so in a process of its own: one that has threads must not be forked.
        if os.waitpid(life(make), 0)[1]:
            raise SystemExit("could not prepare")
        calm, killed = roots
        begun = time.monotonic()
        kill(calm, ends, kills=0, seed=seed, usual=0, limit=began + limit)
        usual = (time.monotonic() - begun) / ticks
        found, failures = kill(killed, ends, kills=kills, seed=seed, usual=usual, limit=began + limit)
        figures = verdict(calm, killed, killed.with_suffix(".log"))
    by_kind = {f"killed, {what}": n for what, n in sorted(found.items())}
    told = {"killed": found.total(), **by_kind, "failed by themselves": failures, "ticks": ticks, **figures}
    return {**told, "seconds a tick": round(usual, 2), "seconds": round(time.monotonic() - began)}


def main() -> None:
    """Read the command line, print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--people", type=int, default=1_000)
    parser.add_argument("--ticks", type=int, default=0, help="a fifth more than kills by default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=900.0, help="seconds it may take")
    given = parser.parse_args()
    ticks = given.ticks or given.kills * 6 // 5
    figures = chaos(kills=given.kills, people=given.people, ticks=ticks, seed=given.seed, limit=given.limit)
    print(json.dumps(figures, indent=1))
    if any(figures[name] for name in WRONG):
        sys.exit(1)


if __name__ == "__main__":
    main()
