"""Content in several languages: the text a person reads is chosen by a property of their profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from engage.content.renderer import Renderer

__all__ = ["LOCALISED", "make_renderer"]

LOCALISED: Final = "localised"
"""The key of a variant's content that holds ``{by, texts: {locale: {field: template}}}``."""


class _Renders(Protocol):
    def render(self, context: Mapping[str, Any]) -> dict[str, Any]: ...


class _Localised:
    def __init__(self, by: str, default: Renderer, locales: Mapping[str, Renderer]) -> None:
        self._by, self._default, self._locales = by, default, locales

    def render(self, context: Mapping[str, Any]) -> dict[str, Any]:
        wanted = str((context.get("profile") or {}).get(self._by) or "").lower().replace("_", "-")
        chosen = self._locales.get(wanted) or self._locales.get(wanted.partition("-")[0]) or self._default
        return chosen.render(context)


def make_renderer(channel: str, content: Mapping[str, Any]) -> _Renders:
    """Compile one variant's content, in all its languages.

    Args:
        channel: Whose fields they are.
        content: Templates and values by field; under :data:`LOCALISED` those that differ by locale. A person whose
            locale (``pt-BR``) has no texts gets those of the language (``pt``), else the content's own.

    Raises:
        ContentError: A field, template or variable is wrong.
    """
    own = {name: value for name, value in content.items() if name != LOCALISED}
    default = Renderer(channel, own)
    localised = content.get(LOCALISED)
    if not localised:
        return default
    locales = {
        locale.lower().replace("_", "-"): Renderer(channel, {**own, **texts})
        for locale, texts in localised["texts"].items()
    }
    return _Localised(localised["by"], default, locales)
