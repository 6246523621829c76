"""Campaigns' folders as people change them: made, edited, copied, labelled; whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from engage.campaigns.campaign import Campaign
from engage.campaigns.definition import campaign_from, is_campaign_name, read_campaign
from engage.campaigns.labels import require_labels
from engage.content.localised import make_renderer
from engage.errors import ConfigurationError, ContentError, EngageError, PlanError
from engage.lake.storage import write_atomically
from engage.settings import Settings
from engage.vocabulary import CampaignStatus

__all__ = ["copy_campaign", "create_campaign", "edit_campaign", "set_labels"]

_LIFE = ("status", "launched_at", "approved")
"""What launching, pausing and stopping write."""

_LOOKED_AT = {
    "channel", "provider", "segment", "sql", "everyone", "exclude", "not_in", "content", "variants", "context_sql",
    "localise", "connected", "topic", "transactional", "control_percent", "fallback",
}  # fmt: skip
"""What an approval was given for; when it changes, a large run is looked at again."""


def create_campaign(
    settings: Settings, name: str, values: Mapping[str, Any], files: Mapping[str, str | bytes]
) -> Campaign:
    """Make a campaign's folder, whole or not at all.

    Args:
        settings: The workspace.
        name: Lower-case letters, digits, ``-`` and ``_``.
        values: What ``campaign.toml`` is to say.
        files: Templates and attachments by file name.

    Raises:
        PlanError: The name is taken or not one.
        ConfigurationError: The values are not a campaign's.
    """
    folder = settings.campaigns / name
    if not is_campaign_name(name):
        raise PlanError(f"{name!r} is not a campaign's name", hint="use lower-case letters, digits, - and _")
    if folder.exists():
        raise PlanError(f"campaign {name!r} is there already", where=str(folder))
    try:
        for file, text in files.items():
            write_atomically(folder / _plain(file, folder), text)
        write_atomically(folder / "campaign.toml", tomlkit.dumps(values))
        return read_campaign(settings, name)
    except (EngageError, ConfigurationError):
        for path in folder.glob("*"):
            path.unlink()
        if folder.exists():
            folder.rmdir()
        raise


def edit_campaign(
    settings: Settings, name: str, values: Mapping[str, Any], files: Mapping[str, str | None] | None = None
) -> Campaign:
    """Change a campaign; comments and order of its file stay, and runs that were planned are sent as they were planned.

    Args:
        settings: The workspace.
        name: The campaign.
        values: What changes, as in ``campaign.toml``: a table changes the keys it names, None takes a key out.
        files: Templates by file name, in place of those there are; None takes one away.

    Returns:
        The campaign as it is from now on. An approval for what was there before is gone with what was approved.

    Raises:
        UnknownCampaignError: There is none of that name.
        PlanError: A key is not for editing, or the channel of a campaign that was launched or sent.
        ConfigurationError: It would not be a campaign any more; nothing is changed.
        ContentError: A template cannot be read, or speaks of what there is not; nothing is changed.
    """
    campaign, files = read_campaign(settings, name), files or {}
    for key in _LIFE:
        if key in values:
            raise PlanError(f"{key} is not for editing", where=name, hint="use launch, pause or stop")
    if values.get("channel", campaign.channel) != campaign.channel and campaign.status != CampaignStatus.DRAFT:
        hint = f"copy it: engage campaign copy {name} {name}_2"
        raise PlanError(f"is {campaign.status}, so its channel stays {campaign.channel}", where=name, hint=hint)
    file = campaign.folder / "campaign.toml"
    document = tomlkit.parse(file.read_text(encoding="utf-8"))
    for key in ("segment", "sql", "everyone"):
        if values.get(key):  # one of the three says whom; choosing it drops the others
            for other in {"segment", "sql", "everyone"} - {key}:
                document.pop(other, None)
    try:
        _merge(document, values)
    except (TOMLKitError, ValueError, TypeError) as error:
        raise ConfigurationError(f"cannot be written: {error}", where=str(file)) from error
    if _LOOKED_AT & set(values) or files:
        document.pop("approved", None)
    with tempfile.TemporaryDirectory() as staged:
        folder = Path(shutil.copytree(campaign.folder, Path(staged) / name)) if files else campaign.folder
        if files:
            _write(folder, files)
        changed = campaign_from(settings, name, document.unwrap(), folder, str(file))
        for one in changed.ways:
            for variant in one.variants:
                make_renderer(one.channel, variant.content)
    _write(campaign.folder, files)
    write_atomically(file, tomlkit.dumps(document))
    return read_campaign(settings, name)


def copy_campaign(settings: Settings, name: str, new: str) -> Campaign:
    """Make a draft like a campaign, with its templates, under another name.

    Args:
        settings: The workspace.
        name: The campaign that is copied.
        new: The copy's name; a title of its own is made of it.

    Raises:
        UnknownCampaignError: There is none of that name.
        PlanError: The new name is taken or not one.
    """
    campaign = read_campaign(settings, name)
    document = tomlkit.parse((campaign.folder / "campaign.toml").read_text(encoding="utf-8"))
    for key in _LIFE:
        document.pop(key, None)
    document["title"] = f"{campaign.title} (copy)"
    if name in campaign.not_in:
        document["not_in"] = [new if other == name else other for other in campaign.not_in]
    files = {
        path.name: path.read_bytes()
        for path in campaign.folder.iterdir()
        if path.is_file() and path.name != "campaign.toml" and not path.name.startswith(".")
    }
    return create_campaign(settings, new, document, files)


def set_labels(settings: Settings, name: str, labels: tuple[str, ...]) -> Campaign:
    """Put labels on a campaign; they go with the messages planned from then on.

    Raises:
        UnknownLabelError: One was never made.
    """
    known = require_labels(settings, labels, where=str(settings.campaigns / name / "campaign.toml"))
    return edit_campaign(settings, name, {"labels": list(known)})


def _plain(file: str, folder: Path) -> str:
    if Path(file).name != file or file == "campaign.toml":
        raise ContentError(f"{file!r} is not a template's file name", where=str(folder))
    return file


def _write(folder: Path, files: Mapping[str, str | None]) -> None:
    for name, text in files.items():
        path = folder / _plain(name, folder)
        if text is None:
            path.unlink(missing_ok=True)
        else:
            write_atomically(path, text)


def _merge(table: MutableMapping[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if value is None:
            table.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(table.get(key), MutableMapping):
            _merge(table[key], value)
        else:
            table[key] = value
