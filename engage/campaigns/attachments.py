"""Files that go along with a campaign's mail: named in ``campaign.toml``, beside it, and frozen when a run is planned.

A run keeps each file once, by the hash of its bytes, so that a mail that leaves later, or again, has what was planned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from engage.content.localised import LOCALISED
from engage.errors import ConfigurationError, PlanError
from engage.lake.storage import write_atomically
from engage.settings import Settings

__all__ = ["LARGEST", "check_attachments", "freeze_attachments", "read_attachments", "thaw_attachments"]

LARGEST = 7_000_000
"""Bytes of all files of one mail: in base64 they are a third more, and many mail servers take 10 MB."""

_KEY = "attachments"


def check_attachments(content: Mapping[str, Any], folder: Path, where: str) -> None:
    """Refuse files that are not there, are not the campaign's own or are too large.

    Args:
        content: Of one variant.
        folder: Where they lie.
        where: What to name in errors.

    Raises:
        ConfigurationError: One of them is such.
    """
    _changed(content, lambda named: [{"name": path.name} for path in _paths(named, folder, where)])


def read_attachments(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A variant's content with its files read: each is ``{"name", "content"}``, as providers take it.

    Args:
        content: Of one variant.
        folder: Where they lie.

    Raises:
        ConfigurationError: A file is not there or too large.
    """

    def read(named: object) -> list[dict[str, Any]]:
        return [{"name": path.name, "content": path.read_bytes()} for path in _paths(named, folder, _KEY)]

    return _changed(content, read)


def freeze_attachments(settings: Settings, content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Keep a variant's files for a run.

    Args:
        settings: The workspace.
        content: Of one variant.
        folder: Where they lie.

    Returns:
        The content, in which each file is ``{"name", "sha256"}``.

    Raises:
        ConfigurationError: A file is not there or too large.
    """

    def keep(path: Path) -> dict[str, str]:
        data = path.read_bytes()
        digest = sha256(data).hexdigest()
        if not (kept := _kept(settings, digest)).exists():
            write_atomically(kept, data)
        return {"name": path.name, "sha256": digest}

    return _changed(content, lambda named: [keep(path) for path in _paths(named, folder, _KEY)])


def thaw_attachments(settings: Settings, content: Mapping[str, Any]) -> dict[str, Any]:
    """Read the files a run has kept.

    Args:
        settings: The workspace.
        content: Of one variant, as frozen in the run.

    Returns:
        The content, in which each file is ``{"name", "content"}``, as providers take it.

    Raises:
        PlanError: A file was taken away or changed.
    """

    def read(entry: Mapping[str, str]) -> dict[str, Any]:
        try:
            data = _kept(settings, entry["sha256"]).read_bytes()
        except OSError:
            data = b""
        if sha256(data).hexdigest() != entry["sha256"]:
            hint = "bring data/lake/attachments back from the backup"
            raise PlanError(f"the attachment {entry['name']} is not what was planned", where="run", hint=hint)
        return {"name": entry["name"], "content": data}

    return _changed(content, lambda kept: [read(entry) for entry in kept])


def _changed(content: Mapping[str, Any], change: Callable[[Any], list[Any]]) -> dict[str, Any]:
    """The content with other attachments, in each of its languages."""
    made = {**content, **({_KEY: change(content[_KEY])} if content.get(_KEY) else {})}
    if localised := content.get(LOCALISED):
        texts = {locale: _changed(fields, change) for locale, fields in localised["texts"].items()}
        made[LOCALISED] = {**localised, "texts": texts}
    return made


def _paths(named: object, folder: Path, where: str) -> list[Path]:
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise ConfigurationError("attachments is not a list of files", where=where, hint='write ["terms.pdf"]')
    paths, size = [], 0
    for name in named:
        path = folder / name
        if Path(name).name != name or name.startswith(".") or not name.isprintable() or path.is_symlink():
            hint = "put the file beside campaign.toml and write its name"
            raise ConfigurationError(f"attachment {name!r} is no file's name", where=where, hint=hint)
        if not path.is_file():
            raise ConfigurationError(f"attachment {name} is not there", where=where, hint=f"put it into {folder}")
        size += path.stat().st_size
        paths.append(path)
    if size > LARGEST:
        told = f"attachments have {size / 1e6:.1f} MB, more than {LARGEST / 1e6:.0f}"
        raise ConfigurationError(told, where=where, hint="link to the file instead")
    return paths


def _kept(settings: Settings, digest: str) -> Path:
    return settings.lake / _KEY / digest
