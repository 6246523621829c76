"""Keeping an audience of an ad network in step: only the difference to what it last confirmed is sent.

An audience is a set of rows, so adding or removing one again changes nothing. What was confirmed lands in the lake
(`ad_audiences`) batch by batch; a kill loses at most the record of one batch, which is then sent again.
"""

from __future__ import annotations

import json
import secrets
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pyarrow as pa

from engage.channels.facebook.graph import MAX_ROWS, Answer, Graph
from engage.errors import ChannelError, PlanError
from engage.lake.landing import Lake
from engage.lake.schema import DATASETS
from engage.query.engine import Engine
from engage.vocabulary import OutcomeStatus

__all__ = ["AudienceSync", "MetaAudiences"]

_ATTEMPTS = 6
_LONGEST = 3600.0  # seconds waited in one go
_AGAIN = {OutcomeStatus.RATE_LIMITED, OutcomeStatus.TEMPORARY, OutcomeStatus.UNKNOWN}


@dataclass(frozen=True, slots=True)
class AudienceSync:
    """What bringing an audience into step did.

    Args:
        name: The audience.
        audience_id: Meta's id of it.
        members: Rows it has now.
        added: Rows Meta confirmed as added.
        removed: Rows Meta confirmed as removed.
        received: Rows Meta says it received.
        invalid: Rows Meta says it could not use; approximate.
    """

    name: str
    audience_id: str
    members: int = 0
    added: int = 0
    removed: int = 0
    received: int = 0
    invalid: int = 0


class MetaAudiences:
    """The custom audiences of one ad account.

    Args:
        graph: Builds the requests.
        lake: Where what was confirmed lands.
        engine: Reads it back.
        client: The network.
        sleep: Waits.
        now: The clock.
    """

    def __init__(
        self,
        graph: Graph,
        lake: Lake,
        engine: Engine,
        client: httpx.Client,
        *,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._graph, self._lake, self._engine, self._client = graph, lake, engine, client
        self._sleep, self._now = sleep, now

    def list(self) -> list[Mapping[str, Any]]:
        """The account's audiences, as Meta has them."""
        found: list[Mapping[str, Any]] = []
        after = ""
        while True:
            body = self._ask(lambda after=after: self._graph.audiences(after))  # type: ignore[misc]
            page = body.get("data")
            found += [one for one in page if isinstance(one, dict)] if isinstance(page, list) else []
            paging = body.get("paging")
            cursors = paging.get("cursors") if isinstance(paging, dict) and paging.get("next") else None
            following = str(cursors.get("after") or "") if isinstance(cursors, dict) else ""
            if not following or following == after:
                return found
            after = following

    def find(self, name: str) -> str | None:
        """Meta's id of an audience, by its name.

        Raises:
            PlanError: Several bear the name.
        """
        ids = [str(one["id"]) for one in self.list() if one.get("name") == name and one.get("id")]
        if len(ids) > 1:
            raise PlanError(f"{len(ids)} audiences are named {name!r}", where="facebook", hint="rename or delete one")
        return ids[0] if ids else None

    def delete(self, name: str) -> bool:
        """Delete an audience by its name, and note that nobody is in it.

        Returns:
            Whether there was one.
        """
        audience_id = self.find(name)
        if audience_id is None:
            return False
        self._ask(lambda: self._graph.delete(audience_id))
        for keys, rows in self._members(name, audience_id).items():
            self._confirm(name, audience_id, keys, sorted(rows), present=False)
        return True

    def sync(
        self, name: str, keys: Sequence[str], rows: Sequence[Sequence[str]], *, replace_all: bool = False
    ) -> AudienceSync:
        """Bring an audience into step with rows; make it if there is none.

        Args:
            name: The audience.
            keys: What the cells are, by Meta's names.
            rows: Hashed rows; the same row twice counts once, one of empty cells not at all.
            replace_all: Send everything and let Meta drop the rest, whatever was confirmed before.

        Returns:
            What was done.

        Raises:
            ChannelError: Meta could not be asked; what it confirmed is kept, and the next sync goes on from there.
            ConfigurationError: The token or account is wrong.
            PlanError: Everybody would be replaced by nobody.
        """
        wanted = {json.dumps(list(row)) for row in rows if any(row)}
        if replace_all and not wanted:
            raise PlanError("an audience cannot be replaced by nobody", where=name, hint="sync it, or delete it")
        audience_id = self.find(name) or str(self._ask(lambda: self._graph.create(name))["id"])
        known = self._members(name, audience_id)
        spelled = ",".join(keys)
        done = AudienceSync(name, audience_id)
        if replace_all:
            done = self._send(done, spelled, sorted(wanted), edge="usersreplace")
            for other, there in known.items():
                gone = there - wanted if other == spelled else there
                self._confirm(name, audience_id, other, sorted(gone), present=False)
                done = replace(done, removed=done.removed + len(gone))
            self._confirm(name, audience_id, spelled, sorted(wanted - known.get(spelled, set())), present=True)
            return replace(done, added=len(wanted - known.get(spelled, set())), members=len(wanted))
        # Removed first: a row that changed in one cell matches the same person by another.
        for other, there in known.items():
            done = self._send(done, other, sorted(there - wanted if other == spelled else there), remove=True)
        done = self._send(done, spelled, sorted(wanted - known.get(spelled, set())))
        return replace(done, members=len(wanted))

    def _send(
        self, done: AudienceSync, keys: str, rows: Sequence[str], *, edge: str = "users", remove: bool = False
    ) -> AudienceSync:
        audience_id = done.audience_id
        session_id = secrets.randbits(62) + 1
        batches = [rows[start : start + MAX_ROWS] for start in range(0, len(rows), MAX_ROWS)]
        received = invalid = 0
        for n, batch in enumerate(batches, 1):
            session = {
                "session_id": session_id,
                "batch_seq": n,
                "last_batch_flag": n == len(batches),
                "estimated_num_total": len(rows),
            }
            cells = [json.loads(row) for row in batch]

            def request(cells: Sequence[Sequence[str]] = cells, session: Mapping[str, Any] = session) -> httpx.Request:
                return self._graph.users(audience_id, keys.split(","), cells, session=session, edge=edge, remove=remove)

            # The first batch of a replacement begins its session: sent twice, it would begin another.
            answer = self._ask(request, blindly=not (edge == "usersreplace" and n == 1))
            received = max(received, _count(answer.get("num_received")))  # of the session so far
            invalid = max(invalid, _count(answer.get("num_invalid_entries")))
            if edge == "users":
                self._confirm(done.name, done.audience_id, keys, batch, present=not remove)
                field = "removed" if remove else "added"
                done = replace(done, **{field: getattr(done, field) + len(batch)})
        return replace(done, received=done.received + received, invalid=done.invalid + invalid)

    def _members(self, name: str, audience_id: str) -> dict[str, set[str]]:
        frame = self._engine.frame(
            "select keys, row from ad_audience_members where audience = $name and audience_id = $id",
            {"name": name, "id": audience_id},
        )
        found: dict[str, set[str]] = {}
        for keys, row in frame.iter_rows():
            found.setdefault(keys, set()).add(row)
        return found

    def _confirm(self, name: str, audience_id: str, keys: str, rows: Sequence[str], *, present: bool) -> None:
        if not rows:
            return
        at, count = self._now(), len(rows)
        columns = {
            "change_id": [uuid.uuid4().hex for _ in rows],
            "audience": [name] * count,
            "audience_id": [audience_id] * count,
            "changed_at": [at] * count,
            "received_at": [at] * count,
            "keys": [keys] * count,
            "row": list(rows),
            "present": [present] * count,
        }
        self._lake.land("ad_audiences", pa.table(columns, schema=DATASETS["ad_audiences"].schema))

    def _ask(self, request: Callable[[], httpx.Request], *, blindly: bool = True) -> Mapping[str, Any]:
        """Ask until Meta says yes or no; a request that may have arrived is repeated where that is harmless."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                answer = self._graph.answer(self._client.send(request(), follow_redirects=False))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                answer = Answer(OutcomeStatus.TEMPORARY, type(error).__name__, {})
            except httpx.HTTPError as error:
                answer = Answer(OutcomeStatus.UNKNOWN, type(error).__name__, {})
            if answer.status is OutcomeStatus.SENT:
                if answer.wait:
                    self._sleep(min(answer.wait, _LONGEST))
                return answer.body
            doubtful = answer.status is OutcomeStatus.UNKNOWN and not blindly
            if answer.status not in _AGAIN or attempt == _ATTEMPTS or doubtful:
                break
            self._sleep(min(answer.wait or 2.0**attempt, _LONGEST))
        self._graph.check(answer)
        raise ChannelError(f"Meta answered {answer.detail}", where="facebook")


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
