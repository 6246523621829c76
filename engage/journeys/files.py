"""Journeys as files: ``data/journeys/<name>.toml``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from engage.errors import ConfigurationError, PlanError, UnknownJourneyError
from engage.journeys.definition import journey_from
from engage.journeys.document import document
from engage.journeys.graph import Journey
from engage.lake.storage import write_atomically
from engage.settings import Settings

__all__ = [
    "create_journey",
    "journey_file",
    "list_journeys",
    "read_journey",
    "read_values",
    "save_journey",
    "set_values",
]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def list_journeys(settings: Settings) -> list[str]:
    """The names of all journeys."""
    return sorted(path.stem for path in settings.journeys.glob("*.toml"))


def journey_file(settings: Settings, name: str) -> Path:
    """The file of a journey.

    Raises:
        UnknownJourneyError: There is none of that name.
    """
    file = settings.journeys / f"{name}.toml"
    if not _NAME.fullmatch(name) or not file.is_file():
        names = list_journeys(settings)
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names) or 'none yet'}"
        raise UnknownJourneyError(f"no journey {name!r} under data/journeys/", hint=hint)
    return file


def read_values(file: Path) -> dict[str, Any]:
    """What a file says, as TOML."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"not valid TOML: {error}", where=str(file), hint="mend the file") from error


def read_journey(settings: Settings, name: str) -> Journey:
    """Read a journey's file.

    Raises:
        UnknownJourneyError: There is none of that name.
        ConfigurationError: The file is not a journey's; it names the node and the key.
    """
    file = journey_file(settings, name)
    return journey_from(settings, name, read_values(file), str(file))


def create_journey(settings: Settings, name: str, values: Mapping[str, Any]) -> Journey:
    """Make a journey's file.

    Raises:
        PlanError: The name is taken or not one.
        ConfigurationError: The values are not a journey's.
    """
    file = settings.journeys / f"{name}.toml"
    if not _NAME.fullmatch(name):
        raise PlanError(f"{name!r} is not a journey's name", hint="use lower-case letters, digits, - and _")
    if file.exists():
        raise PlanError(f"journey {name!r} is there already", where=str(file))
    return save_journey(settings, name, values)


def save_journey(settings: Settings, name: str, values: Mapping[str, Any]) -> Journey:
    """Write a journey's file, in an order that does not change from one saving to the next.

    Comments in a file that is there already stay, as does the order of what did not change.

    Raises:
        ConfigurationError: The values are not a journey's; nothing is written.
    """
    file = settings.journeys / f"{name}.toml"
    journey = journey_from(settings, name, values, str(file))
    write_atomically(file, document(values, file.read_text(encoding="utf-8") if file.exists() else ""))
    return journey


def set_values(settings: Settings, name: str, **values: Any) -> Journey:
    """Change keys of a journey's file; all else in it stays as it is."""
    file = journey_file(settings, name)
    return save_journey(settings, name, {**read_values(file), **values})
