from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

import engage
from engage.cli import main
from engage.errors import LandingError
from engage.lake.erasure import erase_user
from engage.lake.runs import Run, read_run, write_run
from engage.lake.schema import DATASETS, RECIPIENTS
from tests.examples import times

DAY = datetime(2026, 3, 1, tzinfo=UTC)
FACTS = (
    "select (select count(*) from events), (select count(*) from events where user_id = 'ann'), "
    "(select count(*) from profiles where user_id = 'ann'), (select count(distinct user_id) from audiences)"
)


def fill(workspace: engage.Workspace, days: int = 3) -> None:
    """ann and others on several days, in every dataset, in a run, and under an anonymous id of her own."""
    rows = [
        {
            "user_id": user,
            "event_name": name,
            "event_time": f"2026-03-{day:02}T00:00Z",
            "properties": {"note": "secret"},
        }
        for user in ("ann", "ben", "it's")
        for day in range(1, days + 1)
        for name in ("Charged", "Notification Sent")
    ]
    for anonymous in ("hers", "shared"):
        rows.append({"anonymous_id": anonymous, "event_name": "App Launched", "event_time": "2026-03-01T00:00Z"})
    workspace.land_events(rows)
    workspace.land_profiles([{"user_id": "ann", "email": "secret@example.com"}, {"user_id": "ben"}])
    identities = [
        {"change_id": f"{a}{u}", "anonymous_id": a, "user_id": u, "changed_at": DAY, "received_at": DAY}
        for a, u in (("hers", "ann"), ("shared", "ann"), ("shared", "ben"))
    ]
    workspace.lake.land("identities", pa.Table.from_pylist(identities, DATASETS["identities"].schema))
    device = {"change_id": "d", "user_id": "ann", "changed_at": DAY, "received_at": DAY, "channel": "push",
              "platform": "ios", "token": "secret", "environment": None, "active": True, "source": None}  # fmt: skip
    workspace.lake.land("devices", pa.Table.from_pylist([device], DATASETS["devices"].schema))
    recipients = [
        {"run_id": "r", "seq": seq, "message_id": f"m{seq}", "user_id": user, "planned": "send", "reason": None,
         "channel": "email", "variant": None, "address": f"{user}-secret", "send_at": None, "context": "{}"}
        for seq, user in enumerate(("ann", "ben"))
    ]  # fmt: skip
    run = Run("r", "c", "C", "email", DAY)
    write_run(workspace.settings, run, pa.Table.from_pylist(recipients, RECIPIENTS))


def test_nothing_of_them_is_left_and_nothing_else_is_gone(workspace: engage.Workspace) -> None:
    fill(workspace)
    with pytest.raises(LandingError, match="run r, which is not finished"):
        workspace.erase_user("ann")
    assert workspace.sql(FACTS).row(0) == (20, 7, 1, 2)
    done = erase_user(workspace.lake, "ann", finished={"r"})
    assert done.rows == {"events": 4, "notifications": 3, "profiles": 1, "devices": 1, "identities": 2}
    assert done.runs == ("r",)
    assert workspace.sql(FACTS).row(0) == (13, 0, 0, 2)
    assert workspace.sql("select count(*) from events where anonymous_id is not null").item() == 1
    run = read_run(workspace.settings, "r", verify=True)
    assert run.counts.send == 2
    kept = workspace.sql("select seq, message_id, user_id, address, context from audiences order by seq").rows()
    assert kept[1] == (1, "m1", "ben", "ben-secret", "{}")
    assert kept[0][:2] == (0, "m0")
    assert kept[0][2].startswith("erased-")
    assert kept[0][3:] == (None, None)
    again = erase_user(workspace.lake, "ann", finished={"r"})
    assert (again.rows, again.files) == ({}, 0)
    assert erase_user(workspace.lake, "it's", finished=()).rows == {"events": 3, "notifications": 3}


def test_an_unknown_or_empty_name(workspace: engage.Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LandingError, match="no user is named"):
        workspace.erase_user("")
    main(["-w", str(workspace.root), "erase", "nobody", "--yes"])
    assert "erased no rows; 0 files" in capsys.readouterr().out


ERASE = """
import sys, engage
from engage.lake.erasure import erase_user
ws = engage.Workspace.open(sys.argv[1])
print("ready", flush=True)
erase_user(ws.lake, "ann", finished={"r"})
"""


@pytest.mark.chance
def test_killed_anywhere_it_has_happened_or_not(workspace: engage.Workspace) -> None:
    fill(workspace, days=28)
    before = workspace.sql(FACTS).row(0)
    after = (before[0] - 57, 0, 0, 2)
    chance = random.Random(5)
    for _ in range(times(3)):
        process = subprocess.Popen(
            [sys.executable, "-c", ERASE, str(workspace.root)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(engage.__file__).parent.parent)},
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        facts = workspace.sql(FACTS).row(0)
        assert facts in (before, after)
        read_run(workspace.settings, "r", verify=True)
    erase_user(workspace.lake, "ann", finished={"r"})
    assert workspace.sql(FACTS).row(0) == after
