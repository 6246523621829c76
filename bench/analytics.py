"""How fast analyses are beside ClickHouse's engine (chdb) and polars: ``python bench/analytics.py [events] [rounds]``.

All engines read the same Parquet files in one process and one run, in turns; each answer is compared before anything is
timed. What is printed are seconds, the best of the rounds, and how many times as fast as chdb each road of this product
is: `raw` reads the lake, `derived` the tables kept beside it. chdb needs ``pip install 'engage[bench]'``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import chdb.session
import polars as pl
from made_lake import make, without_derived
from questions import QUESTIONS, Rows, Sources

TARGETS = {  # times as fast as chdb on the raw files: raw, derived
    "retention, first time": (1.4, 15.0),
    "retention, recurring": (1.4, 15.0),
    "segment": (1.0, 5.0),
    "label cohort": (1.6, 20.0),
}


def _timed(ask: Callable[[Sources], Rows], sources: Sources) -> tuple[float, Rows]:
    begun = time.perf_counter()
    rows = ask(sources)
    return time.perf_counter() - begun, [row for row in rows if row[-1]]  # some leave out who did not come


def main(events: int, rounds: int) -> None:
    """Make the lake, ask everything of everyone, print the table."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = make(Path(folder) / "lake", events)
        begun = time.perf_counter()
        workspace.compact()
        print(f"{events:,} events; derived tables made in {time.perf_counter() - begun:.1f} s")
        session = chdb.session.Session()
        session.query("set max_threads = 2")

        def clickhouse(query: str) -> pl.DataFrame:
            return pl.from_arrow(session.query(query, "ArrowTable"))  # type: ignore[return-value]

        own = Sources(workspace, clickhouse)
        raw = Sources(without_derived(workspace, Path(folder) / "raw"), clickhouse)
        print(f"{'':22} {'raw':>7} {'derived':>8} {'chdb':>7} {'polars':>7}   raw ×chdb  derived ×chdb")
        for question in QUESTIONS:
            roads: dict[str, tuple[Callable[[Sources], Rows], Sources]] = {
                "raw": (question.own, raw),
                "chdb": (question.chdb, own),
            }
            if question.has_derived:
                roads["derived"] = (question.own, own)
            if question.polars:
                roads["polars"] = (question.polars, own)
            best: dict[str, float] = {}
            answers: dict[str, Rows] = {}
            for _ in range(rounds):
                for name, (ask, sources) in roads.items():
                    seconds, rows = _timed(ask, sources)
                    best[name] = min(best.get(name, seconds), seconds)
                    answers[name] = rows
            for name, rows in answers.items():
                only = sorted(set(rows) ^ set(answers["chdb"]))[:5]
                assert rows == answers["chdb"], f"{question.name}: {name} differs from chdb, e.g. in {only}"
            cells = [
                f"{best[name]:7.3f}" if name in best else "      –" for name in ("raw", "derived", "chdb", "polars")
            ]
            ratios = [best["chdb"] / best[name] if name in best else None for name in ("raw", "derived")]
            told = [f"{ratio:9.1f}" if ratio else "        –" for ratio in ratios]
            wanted = TARGETS.get(question.name)
            goal = f"   wanted {wanted[0]:g} and {wanted[1]:g}" if wanted else ""
            print(f"{question.name:22} {cells[0]} {cells[1]:>8} {cells[2]} {cells[3]}   {told[0]} {told[1]:>14}{goal}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000, int(sys.argv[2]) if len(sys.argv) > 2 else 5)
