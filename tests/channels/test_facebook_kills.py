"""An audience is pushed by a process that is killed at random requests and started again until it ends."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from datetime import UTC, datetime

import polars as pl

import engage
from engage.channels.facebook.graph import MAX_ROWS
from engage.channels.facebook.hashing import hashed_row
from tests.channels.stand_ins import stand_ins

PEOPLE = 4 * MAX_ROWS + 500
KILLS = 4


def test_after_kills_facebook_has_exactly_the_segment_and_little_was_sent_twice(workspace: engage.Workspace) -> None:
    now, dice = datetime.now(UTC), random.Random(11)
    users = pl.DataFrame({"user_id": [f"u{n}" for n in range(PEOPLE)]})
    workspace.land_profiles(users.with_columns(email=pl.col("user_id") + "@example.com"), now=now)
    yes = {"channel": "facebook_audience"}
    workspace.land_events(
        [
            {"user_id": user, "event_name": "Channel Subscribed", "event_time": now.isoformat(), "properties": yes}
            for user in users["user_id"]
        ],
        now=now,
    )
    (workspace.root / "sql" / "segments" / "all_of_them.sql").write_text(
        "-- Title: All of them\n-- grain: user_id\nselect user_id from profiles\n"
    )
    command = [sys.executable, "-m", "engage", "--workspace", str(workspace.root), "audience", "push", "all_of_them"]
    command += ["--to", "facebook", "--name", "All"]
    with stand_ins() as meta:
        file = workspace.root / "pyproject.toml"
        options = f'[tool.engage.channels.facebook_audience]\naccount = "123"\nbase_url = "{meta.url}/facebook"\n'
        file.write_text(file.read_text() + "\n" + options)
        running = list[subprocess.Popen[bytes]]()
        fatal = {"when": "", "left": 0}

        def kill(when: str) -> None:
            if when == fatal["when"]:
                fatal["left"] = int(fatal["left"]) - 1
                if fatal["left"] == 0:
                    running[-1].send_signal(signal.SIGKILL)
                    running[-1].wait()

        meta.account.taps.append(kill)
        ends = []
        for turn in range(3 * KILLS):
            fatal.update(when=dice.choice(["arrived", "taken"]) if turn < KILLS else "", left=dice.randint(1, 2))
            environment = {**os.environ, "FACEBOOK_ACCESS_TOKEN": "t0ken"}
            running.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL))
            ends.append(running[-1].wait(60))
            if ends[-1] == 0:
                break
        assert ends[-1] == 0
        killed = ends.count(-signal.SIGKILL)
        assert killed >= 2
        wanted = {(("EMAIL", hashed_row(["EMAIL"], {"EMAIL": f"u{n}@example.com"})[0]),) for n in range(PEOPLE)}
        assert meta.account.named("All").rows == wanted
        assert len(meta.account.audiences) == 1
        sent = sum(rows for _, _, rows, _ in meta.account.calls)
        assert PEOPLE <= sent <= PEOPLE + killed * MAX_ROWS, "of what is sent again, no more than what was under way"
