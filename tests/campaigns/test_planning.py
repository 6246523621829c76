from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import engage
from engage.campaigns.definition import list_campaigns, read_campaign
from engage.campaigns.editing import create_campaign, set_labels
from engage.campaigns.labels import create_label, list_labels
from engage.campaigns.planning import bucket, plan
from engage.campaigns.preview import sample_messages
from engage.errors import (
    ConfigurationError,
    ContentError,
    PlanError,
    QueryError,
    UnknownCampaignError,
    UnknownLabelError,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONTENT = {"subject": "Hi", "text": "Hello {{ profile.name | default('you') }}"}


@pytest.fixture
def filled(workspace: engage.Workspace) -> engage.Workspace:
    people = [{"user_id": f"u{i:03}", "email": f"u{i}@example.com", "name": f"N{i}"} for i in range(300)]
    people[7]["email"] = " "
    workspace.land_profiles(people, now=NOON)
    left = {"event_name": "Channel Unsubscribed", "event_time": "2026-02-01"}
    workspace.land_events(
        [{**left, "user_id": user, "properties": {"channel": c}} for user, c in (("u001", "email"), ("u002", "sms"))]
    )
    return workspace


def make(workspace: engage.Workspace, name: str = "news", **values: object) -> None:
    base = {"title": "News", "channel": "email", "everyone": True, "content": dict(CONTENT)}
    create_campaign(workspace.settings, name, base | values, {})


def test_a_label_is_made_once_and_comments_stay(workspace: engage.Workspace) -> None:
    before = workspace.settings.labels.read_text()
    create_label(workspace.settings, "Win back", "for the lost", now=NOON)
    assert workspace.settings.labels.read_text().startswith(before.rstrip())
    assert [label.name for label in list_labels(workspace.settings)] == ["Onboarding", "Win back"]
    for name in ("win BACK", "", "a\nb", "x" * 81):
        with pytest.raises(ConfigurationError):
            create_label(workspace.settings, name, now=NOON)


def test_labels_are_put_on_a_campaign_as_they_are_spelled(filled: engage.Workspace) -> None:
    make(filled)
    create_label(filled.settings, "Spring", now=NOON)
    assert set_labels(filled.settings, "news", ("spring", "Onboarding")).labels == ("Spring", "Onboarding")
    with pytest.raises(UnknownLabelError, match=r"no label 'Sprin'.*did you mean 'Spring'.*engage label create"):
        set_labels(filled.settings, "news", ("Sprin",))
    assert read_campaign(filled.settings, "news").labels == ("Spring", "Onboarding")


def test_everyone_is_accounted_for_with_a_reason(filled: engage.Workspace) -> None:
    make(filled, control_percent=20, exclude=["repeat_buyers"])
    planned = plan(filled.engine, read_campaign(filled.settings, "news"), now=NOON)
    counts = planned.run.counts
    assert counts.excluded == {"no_address": 1, "unsubscribed": 1}
    assert counts.audience == 300
    rows = filled.sql("select user_id, planned, reason, message_id from audiences where run_id = 'news-once'")
    for user, decided, reason, _ in rows.rows():
        expected = "held_out" if bucket("control:news", user) < 0.2 else "send"
        assert decided == ("excluded" if reason else expected)
    assert rows["message_id"].n_unique() == 300


def test_planning_again_gives_the_same_run_and_another_workspace_the_same_bytes(
    filled: engage.Workspace, tmp_path: Path
) -> None:
    make(filled)
    first = plan(filled.engine, read_campaign(filled.settings, "news"), now=NOON)
    filled.land_profiles([{"user_id": "late", "email": "late@example.com"}])
    again = plan(filled.engine, read_campaign(filled.settings, "news"))
    assert (again.run, again.is_new, first.is_new) == (first.run, False, True)
    other = engage.Workspace.create(tmp_path / "other")
    other.land_profiles(
        [{"user_id": "b", "email": "b@example.com"}, {"user_id": "a", "email": "a@example.com"}], now=NOON
    )
    twin = engage.Workspace.create(tmp_path / "twin")
    twin.land_profiles([{"user_id": "a", "email": "a@example.com"}], now=NOON)
    twin.land_profiles([{"user_id": "b", "email": "b@example.com"}], now=NOON)
    make(other)
    make(twin)
    plans = [plan(w.engine, read_campaign(w.settings, "news"), now=NOON).path.read_bytes() for w in (other, twin)]
    assert plans[0] == plans[1]


def test_as_of_decides_who_is_reached(filled: engage.Workspace) -> None:
    make(filled, everyone=False, sql="select distinct user_id from events where event_name = 'Charged'")
    for user, day in (("u010", "2026-01-05"), ("u011", "2026-02-05")):
        filled.land_events([{"user_id": user, "event_name": "Charged", "event_time": day}])
    planned = plan(filled.engine, read_campaign(filled.settings, "news"), as_of=datetime(2026, 2, 1, tzinfo=UTC))
    assert planned.run.counts.send == 1
    assert [message["user_id"] for message in sample_messages(planned)] == ["u010"]


def test_variants_follow_their_weights_and_are_rendered(filled: engage.Workspace) -> None:
    variants = [{"name": "A", "weight": 1}, {"name": "B", "weight": 2, "content": {"subject": "Ho"}}]
    make(filled, variants=variants)
    planned = plan(filled.engine, read_campaign(filled.settings, "news"), now=NOON)
    rows = filled.sql("select user_id, variant from audiences where planned = 'send'").rows()
    for user, variant in rows:
        assert variant == ("A" if bucket("variant:news", user) < 1 / 3 else "B")
    assert 60 < Counter(variant for _, variant in rows)["A"] < 140
    for message in sample_messages(planned, 20):
        assert message["subject"] == {"A": "Hi", "B": "Ho"}[message["variant"]]
        assert message["text"] == f"Hello N{int(message['user_id'][1:])}"


@given(st.text(max_size=20), st.text(min_size=1, max_size=20))
def test_a_bucket_is_a_share(salt: str, user: str) -> None:
    assert 0 <= bucket(salt, user) < 1


def test_two_splits_are_independent() -> None:
    users = [f"user{i}" for i in range(20_000)]
    both = Counter((bucket("control:a", u) < 0.5, bucket("control:b", u) < 0.5) for u in users)
    expected = len(users) / 4
    chi_square = sum((count - expected) ** 2 / expected for count in both.values())
    assert chi_square < 16.3, "three degrees of freedom, p = 0.001"


@pytest.mark.parametrize(
    ("values", "error", "told"),
    [
        ({"chanel": "email"}, ConfigurationError, "unknown key 'chanel'; did you mean channel?"),
        ({"channel": "fax"}, ConfigurationError, "channel = 'fax' is not known"),
        ({"everyone": False}, ConfigurationError, "says not whom to reach"),
        ({"segment": "x"}, ConfigurationError, "says not whom to reach"),
        ({"labels": ["Nope"]}, UnknownLabelError, "there is no label 'Nope'"),
        ({"control_percent": 95}, ConfigurationError, "control_percent"),
        ({"control_percent": "ten"}, ConfigurationError, "control_percent is a str"),
        ({"goal": {"within": "soon"}}, ConfigurationError, "[goal]"),
        ({"variants": [{"name": "A"}, {"name": "A"}]}, ConfigurationError, "different names"),
    ],
)
def test_a_wrong_definition_is_named_and_nothing_is_left(
    workspace: engage.Workspace, values: dict[str, object], error: type[Exception], told: str
) -> None:
    with pytest.raises(error) as raised:
        make(workspace, **values)
    assert told in str(raised.value)
    assert list_campaigns(workspace.settings) == ["onboarding"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"subject": "Hi {{ profle.name }}", "text": "x"}, "unknown variable 'profle'"),
        ({"subject": "Hi {{ name }}", "text": "x"}, "profile.name"),
        ({"text": "x"}, "subject"),
        ({"subject": "x", "text": "{% if %}"}, "email.txt.jinja line 1"),
    ],
)
def test_a_wrong_template_stops_the_plan(workspace: engage.Workspace, content: dict[str, str], told: str) -> None:
    make(workspace, content=content)
    with pytest.raises(ContentError) as raised:
        plan(workspace.engine, read_campaign(workspace.settings, "news"))
    assert told in str(raised.value)
    assert not list((workspace.settings.lake / "audiences").glob("run=news*"))


def test_a_wrong_audience_stops_the_plan(workspace: engage.Workspace) -> None:
    for name, sql, error in (
        ("a", "select user_id from events where event_time > now()", QueryError),
        ("b", "delete from events", QueryError),
        ("c", "select event_name from events", PlanError),
    ):
        make(workspace, name, everyone=False, sql=sql)
        with pytest.raises(error):
            plan(workspace.engine, read_campaign(workspace.settings, name))
    make(workspace, "d", everyone=False, segment="nope")
    with pytest.raises(PlanError, match="no segment 'nope'"):
        plan(workspace.engine, read_campaign(workspace.settings, "d"))
    with pytest.raises(UnknownCampaignError, match="did you mean onboarding"):
        read_campaign(workspace.settings, "onbording")
    with pytest.raises(UnknownCampaignError):
        read_campaign(workspace.settings, "../onboarding")
