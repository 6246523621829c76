"""What each method of the face asks of who calls it, and what of it is written down."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

from engage.access.audit import AuditLog
from engage.access.roles import RIGHTS, Right
from engage.errors import AccessError, ConfigurationError, EngageError
from engage.workspace.base import Base

__all__ = ["guarded"]

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


def guarded(
    right: Right, what: str = "", *, keep: tuple[str, ...] = ()
) -> Callable[[Callable[Concatenate[S, P], R]], Callable[Concatenate[S, P], R]]:
    """Let a method be called only by those who may, and write down that it was.

    Args:
        right: What they must be allowed.
        what: What the audit log calls the act, ``campaign.send``; '' to write down only who was refused. Its object
            is the campaign or journey that was opened, or else the method's first argument.
        keep: Named arguments the log keeps.

    Raises:
        AccessError: By the method: who acts may not do this.
    """

    def wrap(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
        @functools.wraps(method)
        def checked(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
            space: Base = self if isinstance(self, Base) else self.workspace  # type: ignore[attr-defined]
            detail = {name: kwargs[name] for name in keep if kwargs.get(name) is not None}
            with _permitted(space, right, what or method.__name__, _object(self, args), bool(what), detail):
                return method(self, *args, **kwargs)

        checked.right = right  # type: ignore[attr-defined]
        return checked

    return wrap


@contextmanager
def _permitted(
    space: Base, right: Right, what: str, object: str, noted: bool, detail: dict[str, Any]
) -> Iterator[None]:
    actor = space.actor.now(space.settings)
    note = functools.partial(
        AuditLog(space.settings.audit).record, actor.name, what, object, role=actor.role or "", via=actor.via
    )
    if not actor.may(right):
        note(outcome="refused")
        least = next(role for role, rights in RIGHTS.items() if right in rights)
        hint = f"that takes the role {least} or more; an admin can give it"
        raise AccessError(
            f"{actor.name} ({actor.role or 'no account'}) may not do this", where=what if noted else "", hint=hint
        )
    noted = noted and actor.via != "service"
    if noted:
        note(detail=detail)
    try:
        yield
    except (EngageError, ConfigurationError) as error:
        if noted:
            note(outcome="failed", detail={"error": type(error).__name__})
        raise


def _object(owner: object, args: tuple[object, ...]) -> str:
    definition = getattr(owner, "definition", None)
    if definition is not None:
        return str(getattr(definition, "campaign_id", "") or getattr(definition, "journey_id", ""))
    return str(args[0])[:200] if args and isinstance(args[0], str) else ""
