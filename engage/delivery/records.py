"""What the ledger's tables hold, and the values that go in and out of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["TABLES", "Changes", "Claim", "Entry", "Intent", "Result", "RunRecord"]

TABLES = """
create table if not exists run (
    id {identity},
    run_id text not null unique,
    recipients text not null,
    rows bigint not null,
    held_out_landed smallint not null default 0,
    state text not null,
    error text not null default '',
    started_at double precision not null
);
create table if not exists batch (
    run bigint not null,
    number bigint not null,
    lo bigint not null,
    hi bigint not null,
    state text not null default 'open',
    due double precision not null default 0,
    attempted smallint not null default 0,
    owner text,
    epoch bigint not null default 0,
    lease_until double precision not null default 0,
    outcomes text not null default '{{}}',
    primary key (run, number)
) {options};
create table if not exists message (
    run bigint not null,
    seq bigint not null,
    request bigint not null,
    state text not null,
    attempt smallint not null,
    maybe smallint not null,
    provider text not null,
    body text not null,
    first_at double precision not null,
    not_before double precision not null default 0,
    at bigint not null default 0,
    provider_id text,
    reason text,
    detail text,
    suppress bigint not null default 0,
    landed smallint not null default 0,
    primary key (run, seq)
) {options};
create table if not exists latency (
    provider text not null,
    le double precision not null,
    n bigint not null,
    seconds double precision not null,
    primary key (provider, le)
) {options};
create table if not exists gone (
    endpoint text not null primary key,
    since double precision not null
) {options}
"""
"""Statements that make them; `identity` and `options` differ between databases."""


class Intent(NamedTuple):
    """A message that is about to leave.

    Args:
        request: `seq` of the first message of the request it leaves with.
        attempt: 1 for the first.
        maybe: 1 when an earlier attempt may have been delivered.
        provider: Who is asked.
        body: Hash of the request's body, to tell whether a repetition is one.
        first_at: When the first attempt was made, in seconds since 1970; the provider's key lives from then.
    """

    seq: int
    request: int
    attempt: int
    maybe: int
    provider: str
    body: str
    first_at: float


class Result(NamedTuple):
    """What became of an attempt.

    Args:
        state: ``sent``, ``failed``, ``in_doubt`` or ``retry``.
        maybe: 1 when this or an earlier attempt may have been delivered.
        not_before: When to try again, in seconds since 1970.
        at: The send's clock, in microseconds since 1970.
        suppress: 1 when the address is not to be used again; larger where it is known since when, in microseconds
            since 1970.
    """

    seq: int
    state: str
    maybe: int = 0
    not_before: float = 0.0
    at: int = 0
    provider_id: str | None = None
    reason: str | None = None
    detail: str | None = None
    suppress: int = 0
    provider: str = ""


class Entry(NamedTuple):
    """A message's row, as the ledger has it."""

    seq: int
    request: int
    state: str
    attempt: int
    maybe: int
    provider: str
    body: str
    first_at: float
    not_before: float
    at: int
    provider_id: str | None
    reason: str | None
    detail: str | None
    suppress: int
    landed: int


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run, as the ledger has it.

    Args:
        key: Its number in the ledger.
        state: ``running``, ``paused``, ``stopping``, ``stopped``, ``completed`` or ``failed``.
    """

    key: int
    run_id: str
    recipients: str
    rows: int
    held_out_landed: int
    state: str
    error: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A batch held by a sender.

    Args:
        lo: The first `seq`.
        hi: One past the last.
        epoch: How often the batch was claimed; fences earlier holders.
        attempted: Rows without an entry are finished, not still to be sent.
    """

    run: int
    number: int
    lo: int
    hi: int
    epoch: int
    attempted: bool


@dataclass(slots=True)
class Changes:
    """What one commit does to one batch.

    Args:
        first: First attempts about to leave.
        again: Further attempts about to leave.
        results: What became of attempts made.
        direct: Messages that end without an attempt.
    """

    first: list[Intent] = field(default_factory=list)
    again: list[Intent] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    direct: list[Result] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """There is nothing to write."""
        return not (self.first or self.again or self.results or self.direct)
