"""Who acts: whoever opened the notebook, signed in to the server; otherwise whoever's shell it is."""

from __future__ import annotations

import getpass
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engage.access.accounts import Accounts
from engage.access.roles import RIGHTS, Right, Role
from engage.access.store import Store
from engage.settings import Settings

__all__ = ["Actor", "acting", "serve_only_people", "service"]

_NOBODY = "nobody"
_served = False


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something.

    Args:
        name: An address, or ``user@machine`` of a shell.
        role: What they were when they came; None for nobody.
        via: ``web``, ``shell`` or ``service``.
        id: Their account; '' where they need none.
    """

    name: str
    role: Role | None
    via: str
    id: str = ""

    def now(self, settings: Settings) -> Actor:
        """The same with the role they have now; None once the account is gone."""
        if not self.id:
            return self
        account = Accounts(Store(settings.access)).get(self.id)
        return Actor(self.name, account.role if account else None, self.via, self.id)

    def may(self, right: Right) -> bool:
        """Whether their role lets them."""
        return self.role is not None and right in RIGHTS[self.role]

    def as_user(self) -> dict[str, Any]:
        """The same, as a notebook finds it in ``mo.app_meta().request.user``."""
        role = self.role.value if self.role else ""
        return {"is_authenticated": True, "username": self.name, "role": role, "account": self.id}


def service(name: str) -> Actor:
    """A part of this program that acts by itself; what it does is in the lake and in its log."""
    return Actor(name, Role.ADMIN, "service")


def serve_only_people() -> None:
    """From now on only people who are signed in act in this process, each for themselves, and services by name.

    So a notebook's thread that lost its request acts for nobody, instead of for whoever started the server.
    """
    global _served
    _served = True


def acting() -> Actor:
    """Who acts here and now."""
    marimo = sys.modules.get("marimo")
    if marimo is not None:
        meta = marimo.app_meta()
        user = getattr(meta.request, "user", None)
        if isinstance(user, Mapping) and user.get("account"):
            return Actor(str(user["username"]), Role(user["role"]), "web", str(user["account"]))
    if _served:
        return Actor(_NOBODY, None, "web")
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's number without a name
        name = "unknown"
    return Actor(f"{name}@{socket.gethostname()}", Role.ADMIN, "shell")
