from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

import pyarrow as pa
import pytest

import engage
from engage.channels.message import Message, Outcome
from engage.delivery.control import pause, resolve, resume
from engage.delivery.ledger import Ledger
from engage.delivery.sender import deliver, summarise
from engage.lake.runs import Run, write_run
from engage.lake.schema import RECIPIENTS
from engage.vocabulary import OutcomeStatus


@dataclass
class Mute:
    """Takes every message; of the first `silent` nobody learns that it did."""

    silent: int = 0
    name: ClassVar[str] = "mute"
    channel: ClassVar[str] = "email"
    batch_size: int = 1
    idempotency: None = None
    past: bool = True

    def __post_init__(self) -> None:
        self.taken: list[str] = []

    async def deliver(self, batch: Sequence[Message]) -> list[Outcome]:
        await asyncio.sleep(0)
        self.taken += [message.message_id for message in batch]
        known = len(self.taken) > self.silent
        return [Outcome(m.message_id, OutcomeStatus.SENT if known else OutcomeStatus.UNKNOWN) for m in batch]

    async def aclose(self) -> None:
        pass


class Plain:
    def __init__(self, channel: str, content: Any) -> None:
        pass

    def render(self, context: Any) -> dict[str, str]:
        return {"text": "x"}


def planned(workspace: engage.Workspace, n: int) -> Run:
    rows = [
        {"run_id": "r", "seq": i, "message_id": f"m{i}", "user_id": f"u{i}", "planned": "send", "reason": None}
        | {"channel": "email", "variant": "a", "address": f"u{i}@example.com", "send_at": None, "context": "{}"}
        for i in range(n)
    ]
    run = Run("r", "c", "C", "email", datetime(2026, 3, 1, tzinfo=UTC), content={"a": {}})
    return write_run(workspace.settings, run, pa.Table.from_pylist(rows, RECIPIENTS))


@pytest.mark.parametrize(
    ("word", "counts", "taken"),
    [("sent", {"sent": 10}, 10), ("failed", {"sent": 8, "failed:resolved": 2}, 10), ("retry", {"sent": 10}, 12)],
)
def test_only_a_person_leaves_doubt(workspace: engage.Workspace, word: Any, counts: dict[str, int], taken: int) -> None:
    run, lake, provider = planned(workspace, 10), workspace.lake, Mute(silent=2)
    with closing(Ledger.open(workspace.settings.ledger)) as ledger:

        def send() -> dict[str, int]:
            return deliver(run, lake=lake, ledger=ledger, provider=provider, make_renderer=Plain).counts()

        assert send() == {"sent": 8, "in_doubt": 2}
        assert send() == {"sent": 8, "in_doubt": 2}, "it is not sent again by itself"
        assert len(provider.taken) == 10
        assert resolve(run, word, lake=lake, ledger=ledger) == 2
    with closing(Ledger.open(workspace.settings.ledger)) as ledger:
        assert send() == counts
    outcomes = workspace.sql("select outcome, count(*) as n from outcomes group by 1")
    assert dict(outcomes.rows()) == counts
    assert len(provider.taken) == taken


def test_a_paused_run_sends_nothing_until_it_goes_on(workspace: engage.Workspace) -> None:
    run, provider = planned(workspace, 4), Mute()
    with closing(Ledger.open(workspace.settings.ledger)) as ledger:
        ledger.begin("r", recipients=run.recipients_sha256, batches=[(0, 4, 0.0)], now=0.0)
        assert pause(run, ledger)
        options: dict[str, Any] = {"lake": workspace.lake, "ledger": ledger, "provider": provider}
        assert deliver(run, make_renderer=Plain, **options).state == "paused"
        assert provider.taken == []
        assert resume(run, ledger)
        assert not resume(run, ledger)
    with closing(Ledger.open(workspace.settings.ledger)) as ledger:
        options["ledger"] = ledger
        assert deliver(run, make_renderer=Plain, **options).counts() == {"sent": 4}
        assert summarise(run, ledger).state == "completed"


def test_what_the_provider_tells_later_ends_the_doubt(workspace: engage.Workspace) -> None:
    run, lake, provider = planned(workspace, 6), workspace.lake, Mute(silent=4)
    with closing(Ledger.open(workspace.settings.ledger)) as ledger:
        counts = deliver(run, lake=lake, ledger=ledger, provider=provider, make_renderer=Plain).counts()
    assert counts == {"sent": 2, "in_doubt": 4}
    assert workspace.settle_doubt() == 0
    told = [("m0", "Notification Delivered", None), ("m1", "Notification Clicked", None)]
    told.append(("m2", "Notification Failed", "hard_bounce"))
    workspace.land_events(
        [
            {"user_id": f"u{n}", "event_name": name, "event_id": f"callback-{n}", "event_time": "2026-03-02",
             "properties": {"message_id": message, "run_id": "r", "channel": "email", "reason": reason}}
            for n, (message, name, reason) in enumerate(told)
        ]
    )  # fmt: skip
    assert workspace.settle_doubt() == 3
    assert workspace.settle_doubt() == 0
    expected = {"sent": 4, "failed:hard_bounce": 1, "in_doubt": 1}
    assert workspace.run("r").counts() == expected
    outcomes = workspace.sql("select outcome, count(*) as n from outcomes group by 1")
    assert dict(outcomes.rows()) == expected
