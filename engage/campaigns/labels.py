"""Message labels: made in Message Settings, put on campaigns, recorded with every message."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any

import tomlkit

from engage.errors import ConfigurationError, UnknownLabelError
from engage.lake.storage import write_atomically
from engage.settings import Settings

__all__ = ["Label", "create_label", "list_labels", "require_labels"]

_LONGEST = 80  # characters of a name


@dataclass(frozen=True, slots=True)
class Label:
    """A message label.

    Args:
        name: What people see; unique whatever its case.
        description: What it is for.
        created_at: When it was made, ISO 8601; empty if written by hand.
    """

    name: str
    description: str = ""
    created_at: str = ""


def list_labels(settings: Settings) -> list[Label]:
    """Every label, by name.

    Raises:
        ConfigurationError: ``data/labels.toml`` cannot be read, or has a label without a name.
    """
    try:
        rows = tomllib.loads(settings.labels.read_text(encoding="utf-8")).get("labels", [])
    except FileNotFoundError:
        return []
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"not valid TOML: {error}", where=str(settings.labels), hint="mend the file"
        ) from error
    if not all(isinstance(row, dict) and str(row.get("name", "")).strip() for row in rows):
        raise ConfigurationError("a label has no name", where=str(settings.labels), hint='write name = "…"')
    labels = [Label(str(r["name"]), str(r.get("description", "")), str(r.get("created_at", ""))) for r in rows]
    return sorted(labels, key=lambda label: label.name.casefold())


def create_label(settings: Settings, name: str, description: str = "", *, now: datetime) -> Label:
    """Make a label; comments and order of the file stay.

    Args:
        settings: The workspace.
        name: 1 to 80 characters on one line.
        description: What it is for.
        now: The clock.

    Raises:
        ConfigurationError: The name is taken, empty or too long.
    """
    name = name.strip()
    if not name or len(name) > _LONGEST or not name.isprintable():
        raise ConfigurationError(f"a label's name has 1 to {_LONGEST} printable characters", where=repr(name[:80]))
    for label in list_labels(settings):
        if label.name.casefold() == name.casefold():
            raise ConfigurationError(f"label {label.name!r} is there already", where=str(settings.labels))
    text = settings.labels.read_text(encoding="utf-8") if settings.labels.exists() else ""
    document = tomlkit.parse(text)
    rows: Any = document.get("labels")
    if rows is None:
        rows = tomlkit.aot()
        document["labels"] = rows
    row = tomlkit.table()
    row["name"] = name
    if description:
        row["description"] = description
    row["created_at"] = now.isoformat(timespec="seconds")
    rows.append(row)
    write_atomically(settings.labels, tomlkit.dumps(document))
    return Label(name, description, now.isoformat(timespec="seconds"))


def require_labels(settings: Settings, names: tuple[str, ...], *, where: str) -> tuple[str, ...]:
    """The labels as they are spelled in Message Settings.

    Raises:
        UnknownLabelError: One was never made.
    """
    known = {label.name.casefold(): label.name for label in list_labels(settings)}
    for name in names:
        if name.casefold() not in known:
            near = get_close_matches(name, known.values(), n=1)
            did = f"did you mean {near[0]!r}? or " if near else ""
            raise UnknownLabelError(
                f"there is no label {name!r}", where=where, hint=f"{did}make it with `engage label create {name!r}`"
            )
    return tuple(known[name.casefold()] for name in names)
