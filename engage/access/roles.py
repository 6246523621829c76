"""What each role may do, in one table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from engage.errors import ConfigurationError

__all__ = ["RIGHTS", "Right", "Role", "read_role"]


class Right(StrEnum):
    """Something one may be allowed to do."""

    READ = "read"  # look at reports, retention, funnels, health
    ANALYSE = "analyse"  # segments, SQL, people one by one, exports, reports by mail
    COMPOSE = "compose"  # campaigns, journeys, labels, suppressions; plans, tests, pausing
    SEND = "send"  # approve, send, launch, resume, settle doubt, sync audiences
    ADMINISTER = "administer"  # people and roles, the audit log, imports, erasure


class Role(StrEnum):
    """What a person is here; each may do what those before it may."""

    VIEWER = "viewer"
    ANALYST = "analyst"
    MARKETER = "marketer"
    SENDER = "sender"
    ADMIN = "admin"


RIGHTS: Mapping[Role, frozenset[Right]] = {
    Role.VIEWER: frozenset({Right.READ}),
    Role.ANALYST: frozenset({Right.READ, Right.ANALYSE}),
    Role.MARKETER: frozenset({Right.READ, Right.ANALYSE, Right.COMPOSE}),
    Role.SENDER: frozenset({Right.READ, Right.ANALYSE, Right.COMPOSE, Right.SEND}),
    Role.ADMIN: frozenset(Right),
}
"""What each role may do."""


def read_role(name: str) -> Role:
    """A role by its name.

    Raises:
        ConfigurationError: There is none of that name.
    """
    try:
        return Role(name)
    except ValueError:
        raise ConfigurationError(f"there is no role {name!r}", hint="there are: " + ", ".join(Role)) from None
