"""How much memory analyses take, each in a process of its own: ``python bench/memory.py [events] [folder]``.

Makes a lake (in `folder`, where it is left and found again; else in a temporary one), asks each question on both roads,
and prints its seconds and the most memory its process held, Python and all. Fails where that is over 4 GiB.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from made_lake import make, without_derived
from questions import QUESTIONS, Sources

import engage

LIMIT = 4 * 2**30


def _ask(root: Path, name: str) -> None:
    """Ask one question here; print how many rows it has, seconds and bytes."""
    question = next(question for question in QUESTIONS if question.name == name)
    sources = Sources(engage.Workspace.open(root), lambda query: NotImplemented)
    begun = time.perf_counter()
    rows = question.own(sources)
    seconds = time.perf_counter() - begun
    print(len(rows), seconds, _held())


def _held() -> int:
    # Not getrusage: of a new process it tells the most its parent held.
    (most,) = (
        line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    return int(most) * 1024


def _asked(root: Path, name: str) -> tuple[float, int]:
    """Seconds and bytes of one question asked in a new process."""
    command = [sys.executable, __file__, "--ask", str(root), name]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert int(answer[0]), name
    return float(answer[1]), int(answer[2])


def main(events: int, folder: Path) -> None:
    """Make the lake if it is not there, ask everything, print the table."""
    own, raw = folder / "own", folder / "raw"
    if not raw.exists():
        begun = time.perf_counter()
        workspace = make(own, events)
        workspace.compact()
        without_derived(workspace, raw)
        print(f"{events:,} events made in {time.perf_counter() - begun:.0f} s")
    most = 0
    print(f"{'':22} {'raw':>18} {'derived':>18}")
    for question in QUESTIONS:
        cells = []
        for root in (raw, own) if question.has_derived else (raw,):
            seconds, held = _asked(root, question.name)
            cells.append(f"{seconds:7.2f} s {held / 2**30:5.2f} GiB")
            most = max(most, held)
        print(f"{question.name:22} {' '.join(cells)}", flush=True)
    if most > LIMIT:
        sys.exit(f"a question held {most / 2**30:.2f} GiB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--ask"]:
        _ask(Path(sys.argv[2]), sys.argv[3])
    else:
        count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
        with tempfile.TemporaryDirectory() as temporary:
            main(count, Path(sys.argv[2]) if len(sys.argv) > 2 else Path(temporary))
