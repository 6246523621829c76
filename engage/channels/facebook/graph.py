"""Requests to Meta's Marketing API about custom audiences, and what its answers mean; no I/O.

Source: https://developers.facebook.com/docs/marketing-api/reference/custom-audience/users
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from engage.channels.provider import parse_retry_after
from engage.errors import ChannelError, ConfigurationError
from engage.vocabulary import OutcomeStatus

__all__ = ["MAX_ROWS", "Answer", "Graph", "busy_for"]

MAX_ROWS = 10_000
"""Rows of one request."""
_LIMITED = {4, 17, 32, 613, 80003}
_TEMPORARY = {1, 2}
_CONFIG = {10, 190, 200, 294, 368, 2635}
_UPDATING = {1870145}  # a replacement is under way: wait


@dataclass(frozen=True, slots=True)
class Answer:
    """What Meta answered.

    Args:
        status: ``sent``, ``rate_limited``, ``temporary``, ``permanent``, ``config_error`` or ``unknown``.
        detail: Codes only; never Meta's text, which may quote what was sent.
        body: The answer's JSON object.
        wait: Seconds until Meta may be asked again.
    """

    status: OutcomeStatus
    detail: str
    body: Mapping[str, Any]
    wait: float | None = None


class Graph:
    """Builds requests of one ad account.

    Args:
        account: The ad account's number, with or without ``act_``.
        token: An access token with ads_management.
        app_secret: Adds ``appsecret_proof``; may be empty.
        base_url: https://graph.facebook.com, unless tested.
        version: Of the API, such as ``v25.0``.
    """

    def __init__(self, account: str, token: str, *, app_secret: str = "", base_url: str, version: str) -> None:
        number = account.removeprefix("act_")
        if not number.isdecimal():
            raise ConfigurationError(
                "account is not an ad account's number",
                where="[tool.engage.channels.facebook_audience]",
                hint='write account = "1234567890"',
            )
        self._account = f"act_{number}"
        self._base = f"{base_url.rstrip('/')}/{version}"
        self._access = {"access_token": token}
        if app_secret:
            proof = hmac.new(app_secret.encode(), token.encode(), hashlib.sha256).hexdigest()
            self._access["appsecret_proof"] = proof

    def audiences(self, after: str = "") -> httpx.Request:
        """List the account's audiences, a page at a time."""
        fields = "id,name,approximate_count_lower_bound,approximate_count_upper_bound,operation_status"
        query = {"fields": fields, "limit": "200", **({"after": after} if after else {}), **self._access}
        return httpx.Request("GET", f"{self._base}/{self._account}/customaudiences", params=query)

    def create(self, name: str, description: str = "") -> httpx.Request:
        """Make an audience of people whose details come from the advertiser alone."""
        form = {
            "name": name,
            "subtype": "CUSTOM",
            "customer_file_source": "USER_PROVIDED_ONLY",
            "description": description,
        }
        return httpx.Request("POST", f"{self._base}/{self._account}/customaudiences", data=form | self._access)

    def delete(self, audience_id: str) -> httpx.Request:
        """Delete an audience."""
        return httpx.Request("DELETE", f"{self._base}/{audience_id}", params=self._access)

    def users(
        self,
        audience_id: str,
        schema: Sequence[str],
        rows: Sequence[str],
        *,
        session: Mapping[str, Any],
        edge: str = "users",
        remove: bool = False,
    ) -> httpx.Request:
        """Add people to an audience, remove them, or replace all.

        Args:
            audience_id: The audience.
            schema: Keys of the columns.
            rows: At most :data:`MAX_ROWS`, each the JSON list of what
                :func:`engage.channels.facebook.hashing.hashed_row` gives.
            session: ``session_id``, ``batch_seq`` from 1, ``last_batch_flag``, ``estimated_num_total``.
            edge: ``users``, or ``usersreplace``.
            remove: Remove them.
        """
        payload = f'{{"schema":{json.dumps(list(schema))},"data":[{",".join(rows)}]}}'
        form = {"payload": payload, "session": json.dumps(dict(session))}
        method = "DELETE" if remove else "POST"
        return httpx.Request(method, f"{self._base}/{audience_id}/{edge}", data=form | self._access)

    @staticmethod
    def answer(response: httpx.Response, now: datetime | None = None) -> Answer:
        """Say what an answer means; one it does not know is never read as success.

        Args:
            response: The answer.
            now: The clock a date in Retry-After is compared with; the present by default.
        """
        try:
            body = response.json()
        except (ValueError, RecursionError):
            body = None
        body = body if isinstance(body, dict) else {}
        status = response.status_code
        error = body.get("error")
        if not isinstance(error, dict):
            known = status == 200 and bool({"id", "data", "success", "num_received"} & body.keys())
            passing = OutcomeStatus.TEMPORARY if status >= 500 else OutcomeStatus.UNKNOWN
            passing = OutcomeStatus.RATE_LIMITED if status == 429 else passing
            return Answer(
                OutcomeStatus.SENT if known else passing, f"HTTP {status}", body, busy_for(response.headers, now)
            )
        code, subcode = _int(error.get("code")), _int(error.get("error_subcode"))
        if code in _LIMITED:
            meaning = OutcomeStatus.RATE_LIMITED
        elif code in _TEMPORARY or error.get("is_transient") is True or subcode in _UPDATING or status >= 500:
            meaning = OutcomeStatus.TEMPORARY
        elif code in _CONFIG or status in (401, 403):
            meaning = OutcomeStatus.CONFIG_ERROR
        else:
            meaning = OutcomeStatus.PERMANENT
        return Answer(meaning, f"HTTP {status}, code {code}, subcode {subcode}", body, busy_for(response.headers, now))

    @staticmethod
    def check(answer: Answer) -> Mapping[str, Any]:
        """The answer's body where it is a success.

        Raises:
            ConfigurationError: The token, account or permission is wrong.
            ChannelError: Anything else.
        """
        if answer.status is OutcomeStatus.SENT:
            return answer.body
        if answer.status is OutcomeStatus.CONFIG_ERROR:
            raise ConfigurationError(
                f"Meta refuses the token or the account ({answer.detail})",
                where="[tool.engage.channels.facebook_audience]",
                hint="check the token's ads_management permission and the custom audience terms",
            )
        raise ChannelError(f"Meta answered {answer.detail}", where="facebook", hint="what was confirmed is kept")


def busy_for(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds to wait by Meta's usage headers: from 90 per cent of any limit on; None below.

    Meta documents no Retry-After, but what stands before it may send one. Where usage is high and no time is named, a
    minute.
    """
    wait = parse_retry_after(headers, now)
    for name in ("x-business-use-case-usage", "x-app-usage", "x-ad-account-usage"):
        try:
            told = json.loads(headers.get(name) or "{}")
        except (ValueError, RecursionError):
            continue
        for entry in _entries(told):
            used = [_number(entry.get(key)) for key in ("call_count", "total_cputime", "total_time", "acc_id_util_pct")]
            minutes = _number(entry.get("estimated_time_to_regain_access"))
            if max(used) >= 90 or minutes > 0:
                wait = max(wait or 0.0, minutes * 60 or 60.0)
    return wait


def _entries(told: object) -> list[Mapping[str, Any]]:
    if not isinstance(told, dict):
        return []
    lists = [value for value in told.values() if isinstance(value, list)]
    return [told, *(one for value in lists for one in value if isinstance(one, dict))]


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9 else 0.0


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
