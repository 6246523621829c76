"""What a method of the workspace shows of its arguments is what it takes."""

from __future__ import annotations

from inspect import Parameter, signature
from pathlib import Path

import pytest

from engage.errors import EngageError
from engage.workspace import Workspace
from engage.workspace.asking import asks


def test_every_argument_is_shown_once_and_the_methods_own_come_first() -> None:
    def inner(*, where: str = "", end: str = "") -> None: ...
    def asked(engine: object, steps: int, within: str = "", **rest: object) -> None: ...

    @asks(asked, inner)
    def method(self: object, steps: int, *, as_of: str = "", **question: object) -> None: ...

    assert list(signature(method).parameters) == ["self", "steps", "as_of", "within", "where", "end"]


ASKING = [
    "active_users",
    "find_people",
    "funnel",
    "funnel_times",
    "funnel_users",
    "paths",
    "retention",
    "rfm",
    "rfm_users",
    "stickiness",
    "trends",
    "uninstalls",
    "uninstalls_after",
]
NEEDED = {"steps": ["A", "B"], "step": 1, "events": ["A"], "event": "A"}


@pytest.mark.parametrize("name", ASKING)
def test_what_is_shown_is_taken(name: str, tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "w")
    events = [{"event_id": n, "user_id": "ada", "event_name": n, "event_time": "2026-03-01T09:00:00Z"} for n in "AB"]
    workspace.land_events(events)
    shown = list(signature(getattr(Workspace, name)).parameters.values())[1:]
    assert not [one for one in shown if one.kind in (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)]
    given = {one.name: NEEDED[one.name] if one.default is Parameter.empty else one.default for one in shown}
    getattr(workspace, name)(**given)
    with pytest.raises((TypeError, EngageError)):
        getattr(workspace, name)(**given, no_such_argument=1)
