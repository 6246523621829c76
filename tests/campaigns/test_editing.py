from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import engage
from engage.campaigns.facts import campaign_facts
from engage.cli import cli
from engage.errors import ConfigurationError, ContentError, PlanError, UnknownLabelError
from engage.lake.runs import read_run

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SQL = "select user_id from profiles"


@pytest.fixture
def shop(workspace: engage.Workspace) -> engage.Workspace:
    rows = [{"user_id": f"u{i}", "email": f"u{i}@example.com", "name": f"N{i}"} for i in range(20)]
    workspace.land_profiles(rows, now=NOON - timedelta(days=1))
    values = {"title": "News", "channel": "email", "everyone": True, "content": {"subject": "Hi", "text": "Hello"}}
    workspace.create_campaign("news", values, {"email.html.jinja": "<p>Hello {{ profile.name }}</p>"})
    return workspace


def file_of(space: engage.Workspace, name: str = "news") -> Path:
    return space.settings.campaigns / name / "campaign.toml"


def test_an_edit_changes_what_it_names_and_nothing_else(shop: engage.Workspace) -> None:
    file = file_of(shop)
    file.write_text("# ours\n" + file.read_text())
    changed = shop.edit_campaign("news", {"content": {"subject": "Good morning"}, "sql": SQL, "caps": {"day": 1}})
    assert file.read_text().startswith("# ours\n"), "comments stay"
    assert changed.definition.variants[0].content["subject"] == "Good morning"
    assert changed.definition.variants[0].content["text"] == "Hello", "a table changes the keys it names"
    assert (changed.definition.sql, changed.definition.segment) == (SQL, None)
    assert "everyone" not in file.read_text(), "who is reached is said once"
    gone = shop.edit_campaign("news", {"caps": None})
    assert gone.definition.caps == ()


@pytest.mark.parametrize(
    ("values", "files", "error", "told"),
    [
        ({"chanel": "sms"}, {}, ConfigurationError, "did you mean channel"),
        ({"labels": ["Nope"]}, {}, UnknownLabelError, "Nope"),
        ({"everyone": None}, {}, ConfigurationError, "whom to reach"),
        ({"status": "completed"}, {}, PlanError, "use launch, pause or stop"),
        ({"content": {"subject": "{{ profle.name }}"}}, {}, ContentError, "profle"),
        ({}, {"email.html.jinja": "{% if %}"}, ContentError, "email.html"),
        ({}, {"../email.html.jinja": "x"}, ContentError, "not a template's file name"),
        ({}, {"campaign.toml": "x"}, ContentError, "not a template's file name"),
    ],
)
def test_a_wrong_edit_changes_nothing(
    shop: engage.Workspace, values: dict[str, Any], files: dict[str, str], error: type[Exception], told: str
) -> None:
    before = {path: path.read_bytes() for path in file_of(shop).parent.iterdir()}
    with pytest.raises(error, match=told):
        shop.edit_campaign("news", values, files)
    assert {path: path.read_bytes() for path in file_of(shop).parent.iterdir()} == before


def test_a_planned_run_is_sent_as_planned_and_the_next_as_edited(shop: engage.Workspace) -> None:
    shop.edit_campaign("news", {"schedule": {"cron": "0 18 * * *"}})
    shop.campaign("news").launch(NOON)
    [first] = shop.tick_campaigns(NOON + timedelta(hours=7))
    shop.edit_campaign("news", {"content": {"subject": "Tomorrow's"}}, {"email.html.jinja": None})
    [second] = shop.tick_campaigns(NOON + timedelta(hours=31))
    subjects = {
        run: {content["subject"] for content in read_run(shop.settings, run).content.values()}
        for run in (first.run_id, second.run_id)
        if run is not None
    }
    assert list(subjects.values()) == [{"Hi"}, {"Tomorrow's"}]
    with pytest.raises(PlanError, match="its channel stays email"):
        shop.edit_campaign("news", {"channel": "sms", "content": {"body": "x"}})


def test_what_was_approved_is_approved_anew_after_an_edit(shop: engage.Workspace) -> None:
    space = engage.Workspace(replace(shop.settings, options={**shop.settings.options, "approval_above": 5}))
    space.edit_campaign("news", {"schedule": {"cron": "0 18 * * *"}})
    space.campaign("news").launch(NOON, approve=space.campaign("news").plan(now=NOON).plan_id)
    space.edit_campaign("news", {"labels": ["Onboarding"]})
    assert space.campaign("news").definition.approved == 20, "a label needs no second look"
    space.edit_campaign("news", {"content": {"subject": "Other words"}})
    [done] = space.tick_campaigns(NOON + timedelta(hours=7))
    assert "without approval" in done.error
    with pytest.raises(PlanError, match="approval"):
        space.campaign("news").launch(NOON)
    space.campaign("news").launch(NOON, approve=space.campaign("news").plan(now=NOON).plan_id)
    [done] = space.tick_campaigns(NOON + timedelta(hours=7))
    assert done.error == ""


def test_a_copy_is_a_draft_with_the_same_templates(shop: engage.Workspace) -> None:
    shop.edit_campaign("news", {"schedule": {"cron": "0 18 * * *"}, "not_in": ["news"]})
    shop.campaign("news").launch(NOON)
    copy = shop.copy_campaign("news", "news_2").definition
    assert (copy.status, copy.launched_at, copy.title, copy.not_in) == ("draft", None, "News (copy)", ("news_2",))
    assert copy.variants[0].content == shop.campaign("news").definition.variants[0].content
    with pytest.raises(PlanError, match="there already"):
        shop.copy_campaign("news", "news_2")


def test_a_campaign_is_made_shown_and_edited_by_command(
    shop: engage.Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> str:
        assert cli.main(["-w", str(shop.root), *words], standalone_mode=False) in (None, 0)
        return capsys.readouterr().out

    template = tmp_path / "sms.txt.jinja"
    template.write_text("Hello {{ profile.name }}")
    made = run(
        "campaign", "create", "hello", "--channel", "sms", "--label", "Onboarding", "--file", str(template),
        "--set", "goal.within=3 days", "--set", "control_percent=10", "--set", "schedule.cron=0 9 * * MON",
    )  # fmt: skip
    assert "a draft" in made
    shown = run("campaign", "show", "hello")
    assert "Onboarding" in shown
    assert "cron 0 9 * * MON UTC" in shown
    assert "Charged within 3 days" in shown
    run("campaign", "edit", "hello", "--set", "title=Hello there", "--set", f"sql={SQL}", "--unset", "schedule")
    facts = campaign_facts(shop.campaign("hello").definition)
    assert facts["Title"] == "Hello there"
    assert facts["Whom"] == f"by SQL: {SQL}"
    assert facts["When"] == "when it is sent or launched"
    assert "a draft" in run("campaign", "copy", "hello", "hello_2")


def test_the_report_counts_both_runs_of_a_campaign_with_a_winner(shop: engage.Workspace) -> None:
    shop.edit_campaign(
        "news",
        {
            "schedule": {"at": NOON + timedelta(hours=1)},
            "winner": {"sample_percent": 50, "after": "1 hour"},
            "variants": [{"name": "A"}, {"name": "B", "content": {"subject": "B"}}],
        },
    )
    shop.campaign("news").launch(NOON)
    for hours in (1, 3):
        assert [done.error for done in shop.tick_campaigns(NOON + timedelta(hours=hours))] == [""]
    runs = [run for run in shop.runs() if run.campaign_id == "news"]
    assert len(runs) == 2
    assert sum(run.sent for run in runs) == 20
    row = shop.campaign_report().filter(campaign_id="news").row(0, named=True)
    assert row["sent"] == 20
    assert row["audience"] == sum(run.audience for run in runs)
