from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from engage.errors import ConfigurationError
from engage.server.journal import Backlogged, Journal


def test_what_was_appended_is_there_after_the_process_let_go(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")

    async def many() -> None:
        await asyncio.gather(*(journal.append(f"{i}\n".encode()) for i in range(50)))

    asyncio.run(many())
    journal.close()
    again = Journal(tmp_path / "journal")
    try:
        lines = b"".join(path.read_bytes() for path in again.closed()).splitlines()
        assert sorted(map(int, lines)) == list(range(50))
        assert again.bytes == sum(path.stat().st_size for path in again.closed())
        for path in again.closed():
            again.forget(path)
        assert again.bytes == 0
    finally:
        again.close()


def test_a_full_log_refuses_and_says_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", limit=10)

    async def go() -> None:
        await journal.append(b"123456\n")
        with pytest.raises(Backlogged):
            await journal.append(b"123456\n")

    try:
        asyncio.run(go())
        assert b"".join(path.read_bytes() for path in journal.closed()) == b"123456\n"
    finally:
        journal.close()


def test_two_servers_cannot_write_one_log(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    try:
        with pytest.raises(ConfigurationError, match="another server"):
            Journal(tmp_path / "journal")
    finally:
        journal.close()
