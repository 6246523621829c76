"""Where a workspace keeps its things, and how it is set up.

A workspace is a folder whose ``pyproject.toml`` has a ``[tool.engage]`` table. Settings live in that table,
secrets only in the environment.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engage.errors import ConfigurationError
from engage.vocabulary import Channel

__all__ = ["WEEKDAYS", "Settings", "find_root", "secret"]

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def find_root(path: str | Path = ".") -> Path:
    """Find the workspace that holds `path`, looking upward.

    Args:
        path: A folder in a workspace, or the workspace itself.

    Returns:
        The absolute path of the workspace's root.

    Raises:
        ConfigurationError: No folder from `path` up has a ``pyproject.toml`` with ``[tool.engage]``.
    """
    start = Path(path).resolve()
    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        if file.is_file() and "engage" in _read_toml(file).get("tool", {}):
            return folder
    raise ConfigurationError(
        "no workspace here or above",
        where=str(start),
        hint="make one with `engage init my-workspace`, or name one with --workspace",
    )


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"not valid TOML: {error}", where=str(file), hint="mend the file") from error


def secret(name: str, *, needed_for: str) -> str:
    """Read a secret from the environment, its only source.

    Args:
        name: The environment variable.
        needed_for: What it opens, for the error.

    Raises:
        ConfigurationError: It is unset or empty.
    """
    value = os.environ.get(name, "")
    if not value:
        raise ConfigurationError(
            f"the environment variable {name} is not set", where=needed_for, hint=f"export {name}=…"
        )
    return value


@dataclass(frozen=True, slots=True)
class Settings:
    """A workspace's folders and options.

    Args:
        root: The workspace's folder, absolute.
        timezone: IANA name of the time zone days and weeks are counted in.
        week_start: The weekday a week begins on.
        options: The whole ``[tool.engage]`` table.
    """

    root: Path
    timezone: str = "UTC"
    week_start: str = "monday"
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, root: Path) -> Settings:
        """Read ``[tool.engage]`` of a workspace.

        Raises:
            ConfigurationError: The table is missing, or a value in it is not one of those allowed.
        """
        file = root / "pyproject.toml"
        options = _read_toml(file).get("tool", {}).get("engage") if file.is_file() else None
        if options is None:
            raise ConfigurationError("no [tool.engage] table", where=str(file), hint="run `engage init`")
        timezone = str(options.get("timezone", "UTC"))
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ConfigurationError(
                f"timezone {timezone!r} is not known",
                where=str(file),
                hint='write an IANA name such as "Europe/Berlin"',
            ) from error
        week_start = str(options.get("week_start", "monday")).lower()
        if week_start not in WEEKDAYS:
            raise ConfigurationError(
                f"week_start {week_start!r} is not a weekday", where=str(file), hint='write e.g. "monday"'
            )
        return cls(root=root, timezone=timezone, week_start=week_start, options=options)

    def channel(self, name: str) -> Mapping[str, Any]:
        """The ``[tool.engage.channels.NAME]`` table, empty where there is none."""
        return dict(self.options.get("channels", {}).get(name, {}))

    @property
    def public_url(self) -> str:
        """Where people and their apps reach the server (``[tool.engage.server] public_url``); '' where it is not said.

        Raises:
            ConfigurationError: It is not the address of a site.
        """
        url = str(self.options.get("server", {}).get("public_url", "")).rstrip("/")
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query):
            hint = 'write "https://engage.example.com"'
            raise ConfigurationError(f"public_url = {url!r} is not a site's", where="[tool.engage.server]", hint=hint)
        return url

    @property
    def opt_in(self) -> frozenset[str]:
        """Channels that reach only those who said yes to them: of ``opt_in``, and ads always.

        Raises:
            ConfigurationError: ``opt_in`` is no list of channels.
        """
        named = self.options.get("opt_in", [])
        if not isinstance(named, list):
            raise ConfigurationError("opt_in is not a list of channels", where="[tool.engage]", hint='opt_in = ["sms"]')
        return frozenset(map(str, named)) | {Channel.FACEBOOK_AUDIENCE.value}

    @property
    def country(self) -> str | None:
        """Whose phone numbers are that have no country's code, where the person's country is not known.

        ``[tool.engage] country``, two letters (ISO 3166-1).

        Raises:
            ConfigurationError: It is not two letters.
        """
        found = self.options.get("country")
        if found is not None and not (isinstance(found, str) and len(found) == 2 and found.isalpha()):
            raise ConfigurationError(
                f"country = {found!r} is not two letters", where="[tool.engage]", hint='write e.g. country = "DE"'
            )
        return found.upper() if found else None

    @property
    def sql(self) -> Path:
        """Folder of the workspace's SQL files."""
        return self.root / "sql"

    @property
    def notebooks(self) -> Path:
        """Folder of the workspace's notebooks."""
        return self.root / "notebooks"

    @property
    def data(self) -> Path:
        """Folder of everything that is not code."""
        return self.root / "data"

    @property
    def lake(self) -> Path:
        """Folder of the Parquet lake."""
        return self.data / "lake"

    @property
    def campaigns(self) -> Path:
        """Folder of campaign folders."""
        return self.data / "campaigns"

    @property
    def journeys(self) -> Path:
        """Folder of the journeys' files."""
        return self.data / "journeys"

    @property
    def labels(self) -> Path:
        """File of the message labels."""
        return self.data / "labels.toml"

    @property
    def outbox(self) -> Path:
        """Folder the outbox provider writes to."""
        return self.data / "outbox"

    @property
    def mailbox(self) -> Path:
        """File of the messages that wait for apps and pages to fetch them."""
        return self.data / "mailbox.sqlite"

    @property
    def access(self) -> Path:
        """File of the people who may sign in, and their sessions."""
        return self.data / "access.sqlite"

    @property
    def audit(self) -> Path:
        """Folder of the audit log."""
        return self.data / "audit"

    @property
    def ledger(self) -> Path:
        """File of the SQLite delivery ledger."""
        return self.data / "ledger.sqlite"
