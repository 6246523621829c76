"""CleverTap's upload records as rows of the lake.

Sources: https://developer.clevertap.com/docs/upload-events-api, …/upload-user-profiles-api,
…/upload-device-tokens-api (records and their error codes), …/disable-communication (``MSG-…``).
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from engage.server.fields import ANONYMOUS, EARLIEST, Rejected, check_depth, object_of, text
from engage.server.profile_operations import OPERATORS, checked
from engage.vocabulary import MESSAGE_EVENTS, Channel, Event

__all__ = ["Unprocessed", "translate"]

_IDS = {"identity": "", "objectId": "", "FBID": "fb:", "GPID": "gp:"}  # and what tells them apart here
_NAMES = {"Name": "name", "Email": "email", "Phone": "phone", "Tz": "timezone", "Language": "language"}
_CHARGED = {"Amount": "amount", "Currency": "currency"}
_PLATFORMS = {"fcm": "android", "gcm": "android", "apns": "ios"}
_SAID_NO = {
    "MSG-email": (Channel.EMAIL,),
    "MSG-sms": (Channel.SMS,),
    "MSG-push": (Channel.PUSH, Channel.WEB_PUSH),
}
_DATE = re.compile(r"\$D_(\d{1,11})")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s]+")
_PHONE = re.compile(r"\+[1-9]\d{5,14}")


class Unprocessed(Rejected):
    """A record that was not taken.

    Args:
        code: CleverTap's number of the error.
        why: What is wrong with the record.
    """

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


def translate(record: Any, *, nth: int = 0, received_at: datetime) -> list[dict[str, dict[str, Any]]]:
    """Turn one record into rows.

    ``identity`` is the user; ``objectId``, ``FBID`` and ``GPID`` are devices and accounts that belong to the user they
    were uploaded with, before and afterwards. Records that bear a ``ts`` have an id made from what they say, so that
    one sent again counts once.

    Args:
        record: A member of ``d``.
        nth: How many equal records stood before it in the request: that many are not the same one.
        received_at: The server's clock.

    Returns:
        One or more lines, each a row a dataset (events, profiles, identities, devices).

    Raises:
        Unprocessed: It cannot be taken.
    """
    if not isinstance(record, Mapping):
        raise Unprocessed(524, "a record is not an object")
    kind = record.get("type")
    if kind not in ("event", "profile", "token"):
        raise Unprocessed(524, "type is not event, profile or token")
    try:
        check_depth(record)
        ids = [prefix + one for name, prefix in _IDS.items() if (one := text(record, name))]
    except Rejected as error:
        raise Unprocessed(526 if "objectId" in error.what else 512, error.what) from None
    if not ids:
        raise Unprocessed(530 if kind == "token" else 523, "one of identity, objectId, FBID and GPID is needed")
    user = ids[0] if record.get("identity") else None
    at = _time(record, received_at)
    same = json.dumps([record, nth], sort_keys=True).encode()
    base = {
        "change_id": hashlib.sha256(same).hexdigest()[:32] if record.get("ts") else secrets.token_hex(16),
        "changed_at": at.isoformat(),
        "received_at": received_at.isoformat(),
    }
    make = {"event": _event, "profile": _profile, "token": _token}[kind]
    found = make(record, user, ids[0], base)
    if user:
        for n, other in enumerate(ids[1:]):
            change = {**base, "change_id": f"{base['change_id']}-{n}"}
            found.append({"identities": {**change, "anonymous_id": other, "user_id": user}})
    return found


def _event(
    record: Mapping[str, Any], user: str | None, first: str, base: Mapping[str, str]
) -> list[dict[str, dict[str, Any]]]:
    try:
        name = text(record, "evtName")
        properties = _dated(object_of(record, "evtData"))
    except Rejected as error:
        raise Unprocessed(512, error.what) from None
    if not name:
        raise Unprocessed(509, "evtName is empty")
    if name in MESSAGE_EVENTS:
        raise Unprocessed(513, f"{name} is recorded by the platform alone")
    if name == Event.CHARGED:
        properties = _renamed(properties, _CHARGED)
    return [{"events": _row(base, base["change_id"], user, first, name, properties)}]


def _profile(
    record: Mapping[str, Any], user: str | None, first: str, base: Mapping[str, str]
) -> list[dict[str, dict[str, Any]]]:
    try:
        given = object_of(record, "profileData")
    except Rejected as error:
        raise Unprocessed(512, error.what) from None
    properties: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for name, value in _renamed(_dated(given), _NAMES).items():
        if isinstance(value, Mapping) and value.keys() & OPERATORS:
            try:
                operations[name] = checked(name, value)
            except Rejected as error:
                raise Unprocessed(512, error.what) from None
            continue
        if isinstance(value, Mapping) and "$set" in value:
            value = value["$set"]
        elif isinstance(value, Mapping) and "$delete" in value:
            value = None
        properties[name] = value
    if (email := properties.get("email")) and not (isinstance(email, str) and _EMAIL.fullmatch(email)):
        raise Unprocessed(515, "Email is not an address")
    if phone := properties.get("phone"):
        properties["phone"] = phone = str(phone).replace(" ", "")
        if not _PHONE.fullmatch(phone):
            raise Unprocessed(516, "Phone is not a number with + and the country's code")
    row = {**base, "user_id": first, "properties": properties, "source": _source(user)}
    if operations:
        if wrong := operations.keys() & set(_NAMES.values()):
            raise Unprocessed(512, f"{min(wrong)} has one value; give it whole")
        # They build on what is there once they come, whatever time they bear.
        row |= {"operations": operations, "changed_at": base["received_at"]}
    found: list[dict[str, dict[str, Any]]] = [{"profiles": row}]
    for name, channels in _SAID_NO.items():
        if given.get(name) is not False:  # a nightly upload of true must not undo what a person said on the page
            continue
        for channel in channels:
            left = {"channel": str(channel), "reason": "unsubscribed"}
            event_id = f"{base['change_id']}-{channel}"
            found.append({"events": _row(base, event_id, first, first, Event.CHANNEL_UNSUBSCRIBED, left)})
    return found


def _token(
    record: Mapping[str, Any], user: str | None, first: str, base: Mapping[str, str]
) -> list[dict[str, dict[str, Any]]]:
    try:
        given = object_of(record, "tokenData")
        token, kind = text(given, "id", length=4096), (text(given, "type") or "").lower()
    except Rejected as error:
        raise Unprocessed(531, error.what) from None
    if not token:
        raise Unprocessed(532, "the token's id is empty")
    if not kind:
        raise Unprocessed(533, "the token's type is empty")
    if kind not in _PLATFORMS:
        raise Unprocessed(534, f"the token's type is not one of {', '.join(_PLATFORMS)}")
    if not token.isprintable():
        raise Unprocessed(535, "the token's id is not printable")
    row = {**base, "user_id": first, "channel": str(Channel.PUSH), "platform": _PLATFORMS[kind], "token": token}
    return [{"devices": row | {"environment": None, "active": True, "source": _source(user)}}]


def _row(
    base: Mapping[str, str], event_id: str, user: str | None, first: str, name: str, properties: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "user_id": user,
        "anonymous_id": None if user else first,
        "event_name": str(name),
        "event_time": base["changed_at"],
        "received_at": base["received_at"],
        "properties": properties,
        "source": "clevertap",
    }


def _source(user: str | None) -> str:
    return "clevertap" if user else ANONYMOUS


def _time(record: Mapping[str, Any], received_at: datetime) -> datetime:
    given = record.get("ts")
    if given is None:
        return received_at
    if isinstance(given, str) and given.isascii() and given.isdecimal() and len(given) < 20:
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 < given < 1e11:
        raise Unprocessed(525, "ts is not in seconds since 1970")
    found = datetime.fromtimestamp(given, UTC)
    if found < EARLIEST:
        raise Unprocessed(525, "ts lies before the year 2000")
    return min(found, received_at)


def _renamed(given: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Well-known properties under the names that segments and templates use; one given under both keeps ours."""
    taken = {ours: given[theirs] for theirs, ours in names.items() if theirs in given and ours not in given}
    return {name: value for name, value in given.items() if name not in names or names[name] not in taken} | taken


def _dated(value: Any) -> Any:
    """A JSON value with CleverTap's dates (``$D_`` and seconds) as ISO 8601."""
    if isinstance(value, dict):
        return {name: _dated(child) for name, child in value.items()}
    if isinstance(value, list):
        return [_dated(child) for child in value]
    if isinstance(value, str) and (match := _DATE.fullmatch(value)):
        return datetime.fromtimestamp(int(match[1]), UTC).isoformat().replace("+00:00", "Z")
    return value
