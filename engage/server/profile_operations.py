"""Changes of a profile that build on what is there, worked out as they are folded in: add to, take from, count up.

The lake keeps whole values, so that any reader puts profiles together by merging alone. There is one who folds, and it
takes records in the order in which they came; a record that had landed already is left out before anything is counted.

Source: https://developer.clevertap.com/docs/upload-user-profiles-api (``$add``, ``$remove``, ``$incr``, ``$decr``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from engage.query.engine import Engine
from engage.server.fields import ANONYMOUS, Rejected

__all__ = ["OPERATORS", "checked", "work_out"]

OPERATORS = {"$add", "$remove", "$incr", "$decr"}
"""What may be done to a property."""
_MOST = 100  # values of one property; the oldest make room
_LARGEST = 1e15  # of a step: beyond, neither a double nor JSON's readers count exactly
_STEP = timedelta(microseconds=1)


def checked(name: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    """One operation, its values as a list or a number.

    Args:
        name: The property's name.
        operation: An operator and its values.

    Raises:
        Rejected: It is not one operator with values that fit it.
    """
    if len(operation) != 1 or not operation.keys() <= OPERATORS:
        raise Rejected(f"{name}: one of {', '.join(sorted(OPERATORS))} at a time")
    [(operator, given)] = operation.items()
    if operator in ("$incr", "$decr"):
        if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 < given <= _LARGEST:
            raise Rejected(f"{name}: {operator} takes a number above 0")
        return {operator: given}
    values = given if isinstance(given, list) else [given]
    if not values or len(values) > _MOST or not all(isinstance(one, (str, int, float)) for one in values):
        raise Rejected(f"{name}: {operator} takes one to {_MOST} texts or numbers")
    return {operator: values}


def work_out(records: Sequence[dict[str, Any]], engine: Engine) -> list[dict[str, Any]]:
    """Turn the operations of profile rows into values, in place.

    Args:
        records: Rows by dataset, in the order in which they came; a profile's row may have `operations`, by property.
            A row that had landed before is taken out.
        engine: Tells what is known of people.

    Returns:
        A rejection for each operation that does not fit what is there.
    """
    asking = [record["profiles"] for record in records if "operations" in record.get("profiles", ())]
    if not asking:
        return []
    met = {row["anonymous_id"]: row["user_id"] for record in records if (row := record.get("identities"))}
    landed = _landed([row["change_id"] for row in asking], engine)
    people = _People([row for row in asking if row["change_id"] not in landed], met, engine)
    rejected: list[dict[str, Any]] = []
    for record in records:
        row = record.get("profiles")
        if row is None:
            continue
        operations = row.pop("operations", None)
        if operations is not None and row["change_id"] in landed:
            del record["profiles"]
            continue
        if operations is not None:
            landed.add(row["change_id"])
            standing = people.standing(row)
            for name, operation in operations.items():
                try:
                    row["properties"][name] = _worked_out(standing.get(name), operation)
                except Rejected as error:
                    why = f"{name}: {error.what}"
                    rejected.append({"rejected": why, "message": {"user_id": row["user_id"], name: operation}})
        people.told(row)
    return rejected


class _People:
    """What is known of those whose profiles are counted on.

    Args:
        asking: The rows with operations.
        met: Whose the anonymous ids are, of those who were told only now.
        engine: What answers.
    """

    def __init__(self, asking: Sequence[Mapping[str, Any]], met: Mapping[str, str], engine: Engine) -> None:
        strangers = [row["user_id"] for row in asking if row["source"] == ANONYMOUS]
        found = engine.frame(
            "select anonymous_id, user_id from identities where anonymous_id in (select unnest($ids::varchar[]))",
            {"ids": strangers},
        )
        self._whose = dict(found.rows()) | dict(met)
        self._known: dict[str, dict[str, Any]] = {self._who(row): {} for row in asking}
        self._last: dict[str, datetime] = {}
        states = engine.frame(
            "select user_id, updated_at, properties from profiles where user_id in (select unnest($ids::varchar[]))",
            {"ids": list(self._known)},
        )
        for user, at, properties in states.rows():
            self._known[user], self._last[user] = json.loads(properties), at.astimezone(UTC)

    def _who(self, row: Mapping[str, Any]) -> str:
        user: str = row["user_id"]
        return self._whose.get(user, user) if row["source"] == ANONYMOUS else user

    def standing(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The properties of a row's person."""
        return self._known[self._who(row)]

    def told(self, row: dict[str, Any]) -> None:
        """Take a row's properties as known; one without a time of its own is dated after what was known before it."""
        user = self._who(row)
        if user not in self._known:
            return
        known, at = self._known[user], datetime.fromisoformat(row["changed_at"])
        last = self._last.get(user)
        if last is not None and at <= last and row["changed_at"] == row["received_at"]:
            at = last + _STEP
            row["changed_at"] = at.isoformat()
        news = row["properties"] if last is None or at > last else row["properties"] | known
        known |= news
        for name in [name for name, value in known.items() if value is None]:
            del known[name]
        self._last[user] = max(at, last or at)


def _landed(change_ids: Sequence[str], engine: Engine) -> set[str]:
    found = engine.frame(
        "select change_id from read_parquet(lake('profiles'), hive_partitioning = false) "
        "where change_id in (select unnest($ids::varchar[]))",
        {"ids": list(change_ids)},
    )
    return set(found["change_id"])


def _worked_out(standing: Any, operation: Mapping[str, Any]) -> Any:
    [(operator, given)] = operation.items()
    if operator in ("$incr", "$decr"):
        if standing is None:
            standing = 0
        if isinstance(standing, bool) or not isinstance(standing, (int, float)):
            raise Rejected("it is not a number")
        return standing + given if operator == "$incr" else standing - given
    if isinstance(standing, dict):
        raise Rejected("it is not a list of values")
    values = [] if standing is None else standing if isinstance(standing, list) else [standing]
    if operator == "$remove":
        return [one for one in values if one not in given]
    kept = [*values]
    kept += [one for n, one in enumerate(given) if one not in values and one not in given[:n]]
    return kept[-_MOST:]
