"""What a campaign's mail reports back: opens, clicks, UTM parameters; read from settings and definitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from engage.errors import ConfigurationError
from engage.settings import Settings

__all__ = ["Tracking", "public_url", "read_tracking"]

_PARAMETERS = ("source", "medium", "campaign", "content", "term", "id")


@dataclass(frozen=True, slots=True)
class Tracking:
    """What is tracked.

    Args:
        opens: A picture tells that a mail was opened.
        clicks: Links lead through the server.
        utm: Parameters added to links, by name without ``utm_``; empty for none.
    """

    opens: bool = True
    clicks: bool = True
    utm: Mapping[str, str] = field(default_factory=dict)

    def options(self, settings: Settings) -> dict[str, Any]:
        """What is frozen in a run: this, and the server's public address, so that a repeated message is the same."""
        return {"url": public_url(settings), "opens": self.opens, "clicks": self.clicks, "utm": dict(self.utm)}


def public_url(settings: Settings) -> str:
    """Where the workspace's server is reached from outside (``[tool.engage.server] public_url``); empty for nowhere.

    Raises:
        ConfigurationError: It is no address of a web server.
    """
    url = settings.options.get("server", {}).get("public_url", "")
    if not url:
        return ""
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ConfigurationError(
            f"public_url = {url!r} is no address", where="[tool.engage.server]", hint='write "https://mail.example.com"'
        )
    return str(url).rstrip("/")


def read_tracking(settings: Settings, values: object, *, campaign: str, channel: str, where: str) -> Tracking:
    """Read a campaign's ``tracking``, over that of the workspace (``[tool.engage.tracking]``).

    Args:
        settings: The workspace.
        values: A table of ``opens``, ``clicks`` and ``utm`` (true, or a table); False for nothing; None for the
            workspace's.
        campaign: The campaign's id, its default ``utm_campaign``.
        channel: Its default ``utm_medium``.
        where: What to name in errors.

    Raises:
        ConfigurationError: A key or value is not one of those.
    """
    common = _table(settings.options.get("tracking", {}), "[tool.engage.tracking]")
    own = _table({} if values is None else values, f"{where} [tracking]")
    given = {**common, **own}
    utm = given.get("utm", False)
    parameters: dict[str, str] = {}
    if utm is not False:
        parameters = {"source": "engage", "medium": channel, "campaign": campaign}
        shared = common.get("utm")
        for table in (shared, utm):
            if isinstance(table, Mapping):
                parameters |= {name: str(value) for name, value in table.items()}
        parameters = {name: value for name, value in parameters.items() if value}
    return Tracking(given.get("opens", True), given.get("clicks", True), parameters)


def _table(values: object, where: str) -> dict[str, Any]:
    if isinstance(values, bool):
        return {"opens": values, "clicks": values, **({} if values else {"utm": False})}
    if not isinstance(values, Mapping) or set(values) - {"opens", "clicks", "utm"}:
        raise ConfigurationError("tracking is not known so", where=where, hint="it has opens, clicks and utm")
    for name in ("opens", "clicks"):
        if not isinstance(values.get(name, True), bool):
            raise ConfigurationError(f"{name} is neither true nor false", where=where)
    utm = values.get("utm", False)
    if not isinstance(utm, bool) and not (isinstance(utm, Mapping) and set(utm) <= set(_PARAMETERS)):
        raise ConfigurationError("utm is not known so", where=where, hint=f"true, or {', '.join(_PARAMETERS)}")
    return dict(values)
