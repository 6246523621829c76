"""Which layout a workspace's data has, and how it comes to that of this version.

``data/lake/layout.json`` says the layout's number and the digests of the SQL files shipped with it. A workspace
without that file is of layout 0: of a time before layouts had numbers.

Every step may be done twice, and the number is written last: an upgrade that was killed is carried on by the next.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from engage.errors import ConfigurationError
from engage.lake.storage import Storage, write_atomically
from engage.settings import Settings
from engage.template import template_root

__all__ = ["LAYOUT", "Upgraded", "read_layout", "record_layout", "require_layout", "upgrade"]

LAYOUT = 1
"""The layout this version writes: 1 says which shipped files it began with."""

_FOLDERS = ("sql/lake", "sql/reports")  # what queries are built on; segments and imports are the reader's own
_BEFORE = Path(__file__).with_name("shipped_before.json")

_MIGRATIONS: dict[int, Callable[[Settings], None]] = {}
"""What brings the data from the layout before to each number; layout 1 changed nothing but the SQL files."""


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What an upgrade did.

    Args:
        before: The layout it found.
        after: The layout there is now.
        added: SQL files that were missing, as paths in the workspace.
        renewed: SQL files that nobody had edited, now as this version ships them.
        kept: SQL files that differ from this version's because somebody edited them.
    """

    before: int
    after: int
    added: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def read_layout(settings: Settings) -> int:
    """The number of a workspace's layout; 0 where it says none.

    Raises:
        ConfigurationError: The file that says it cannot be read.
    """
    number, _ = _read(settings)
    return number


def require_layout(settings: Settings) -> None:
    """Refuse a workspace that a later version has written.

    Raises:
        ConfigurationError: Its layout is newer than this version's.
    """
    number = read_layout(settings)
    if number > LAYOUT:
        raise ConfigurationError(
            f"this workspace has layout {number}, and this version of engage reads up to {LAYOUT}",
            where=str(settings.root),
            hint="install a newer engage",
        )


def record_layout(settings: Settings) -> None:
    """Say that a new workspace is of this version's layout."""
    shipped = {name: _digest(path) for name, path in _shipped().items()}
    write_atomically(_file(settings), json.dumps({"layout": LAYOUT, "shipped": shipped}, indent=1) + "\n")


def upgrade(settings: Settings) -> Upgraded:
    """Bring a workspace to this version's layout; harmless to repeat, and after a kill.

    SQL files under ``sql/lake/`` and ``sql/reports/`` that are missing are added, and those nobody edited are renewed.

    Returns:
        What was done.

    Raises:
        ConfigurationError: Its layout is newer than this version's.
        LandingError: Another process writes to the lake.
    """
    require_layout(settings)
    with Storage(settings).writing():
        before, shipped = _read(settings)
        former: dict[str, list[str]] = json.loads(_BEFORE.read_text(encoding="utf-8"))
        done = Upgraded(before, LAYOUT)
        for folder in _FOLDERS:
            for left in (settings.root / folder).glob(".*.sql.*"):  # by one that was killed while writing
                left.unlink()
        for number in range(before + 1, LAYOUT + 1):
            if number in _MIGRATIONS:
                _MIGRATIONS[number](settings)
        for name, source in _shipped().items():
            target = settings.root / name
            if not target.exists():
                done.added.append(name)
            elif (there := _digest(target)) == _digest(source):
                continue
            elif there == shipped.get(name) or there in former.get(name, []):
                done.renewed.append(name)
            else:
                done.kept.append(name)
                continue
            write_atomically(target, source.read_bytes())
        record_layout(settings)
    return done


def _file(settings: Settings) -> Path:
    return settings.lake / "layout.json"


def _read(settings: Settings) -> tuple[int, dict[str, str]]:
    file = _file(settings)
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        return int(values["layout"]), dict(values["shipped"])
    except FileNotFoundError:
        return 0, {}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"cannot be read: {error}", where=str(file), hint="bring it back from a backup, or delete it"
        ) from error


def _shipped() -> dict[str, Path]:
    root = template_root()
    return {
        path.relative_to(root).as_posix(): path for folder in _FOLDERS for path in sorted((root / folder).glob("*.sql"))
    }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
