"""Drafts: what somebody has typed is still there when the page is opened again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from engage.lake.storage import write_atomically
from engage.pages.navigation import user_name
from engage.workspace import Workspace

__all__ = ["Draft"]


class Draft:
    """What somebody has typed into a form and not finished: one small file a person and form under ``data/drafts/``.

    Args:
        ws: The workspace.
        name: The form's name.
        user: Whose; who looks by default, everyone where there is no login.
    """

    def __init__(self, ws: Workspace, name: str, user: str | None = None) -> None:
        who = user_name() if user is None else user
        suffix = f"-{sha256(who.encode()).hexdigest()[:12]}" if who else ""
        self.file: Path = ws.settings.data / "drafts" / f"{name}{suffix}.json"

    def read(self, **otherwise: Any) -> dict[str, Any]:
        """What was typed; where nothing was, or it cannot be read, what the form starts with.

        Args:
            otherwise: What each field starts with; only these fields are returned.
        """
        try:
            found = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = {}
        found = found if isinstance(found, dict) else {}
        return {name: found.get(name, value) for name, value in otherwise.items()}

    def keep(self, values: Mapping[str, Any]) -> None:
        """Keep what is typed; whole or not at all."""
        text = json.dumps(dict(values), ensure_ascii=False, indent=1, default=str)
        try:
            if self.file.read_text(encoding="utf-8") == text:
                return
        except OSError:
            pass
        write_atomically(self.file, text)

    def forget(self) -> None:
        """Throw it away: it was finished."""
        self.file.unlink(missing_ok=True)
