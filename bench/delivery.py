"""How fast a run is sent, against the same client alone: ``python bench/delivery.py [messages] [seconds]``.

The provider is a process of its own on this machine, which answers after so many seconds. "Alone" is the client
with what it needs, rendering and requests, but no ledger and no receipts; "engage" is all of it.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from chaos import RUN, planned

import engage
from engage.channels.provider import HttpProvider
from engage.content.localised import make_renderer
from engage.delivery.pacing import Limits
from engage.delivery.recipients import Recipients, Slice
from engage.delivery.sender import deliver
from engage.delivery.transport import Caller
from engage.lake.runs import read_run, recipients_path
from engage.workspace.sending import open_ledger, run_provider


def alone(workspace: engage.Workspace, messages: int, concurrency: int) -> float:
    """Messages a second of the client alone."""
    run = read_run(workspace.settings, RUN)
    provider = run_provider(workspace, "webhook", None)
    assert isinstance(provider, HttpProvider)
    recipients = Recipients(recipients_path(workspace.settings, RUN), run.counts.send)
    rows = Slice.read(run, recipients, 0, messages)
    recipients.close()
    renderers = {"a": make_renderer("webhook", run.content["a"])}
    size = provider.batch_size
    batches = iter([range(n, min(n + size, messages)) for n in range(0, messages, size)])

    async def work(caller: Caller) -> None:
        for seqs in batches:
            batch = [rows.message(seq, renderers) for seq in seqs]
            await caller(batch, provider.request(batch))

    async def main() -> float:
        async with Caller(provider, concurrency=concurrency, timeout=30) as caller:
            began = time.perf_counter()
            await asyncio.gather(*(work(caller) for _ in range(concurrency)))
            return messages / (time.perf_counter() - began)

    return asyncio.run(main())


def whole(workspace: engage.Workspace, messages: int, concurrency: int) -> float:
    """Messages a second with rendering, ledger and receipts."""
    with closing(open_ledger(workspace)) as ledger:
        began = time.perf_counter()
        summary = deliver(
            read_run(workspace.settings, RUN),
            lake=workspace.lake,
            ledger=ledger,
            provider=run_provider(workspace, "webhook", None),
            make_renderer=make_renderer,
            limits=Limits(concurrency=concurrency),
        )
        seconds = time.perf_counter() - began
    assert summary.sent == messages, summary
    return messages / seconds


def measure(messages: int, wait: float, *, batch: int, concurrency: int) -> None:
    """Print both figures and their ratio."""
    with tempfile.TemporaryDirectory(prefix="engage-bench-") as folder:
        command = [sys.executable, str(Path(__file__).with_name("provider.py")), "-", str(wait)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            try:
                url = f"http://127.0.0.1:{int(server.stdout.readline())}/"
                workspace = planned(Path(folder) / "workspace", url, messages, batch=batch)
                before = alone(workspace, messages, concurrency)
                cpu = resource.getrusage(resource.RUSAGE_SELF)
                rate = whole(workspace, messages, concurrency)
                after = resource.getrusage(resource.RUSAGE_SELF)
            finally:
                server.kill()
    used = (after.ru_utime + after.ru_stime - cpu.ru_utime - cpu.ru_stime) / messages * 1e6
    print(f"{batch:>4} a request, {concurrency:>3} at once, {wait * 1e3:.0f} ms: alone {before:>9,.0f}/s, "
          f"engage {rate:>9,.0f}/s, ratio {rate / before:.2f}, {used:.0f} µs of CPU a message")  # fmt: skip


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    delays = [float(sys.argv[2])] if len(sys.argv) > 2 else [0.0, 0.02]
    for delay in delays:
        for at_once in (32, 128):
            measure(count, delay, batch=1, concurrency=at_once)
    measure(count * 10, delays[0], batch=500, concurrency=8)
