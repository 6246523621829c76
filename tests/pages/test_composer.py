"""The composer's form, to a campaign and back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import engage
from engage.errors import PlanError
from engage.pages.composer import AS_IT_IS, campaign_values, edited_values, form_values

FORM: dict[str, Any] = {
    "name": "news", "title": "News", "channel": "email", "segment": None, "labels": ["Onboarding"], "control": 10,
    "content": {"subject": "Hi", "text": "Hello", "html": ""}, "content_b": {"subject": "Hi there"}, "weight_b": 30,
    "goal": "Charged", "within": "7 days", "per_day": 1, "per_week": None, "quiet_from": "21:00", "quiet_to": "08:00",
    "topic": "news", "when": "cron", "when_value": "0 9 * * MON", "when_after": "", "when_unless": "",
    "when_local": "09:00",
}  # fmt: skip


def saved(space: engage.Workspace, **changes: Any) -> dict[str, Any]:
    """Change fields of the form, save, and read the form anew."""
    campaign = space.campaign("news").definition
    values, files = edited_values({**form_values(campaign), **changes}, campaign)
    space.edit_campaign("news", values, files)
    return form_values(space.campaign("news").definition)


def test_what_the_form_made_it_shows_again(workspace: engage.Workspace) -> None:
    made = workspace.create_campaign("news", campaign_values(FORM)).definition
    shown = form_values(made)
    assert {name: shown[name] or "" for name in FORM if name not in ("content", "control")} == {
        name: value or "" for name, value in FORM.items() if name not in ("content", "control")
    }
    assert shown["content"] == {"subject": "Hi", "text": "Hello"}
    assert shown["control"] == 10
    assert edited_values(shown, made) == ({}, {}), "what nobody touched is not written"


def test_each_field_is_saved_and_the_others_stay(workspace: engage.Workspace) -> None:
    values = campaign_values(FORM) | {"exclude": ["big_spenders"], "throttle_per_second": 5}
    workspace.create_campaign("news", values, {"email.html.jinja": "<p>Hello</p>"})
    before = form_values(workspace.campaign("news").definition)
    for name, value in {
        "title": "Other news", "segment": "big_spenders", "labels": [], "control": 0, "goal": "App Launched",
        "within": "2 hours", "per_day": None, "per_week": 3, "quiet_from": "", "topic": "", "weight_b": 50,
        "when_value": "0 8 * * *", "when_local": "",
    }.items():  # fmt: skip
        after = saved(workspace, **{name: value})
        different = {key for key in before if (after[key] or "") != (before[key] or "")}
        assert name in different, name
        assert different <= {name, "quiet_to"}, name
        before = after
    text = saved(workspace, content={"subject": "Hi again", "text": "", "html": "<p>Hi</p>"})["content"]
    assert text == {"subject": "Hi again", "html": "<p>Hi</p>"}
    folder = workspace.settings.campaigns / "news"
    assert (folder / "email.html.jinja").read_text() == "<p>Hi</p>", "a template stays the file it was"
    after = saved(workspace, content_b={}, when="event", when_value="Cart Filled", when_after="2 hours")
    changed = workspace.campaign("news").definition
    assert len(changed.variants) == 1
    assert (changed.schedule.event, changed.schedule.after) == ("Cart Filled", timedelta(hours=2))
    assert (changed.exclude, changed.throttle_per_second) == (("big_spenders",), 5)
    saved(workspace, when="", when_value="")
    assert workspace.campaign("news").definition.schedule.event is None


def test_what_the_form_cannot_say_is_left_alone(workspace: engage.Workspace) -> None:
    values = {key: value for key, value in campaign_values(FORM).items() if key != "everyone"}
    workspace.create_campaign("news", values | {"sql": "select user_id from profiles"})
    shown = saved(workspace, title="By SQL")
    assert (shown["segment"], shown["title"]) == (AS_IT_IS, "By SQL")
    assert workspace.campaign("news").definition.sql == "select user_id from profiles"
    three = {"variants": [{"name": name} for name in "ABC"]}
    workspace.edit_campaign("news", three)
    with pytest.raises(PlanError, match=r"campaign\.toml"):
        form_values(workspace.campaign("news").definition)
