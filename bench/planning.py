"""How long a plan of a million recipients takes, and how much memory: ``python bench/planning.py [people]``.

Segment, consent, suppression, frequency caps over a million sent messages, variants and a control group; the process
measures itself, so memory is the peak of everything in it after the lake was filled by another.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

import engage
from engage.campaigns.definition import read_campaign
from engage.campaigns.planning import plan
from engage.lake.schema import DATASETS

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIMIT = "750MB"  # of DuckDB's; the process has its own 200 MB beside it


def fill(root: Path, people: int) -> None:
    """Make a lake: profiles, as many sent messages of the last ten days, unsubscriptions and suppressions."""
    workspace = engage.Workspace.create(root)
    file = root / "pyproject.toml"
    text = file.read_text().replace("[tool.engage]", f'[tool.engage]\nmemory_limit = "{LIMIT}"\nthreads = 2', 1)
    file.write_text(text + "\n[tool.engage.caps]\nday = 1\nweek = 2\n")
    users = [f"user-{n:07}" for n in range(people)]
    when = pa.timestamp("us", tz="UTC")
    schema = DATASETS["profiles"].schema
    columns = {
        "change_id": users,
        "user_id": users,
        "changed_at": [NOW - timedelta(days=30)] * people,
        "received_at": [NOW - timedelta(days=30)] * people,
        "properties": [f'{{"email":"{u}@example.com","first_name":"N","country":"DE","language":"de"}}' for u in users],
        "source": ["bench"] * people,
    }
    workspace.lake.land("profiles", pa.table(columns).cast(schema))
    schema = DATASETS["notifications"].schema
    rows: dict[str, object] = {name: pa.nulls(people, schema.field(name).type) for name in schema.names}
    rows |= {
        "event_id": users,
        "user_id": [users[(n * 7919) % people] for n in range(people)],
        "event_name": ["Channel Unsubscribed" if n % 50 == 0 else "Notification Sent" for n in range(people)],
        "event_time": pa.array([NOW - timedelta(minutes=n % 14_400) for n in range(people)], when),
        "received_at": [NOW] * people,
        "channel": ["email"] * people,
        "message_id": users,
        "campaign_id": ["old"] * people,
        "properties": [f'{{"address":"{users[n]}@example.com"}}' if n % 100 == 0 else None for n in range(people)],
    }
    workspace.lake.land("notifications", pa.table(rows).select(schema.names).cast(schema))
    workspace.create_campaign(
        "big",
        {
            "channel": "email",
            "segment": "everyone",
            "control_percent": 10,
            "content": {"subject": "Hi {{ profile.first_name }}", "text": "Hello"},
            "variants": [{"name": "A"}, {"name": "B", "weight": 2}],
        },
    )


def measure(root: Path) -> None:
    """Plan, and print what it took."""
    workspace = engage.Workspace.open(root)
    began = time.perf_counter()
    planned = plan(workspace.engine, read_campaign(workspace.settings, "big"), now=NOW)
    took = time.perf_counter() - began
    # Not ru_maxrss: a process that was started by another begins with that one's peak.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    memory = int(peak[1]) / 2**20 if peak else float("nan")
    counts = planned.run.counts
    print(f"{counts.audience:,} planned in {took:.1f} s, peak {memory:.2f} GiB; {counts.send:,} to send,")
    print(f"{counts.held_out:,} held out, left out: {dict(counts.excluded)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "workspace"
            fill(root, int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
            subprocess.run([sys.executable, __file__, "--measure", str(root)], check=True)
