from __future__ import annotations

import asyncio
import gzip
import time
from pathlib import Path
from typing import Any

import pytest

from engage.channels.message import Message, Outcome
from engage.channels.registry import Configured
from engage.channels.webhook import Webhook
from engage.delivery.transport import Caller
from engage.errors import ChannelError, ConfigurationError
from engage.vocabulary import OutcomeStatus, PermanentReason


def ask(url: str, *, private: bool = True, address: str = "", timeout: float = 5.0) -> Outcome:
    options = {"url": url, "headers": {}, "batch_size": 1, "allow_private": private}
    provider = Webhook(Configured("webhook", options, {}, Path()))
    message = Message("m1", "u1", "webhook", address, {})

    async def call() -> Outcome:
        async with Caller(provider, concurrency=2, timeout=timeout) as caller:
            return (await caller([message], provider.request([message])))[0]

    return asyncio.run(call())


def test_a_whole_answer_is_read(edge: Any, says: Any) -> None:
    edge.answer = says(200, b"ok")
    assert ask(edge.url).status == OutcomeStatus.SENT


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "10.1.2.3", "169.254.169.254", "[::ffff:10.0.0.1]"]
)
def test_an_inner_host_in_the_settings_stops_the_run(edge: Any, host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"not on the public internet; allow_private"):
        ask(f"https://{host}:{edge.port}/hook", private=False)
    assert edge.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1"])
def test_an_inner_host_in_a_persons_address_is_that_persons_fault(edge: Any, host: str) -> None:
    outcome = ask("https://hooks.example", private=False, address=f"https://{host}:{edge.port}/hook")
    assert (outcome.status, outcome.reason) == (OutcomeStatus.PERMANENT, PermanentReason.INVALID_ADDRESS)
    assert edge.connections == 0


def test_a_redirect_is_not_followed(edge: Any, says: Any) -> None:
    edge.answer = says(307, b"", f"location: {edge.url}")
    assert ask(edge.url).status == OutcomeStatus.CONFIG_ERROR
    assert len(edge.seen) == 1


def test_an_answer_without_end_fills_no_memory(edge: Any, says: Any) -> None:
    edge.answer = says(200, b"x" * 5_000_000)
    assert ask(edge.url).status == OutcomeStatus.UNKNOWN
    edge.answer = says(200, gzip.compress(bytes(50_000_000)), "content-encoding: gzip")
    assert ask(edge.url).status == OutcomeStatus.UNKNOWN
    edge.answer = says(200, gzip.compress(b"ok"), "content-encoding: gzip")
    assert ask(edge.url).status == OutcomeStatus.SENT


def test_an_answer_that_trickles_in_is_not_waited_for(edge: Any, says: Any) -> None:
    edge.answer = says(200, b"x" * 100, each=0.1)
    began = time.monotonic()
    assert ask(edge.url, timeout=0.3).status == OutcomeStatus.UNKNOWN
    assert time.monotonic() - began < 2


def test_what_breaks_after_writing_is_unknown_and_what_never_connects_is_not(edge: Any, hangs_up: Any) -> None:
    for answer in (
        hangs_up(),
        hangs_up(reset=True),
        hangs_up(after=b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"),
    ):
        edge.answer = answer
        assert ask(edge.url).status == OutcomeStatus.UNKNOWN
    edge.answer = hangs_up(after=b"SSH-2.0-OpenSSH\r\n")
    assert ask(edge.url).status == OutcomeStatus.UNKNOWN
    with pytest.raises(ChannelError, match="cannot be reached"):
        ask("http://does-not-exist.invalid/hook")
    with pytest.raises(ChannelError, match="cannot be reached"):
        ask(f"https://127.0.0.1:{edge.port}/hook")
