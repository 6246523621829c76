"""Campaigns: a folder each under ``data/campaigns/``, with ``campaign.toml`` and templates."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from engage.campaigns.attachments import check_attachments
from engage.campaigns.campaign import Campaign, Goal, Variant, Winner
from engage.campaigns.connected import read_connected
from engage.campaigns.labels import require_labels
from engage.campaigns.limits import read_caps, read_quiet_hours
from engage.campaigns.schedule import instant, read_schedule
from engage.campaigns.tracking import read_tracking
from engage.content.localised import LOCALISED
from engage.errors import ConfigurationError, EngageError, UnknownCampaignError
from engage.message_fields import CONTENT
from engage.settings import Settings
from engage.vocabulary import CampaignStatus, Channel, DeliveryType, Event
from engage.windows import parse_window

__all__ = [
    "KEYS",
    "campaign_from",
    "is_campaign_name",
    "list_campaigns",
    "read_campaign",
]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
KEYS = {
    "title": str,
    "channel": str,
    "segment": str,
    "sql": str,
    "everyone": bool,
    "exclude": list,
    "labels": list,
    "status": str,
    "delivery_type": str,
    "provider": str,
    "control_percent": (int, float),
    "throttle_per_second": (int, float),
    "transactional": bool,
    "goal": dict,
    "content": dict,
    "variants": list,
    "topic": str,
    "priority": int,
    "not_in": list,
    "start": object,
    "end": object,
    "caps": dict,
    "quiet_hours": (dict, bool),
    "schedule": dict,
    "context_sql": str,
    "localise": dict,
    "connected": dict,
    "winner": dict,
    "tracking": (dict, bool),
    "fallback": list,
    "launched_at": object,
    "approved": int,
}
"""The keys of ``campaign.toml`` and their types."""


def is_campaign_name(name: str) -> bool:
    """Whether a campaign may be called so: lower-case letters, digits, ``-`` and ``_``, at most 64."""
    return _NAME.fullmatch(name) is not None


def list_campaigns(settings: Settings) -> list[str]:
    """The names of all campaigns."""
    return sorted(path.parent.name for path in settings.campaigns.glob("*/campaign.toml"))


def read_campaign(settings: Settings, name: str) -> Campaign:
    """Read a campaign's folder.

    Raises:
        UnknownCampaignError: There is none of that name.
        ConfigurationError: ``campaign.toml`` is not valid; it names the key.
        UnknownLabelError: It carries a label that was never made.
    """
    file = settings.campaigns / name / "campaign.toml"
    if not is_campaign_name(name) or not file.is_file():
        names = list_campaigns(settings)
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names) or 'none yet'}"
        raise UnknownCampaignError(f"no campaign {name!r} under data/campaigns/", hint=hint)
    where = str(file)
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"not valid TOML: {error}", where=where, hint="mend the file") from error
    return campaign_from(settings, name, values, file.parent, where)


def campaign_from(settings: Settings, name: str, values: Mapping[str, Any], folder: Path, where: str) -> Campaign:
    """Make a campaign of what ``campaign.toml`` would say; a journey's messages are such campaigns.

    Args:
        settings: The workspace.
        name: Its id.
        values: The keys of ``campaign.toml``.
        folder: Where its templates lie.
        where: What to name in errors.

    Raises:
        ConfigurationError: A value is not valid; it names the key.
        UnknownLabelError: It carries a label that was never made.
    """
    _check_keys(values, KEYS, where)
    channel = str(values.get("channel", ""))
    for key, value, allowed in (
        ("channel", channel, list(Channel)),
        ("status", values.get("status", "draft"), list(CampaignStatus)),
        ("delivery_type", values.get("delivery_type", "one-time"), list(DeliveryType)),
    ):
        if value not in allowed:
            raise ConfigurationError(f"{key} = {value!r} is not known", where=where, hint=f"use {', '.join(allowed)}")
    control = float(values.get("control_percent", 0))
    if not 0 <= control <= 90:
        raise ConfigurationError("control_percent is not between 0 and 90", where=where)
    whom = [key for key in ("segment", "sql", "everyone") if values.get(key)]
    if len(whom) != 1:
        raise ConfigurationError(
            "says not whom to reach", where=where, hint="give one of segment, sql, everyone = true"
        )
    schedule = read_schedule(values.get("schedule", {}), settings.timezone, where)
    times = {
        key: instant(values[key], schedule.timezone, f"{where} {key}") if values.get(key) else None
        for key in ("start", "end", "launched_at")
    }
    quiet = values.get("quiet_hours", settings.options.get("quiet_hours"))
    campaign = Campaign(
        campaign_id=name,
        title=str(values.get("title", name)),
        channel=channel,
        folder=folder,
        segment=values.get("segment"),
        sql=values.get("sql"),
        exclude=tuple(values.get("exclude", ())),
        labels=require_labels(settings, tuple(values.get("labels", ())), where=where),
        status=str(values.get("status", "draft")),
        delivery_type=str(values.get("delivery_type", schedule.delivery_type)),
        provider=values.get("provider"),
        control_percent=control,
        throttle_per_second=values.get("throttle_per_second"),
        transactional=bool(values.get("transactional", False)),
        goal=_goal(values.get("goal", {}), where),
        variants=_variants(values, channel, folder, where),
        topic=str(values.get("topic", "")),
        priority=int(values.get("priority", 0)),
        not_in=tuple(str(other) for other in values.get("not_in", ())),
        caps=read_caps(values.get("caps", {}), f"{where} [caps]"),
        quiet_hours=read_quiet_hours(quiet, f"{where} [quiet_hours]"),
        schedule=schedule,
        context_sql=values.get("context_sql") or _file(folder / "context.sql"),
        connected=read_connected(values.get("connected", {}), where),
        winner=_winner(values.get("winner"), where),
        tracking=read_tracking(settings, values.get("tracking"), campaign=name, channel=channel, where=where),
        approved=int(values.get("approved", 0)),
        start=times["start"],
        end=times["end"],
        launched_at=times["launched_at"],
    )
    return replace(campaign, fallback=_fallback(settings, campaign, values, where))


def _fallback(settings: Settings, campaign: Campaign, values: Mapping[str, Any], where: str) -> tuple[Campaign, ...]:
    """The campaign on each channel of ``[[fallback]]``: what is sent is its own, whom, when and how often the same."""
    found: list[Campaign] = []
    for number, row in enumerate(values.get("fallback", ()), 1):
        inner = f"{where} [[fallback]] {number}"
        if not isinstance(row, Mapping):
            raise ConfigurationError("is not a table", where=inner, hint='write [[fallback]] and channel = "sms"')
        _check_keys(row, {"channel": str, "provider": str, "content": dict, "localise": dict}, inner)
        channel = str(row.get("channel", ""))
        others = [one for one in Channel if one != Channel.FACEBOOK_AUDIENCE and one != campaign.channel]
        if channel not in others or channel in {one.channel for one in found}:
            hint = f"each once, and not {campaign.channel}: {', '.join(others)}"
            raise ConfigurationError(f"channel = {channel!r} is no other channel", where=inner, hint=hint)
        own = {key: row[key] for key in ("content", "localise") if key in row}
        own |= {"transactional": campaign.transactional}
        found.append(
            replace(
                campaign,
                channel=channel,
                provider=row.get("provider"),
                variants=_variants(own, channel, campaign.folder, inner),
                tracking=read_tracking(
                    settings, values.get("tracking"), campaign=campaign.campaign_id, channel=channel, where=where
                ),
                winner=None,
            )
        )
    return tuple(found)


def _file(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _winner(values: Mapping[str, Any] | None, where: str) -> Winner | None:
    if values is None:
        return None
    where = f"{where} [winner]"
    _check_keys(values, {"sample_percent": (int, float), "after": str, "metric": str}, where)
    percent, metric = float(values.get("sample_percent", 20)), values.get("metric", "clicked")
    if not 0 < percent < 100 or metric not in ("clicked", "viewed", "converted"):
        hint = "sample_percent between 0 and 100; metric clicked, viewed or converted"
        raise ConfigurationError("cannot choose a winner so", where=where, hint=hint)
    try:
        return Winner(percent, parse_window(values.get("after", "4 hours")), str(metric))
    except EngageError as error:
        raise ConfigurationError(error.what, where=where, hint=error.hint) from error


def _check_keys(values: Mapping[str, Any], keys: Mapping[str, Any], where: str) -> None:
    for key, value in values.items():
        if key not in keys:
            near = get_close_matches(key, keys, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it may have {', '.join(keys)}"
            raise ConfigurationError(f"unknown key {key!r}", where=where, hint=hint)
        if not isinstance(value, keys[key]):
            raise ConfigurationError(f"{key} is a {type(value).__name__}", where=where, hint="see docs/campaigns.md")


def _goal(values: Mapping[str, Any], where: str) -> Goal:
    _check_keys(values, {"event": str, "within": str, "revenue": str}, f"{where} [goal]")
    try:
        within = parse_window(values.get("within", "14 days"))
    except EngageError as error:
        raise ConfigurationError(error.what, where=f"{where} [goal]", hint=error.hint) from error
    return Goal(values.get("event", Event.CHARGED.value), within, values.get("revenue", "amount"))


def _variants(values: Mapping[str, Any], channel: str, folder: Path, where: str) -> tuple[Variant, ...]:
    common = dict(values.get("content", {}))
    for item in CONTENT[Channel(channel)]:
        if item.file and item.name not in common and (folder / item.file).is_file():
            common[item.name] = (folder / item.file).read_text(encoding="utf-8")
    if values.get("transactional") and any(item.name == "transactional" for item in CONTENT[Channel(channel)]):
        common["transactional"] = True
    if localise := values.get("localise"):
        common[LOCALISED] = _localised(localise, channel, folder, f"{where} [localise]")
    rows = values.get("variants") or [{}]
    variants = []
    for number, row in enumerate(rows):
        _check_keys(row, {"name": str, "weight": (int, float), "content": dict}, f"{where} [[variants]] {number + 1}")
        name = str(row.get("name", "")) or (chr(65 + number) if len(rows) > 1 else "")
        weight = float(row.get("weight", 1))
        if weight < 0:
            raise ConfigurationError(f"variant {name} has a negative weight", where=where)
        content = {**common, **row.get("content", {})}
        check_attachments(content, folder, where)
        variants.append(Variant(name, weight, content))
    if len({variant.name for variant in variants}) < len(variants) or not sum(v.weight for v in variants):
        raise ConfigurationError("variants need different names and some weight", where=where)
    return tuple(variants)


def _localised(values: Mapping[str, Any], channel: str, folder: Path, where: str) -> dict[str, Any]:
    """Texts by locale, from ``[localise.texts.de]`` and files such as ``email.de.html.jinja``."""
    _check_keys(values, {"by": str, "texts": dict}, where)
    texts: dict[str, dict[str, Any]] = {name: dict(fields) for name, fields in values.get("texts", {}).items()}
    for item in CONTENT[Channel(channel)]:
        stem, _, ending = item.file.partition(".")
        for file in sorted(folder.glob(f"{stem}.*.{ending}")) if item.file else ():
            locale = file.name.removeprefix(f"{stem}.").removesuffix(f".{ending}")
            texts.setdefault(locale, {}).setdefault(item.name, file.read_text(encoding="utf-8"))
    if not texts:
        raise ConfigurationError("has no texts", where=where, hint='write [localise.texts.de] with subject = "…"')
    return {"by": values.get("by", "language"), "texts": texts}
