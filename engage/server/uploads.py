"""CleverTap's upload API, so that who sends there sends here by changing the address.

Source: https://developer.clevertap.com/docs/upload-events-api (headers, body, answer, ``dryRun``).
"""

from __future__ import annotations

import hmac
import json
import os
from collections import Counter
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from engage.errors import ConfigurationError
from engage.server.clevertap_api import Unprocessed, translate
from engage.server.fields import Rejected, check_depth, dead_letter, journal_line
from engage.server.journal import Journal
from engage.server.json_text import encode
from engage.server.rate import Rate
from engage.server.requests import Answer, append, read_json

__all__ = ["Uploads"]

_BATCH = 1_000  # records, as CleverTap
_SETTING = "ENGAGE_CLEVERTAP_PASSCODES"


class Uploads:
    """Takes records from back ends and answers once they are durable.

    Accounts are in ``ENGAGE_CLEVERTAP_PASSCODES``: ``account:passcode``, more with commas between. Without it nobody
    may upload. Unlike a write key, a passcode is secret.

    Args:
        journal: Where they are kept until landed.
        rate: Records a second that one account may send, on average.

    Raises:
        ConfigurationError: The variable is not written so.
    """

    def __init__(self, journal: Journal, *, rate: float = 50_000) -> None:
        self._journal, self._rate = journal, Rate(rate)
        self._accounts: list[bytes] = []
        for pair in filter(None, map(str.strip, os.environ.get(_SETTING, "").split(","))):
            account, _, passcode = pair.partition(":")
            if not account or len(passcode) < 8:
                raise ConfigurationError(
                    "an entry is not an account and a passcode of 8 characters or more",
                    where=_SETTING,
                    hint="write account:passcode, more with commas between",
                )
            self._accounts.append(f"{account}:{passcode}".encode())

    def routes(self) -> list[Route]:
        """The route of uploads."""
        return [Route("/1/upload", self._upload, methods=["POST"])]

    async def _upload(self, request: Request) -> Response:
        """Events, profiles and device tokens; one that is bad loses no other."""
        try:
            account = self._admit(request)
            records = (await read_json(request)).get("d")
            if not isinstance(records, list) or len(records) > _BATCH:
                raise Answer(400, f"d is not a list of at most {_BATCH} records")
            self._rate.spend(account, len(records))
            with self._journal.receiving() as received_at:
                lines, unprocessed = _lines(records, received_at)
                if lines and request.query_params.get("dryRun") != "1":
                    await append(self._journal, b"".join(lines))
        except Answer as answer:
            refused = {"status": "fail", "error": answer.error, "code": answer.status}
            return JSONResponse(refused, answer.status, headers=answer.headers)
        processed = len(records) - len(unprocessed)
        status = "success" if not unprocessed else "partial" if processed else "fail"
        return JSONResponse({"status": status, "processed": processed, "unprocessed": unprocessed})

    def _admit(self, request: Request) -> bytes:
        account = request.headers.get("x-clevertap-account-id", "").encode()
        given = account + b":" + request.headers.get("x-clevertap-passcode", "").encode()
        if sum(hmac.compare_digest(given, known) for known in self._accounts) == 0:  # all of them, in constant time
            raise Answer(401, "Invalid Credentials")
        return account


def _lines(records: list[Any], received_at: datetime) -> tuple[list[bytes], list[dict[str, Any]]]:
    """Lines of the journal, and what CleverTap would say of the records that are not among them."""
    lines: list[bytes] = []
    unprocessed: list[dict[str, Any]] = []
    seen: Counter[str] = Counter()
    for record in records:
        try:
            key = json.dumps(record, sort_keys=True, default=repr)
            rows = translate(record, nth=seen[key], received_at=received_at)
            lines += [journal_line(row) for row in rows]
            seen[key] += 1
        except (Rejected, RecursionError) as error:
            code = error.code if isinstance(error, Unprocessed) else 512
            why = error.what if isinstance(error, Rejected) else "nested too deeply"
            unprocessed.append({"status": "fail", "code": code, "error": why, "record": _shown(record)})
            lines.append(dead_letter(record, why, received_at))
    return lines, unprocessed


def _shown(record: Any) -> Any:
    """A record as it can be put into an answer; None where JSON cannot hold it."""
    try:
        check_depth({"record": record})
        encode(record)
    except (Rejected, ValueError):
        return None
    return record
