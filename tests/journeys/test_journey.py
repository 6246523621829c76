"""A journey from file to outbox: checked, simulated, launched, ticked, changed, killed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

import engage
from engage.errors import ConfigurationError, PlanError
from engage.journeys.canvas import Canvas, choices, figures
from engage.journeys.document import document
from engage.journeys.simulation import compared

T0 = datetime(2026, 3, 2, tzinfo=UTC)
HELLO = {"kind": "message", "channel": "email", "content": {"subject": "Hi", "text": "Because {{ data.event.name }}"}}
SIMPLE: dict[str, Any] = {
    "title": "Onboarding",
    "labels": ["Onboarding"],
    "entry": {"event": "App Launched", "to": "hello"},
    "nodes": {
        "hello": {**HELLO, "to": "day"},
        "day": {"kind": "wait", "for": "1 day", "to": "more"},
        "more": {**HELLO, "to": "out"},
        "out": {"kind": "exit"},
    },
}


def changed(**nodes: Any) -> dict[str, Any]:
    return {**SIMPLE, "nodes": {**SIMPLE["nodes"], **nodes}}


@pytest.fixture
def people(workspace: engage.Workspace) -> engage.Workspace:
    users = [f"u{n}" for n in range(8)]
    workspace.land_profiles([{"user_id": u, "email": f"{u}@example.com", "changed_at": T0} for u in users])
    launched = [
        {"user_id": u, "event_name": "App Launched", "event_time": T0 + timedelta(hours=n + 1)}
        for n, u in enumerate(users)
    ]
    bought = [{"user_id": "u1", "event_name": "Charged", "event_time": T0 + timedelta(hours=5)}]
    workspace.land_events([*launched, *bought])
    return workspace


def messages(workspace: engage.Workspace) -> list[tuple[str, str]]:
    query = "select user_id, run_id from notifications where event_name = 'Notification Sent' order by all"
    return [(user, run.split("-")[1]) for user, run in workspace.sql(query).rows()]


def test_messages_go_out_once_through_the_same_pass_and_ledger(people: engage.Workspace) -> None:
    journey = people.create_journey("welcome", SIMPLE | {"control_percent": 50}).launch(T0)
    people.land_events(
        [{"user_id": "u7", "event_name": "Channel Unsubscribed", "event_time": T0, "properties": {"channel": "email"}}]
    )
    for hours in (4, 4, 20, 40, 40):
        done = people.tick_journeys(T0 + timedelta(hours=hours))
        assert [one.error for one in done] == [""]
    held = people.sql("select distinct user_id from notifications where event_name = 'Notification Held Out'")
    out = {"u7", *held["user_id"]}
    assert 1 <= held.height < 8
    users = {f"u{n}" for n in range(8)} - out
    # u1 reached the goal before the second message.
    assert messages(people) == sorted([(u, "hello") for u in users] + [(u, "more") for u in users - {"u1"}])
    counts = {row["node"]: row["entered"] for row in journey.status().iter_rows(named=True)}
    assert counts == {"entry": 8, "hello": 8, "day": 8, "more": 7, "out": 7, "_goal": 1}
    sent = people.sql(
        "select distinct journey_id, campaign_id, delivery_type, labels from notifications where journey_id is not null"
    )
    assert sent.rows() == [("welcome", "welcome", "journey", ["Onboarding"])]
    assert journey.path("u1")["node"].to_list() == ["entry", "hello", "day", "_goal"]
    text = json.dumps([row["context"] for row in people.sql("select context from audiences").iter_rows(named=True)])
    assert "App Launched" in text


def test_killed_between_the_record_and_the_messages(people: engage.Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from engage.workspace.open_campaign import OpenCampaign

    people.create_journey("welcome", SIMPLE).launch(T0)
    send, calls = OpenCampaign.send, []

    def dies(self: OpenCampaign, *args: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) % 2:
            raise KeyboardInterrupt
        done = send(self, *args, **named)
        if len(calls) % 3 == 0:
            raise KeyboardInterrupt  # sent, and not written down by the journey
        return done

    monkeypatch.setattr(OpenCampaign, "send", dies)
    for hours in [*range(2, 60, 3), *([60] * 40)]:
        try:
            people.tick_journeys(T0 + timedelta(hours=hours))
        except KeyboardInterrupt:
            continue
    assert len(calls) > 12
    users = {f"u{n}" for n in range(8)}
    assert messages(people) == sorted([(u, "hello") for u in users] + [(u, "more") for u in users - {"u1"}])


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ({"lost": {"kind": "exit"}}, ("lost", "nobody reaches it")),
        ({"day": {"kind": "join", "to": "hello"}}, ("hello", "is in a loop without a wait that takes time")),
        ({"more": {"kind": "message", "channel": "email", "to": "out"}}, ("more", "subject")),
        ({"more": {**HELLO, "to": "gone"}}, ("more", "leads to 'gone', which is not there")),
        ({"more": {**HELLO}}, ("more", "the way 'next' leads nowhere")),
        (
            {
                "more": {
                    "kind": "branch",
                    "cases": [{"port": "a", "event": "x"}, {"port": "b", "event": "x"}],
                    "to": {"a": "out", "b": "out", "else": "out"},
                }
            },
            ("more", "the way 'b' is never taken: asked before"),
        ),
        (
            {
                "more": {
                    "kind": "branch",
                    "cases": [{"port": "a", "segment": "nope"}],
                    "to": {"a": "out", "else": "out"},
                }
            },
            ("more", "no segment 'nope'"),
        ),
        ({"more": {**HELLO, "provider": "pigeon", "to": "out"}}, ("more", "pigeon")),
    ],
)
def test_faults_name_the_node(workspace: engage.Workspace, nodes: dict[str, Any], told: tuple[str, str]) -> None:
    journey = workspace.create_journey("j", changed(**nodes))
    assert any(fault.node == told[0] and told[1] in fault.what for fault in journey.check()), journey.check()
    with pytest.raises(PlanError, match="engage journey check"):
        journey.launch(T0)


def test_a_sound_journey_has_no_fault_and_a_wrong_key_is_named(workspace: engage.Workspace) -> None:
    assert workspace.create_journey("j", SIMPLE).check() == []
    with pytest.raises(ConfigurationError, match=r"nodes.day.*'fore'.*did you mean for"):
        workspace.create_journey("k", changed(day={"kind": "wait", "fore": "1 day", "to": "more"}))


def test_simulation_tells_what_the_ticks_then_do(people: engage.Workspace) -> None:
    journey = people.create_journey("welcome", SIMPLE)
    for step in (None, "7 hours"):
        found = journey.simulate(T0, T0 + timedelta(days=3), step=step)
        assert (found.entries, found.moves) == (8, 8 + 8 + 8 + 7 + 7 + 1)
        assert found.messages.select("node", "channel", "messages").rows() == [
            ("hello", "email", 8),
            ("more", "email", 7),
        ]
        assert found.inside.rows() == [(datetime(2026, 3, 2).date(), "day", 7)]  # noqa: DTZ001
    assert journey.record.ticks() == []
    journey.launch(T0).tick(T0 + timedelta(days=3))
    assert journey.status().drop("version").equals(found.nodes.drop("version"))


def test_two_versions_are_simulated_side_by_side_and_laid_over_the_canvas(people: engage.Workspace) -> None:
    (people.settings.data / "prices.toml").write_text("[channels]\nemail = 0.5\n")
    journey = people.create_journey("welcome", SIMPLE).launch(T0)
    shorter = changed(day={"kind": "wait", "for": "1 day", "to": "out"})
    del shorter["nodes"]["more"]
    until = T0 + timedelta(days=3)
    first = journey.simulate(T0, until, values=journey.version(1))
    second = journey.simulate(T0, until, values=shorter)
    told = {row["node"]: row for row in compared(first, second).iter_rows(named=True)}
    assert (told["hello"]["messages_first"], told["hello"]["messages_second"], told["hello"]["cost_second"]) == (
        8,
        8,
        4,
    )
    assert (told["more"]["entered_first"], told["more"]["entered_second"], told["more"]["channel"]) == (
        7,
        None,
        "email",
    )
    over = figures(first.nodes, first.edges, first.messages)
    assert over["edges"]["day:next:more"] == 7
    day, entry = over["nodes"]["day"], over["nodes"]["entry"]
    assert (day["entered"], day["goal"], day["median_seconds"]) == (8, 1, 86_400)
    assert (entry["share"], entry["goal_share"], over["nodes"]["more"]["cost"]) == (1, 1 / 8, 3.5)
    with pytest.raises(PlanError, match="there is no version 2"):
        journey.version(2)


def test_a_canvas_gives_back_what_it_was_given(workspace: engage.Workspace) -> None:
    workspace.create_journey("dated", SIMPLE)
    file = workspace.settings.journeys / "dated.toml"
    file.write_text("start = 2026-03-02  # the first Monday\n" + file.read_text())
    before, opened = file.read_text(), workspace.journey("dated")
    canvas = Canvas.of(opened.values(), choices(workspace.engine, ["dormant"]), faults=opened.check())
    assert json.loads(json.dumps(canvas.graph))["start"] == "2026-03-02"
    workspace.save_journey("dated", canvas.graph)
    assert file.read_text() == before
    assert {one["name"] for one in canvas.choices["fields"]["email"] if one["required"]} == {"subject"}


def test_a_new_version_takes_people_over_or_lets_them_finish(people: engage.Workspace) -> None:
    first = people.create_journey("welcome", SIMPLE).launch(T0)
    first.tick(T0 + timedelta(hours=4, minutes=30))  # u0 … u3 wait for a day
    short = changed(day={"kind": "wait", "for": "6 hours", "to": "out"}) | {"status": "running"}
    del short["nodes"]["more"]
    people.save_journey("welcome", short)
    # Before it is published: who would move where, by node.
    assert people.journey("welcome").inside().rows() == [(1, "day", 4, "day")]
    assert people.journey("welcome").inside(to="more").rows() == [(1, "day", 4, None)]  # the file has it no more
    moved = people.journey("welcome").launch(T0 + timedelta(hours=4, minutes=30), inside="move")
    moved.tick(T0 + timedelta(hours=20))
    assert moved.path("u0")["node"].to_list() == ["entry", "hello", "day", "day", "out"]
    assert moved.path("u0")["entered_at"][-1] == T0 + timedelta(hours=7)  # an hour after midnight, and six
    assert moved.path("u5")["version"].unique().to_list() == [2]


def test_lift_is_told_of_each_version_and_on_the_canvas(workspace: engage.Workspace) -> None:
    """Sent or held out by hand: 40 and 40 of version 1, of whom 20 and 8 bought; 40 and 40 of version 2, all alike."""
    rows: list[dict[str, Any]] = []
    for version, (sent, held) in {1: (20, 8), 2: (10, 10)}.items():
        run = f"welcome-hello-{version}x20260302T000000000000x20260303T000000000000"
        for what, bought in (("Sent", sent), ("Held Out", held)):
            for n in range(40):
                user, told = f"{version}-{what}-{n}", {"campaign_id": "welcome", "run_id": run, "channel": "email"}
                rows.append(
                    {"user_id": user, "event_name": f"Notification {what}", "event_time": T0, "properties": told}
                )
                if n < bought:
                    at = T0 + timedelta(hours=1)
                    rows.append({"user_id": user, "event_name": "Charged", "event_time": at})
    workspace.land_events(rows)
    journey = workspace.create_journey("welcome", SIMPLE).launch(T0)
    assert journey.lifts().select("version", "treated_n", "control_n", "difference").rows() == [
        ("all", 80, 80, pytest.approx(0.15)),
        ("1", 40, 40, pytest.approx(0.3)),
    ]
    shorter = changed(day={"kind": "wait", "for": "1 hour", "to": "more"}) | {"status": "running"}
    workspace.save_journey("welcome", shorter)
    journey = workspace.journey("welcome").launch(T0 + timedelta(minutes=1))
    assert dict(journey.lifts().select("version", "difference").rows()) == {
        "all": pytest.approx(0.15),
        "1": pytest.approx(0.3),
        "2": pytest.approx(0),
    }
    entered = pl.DataFrame({"version": [1], "node": ["entry"], "entered": [160], "waiting": [0], "median_seconds": [0]})
    over = figures(entered, journey.edges(), lift=journey.lift())
    assert over["nodes"]["entry"]["lift"][0] == pytest.approx(0.15)


def test_paused_lets_nobody_in(people: engage.Workspace) -> None:
    journey = people.create_journey("welcome", SIMPLE).launch(T0)
    journey.tick(T0 + timedelta(hours=2, minutes=30))
    people.journey("welcome").pause(T0 + timedelta(hours=2, minutes=30))
    assert people.tick_journeys(T0 + timedelta(hours=5)) == []
    people.journey("welcome").launch(T0 + timedelta(hours=6, minutes=30))
    people.tick_journeys(T0 + timedelta(days=3))
    assert people.journey("welcome").status().row(0, named=True)["entered"] == 4


def test_the_file_keeps_its_order_and_comments(workspace: engage.Workspace) -> None:
    text = document(SIMPLE)
    assert document(SIMPLE, text) == text
    noted = text.replace("[nodes.day]", "# a day is enough\n[nodes.day]")
    after = document(changed(day={"kind": "wait", "for": "2 days", "to": "more"}), noted)
    pairs = [(a, b) for a, b in zip(noted.splitlines(), after.splitlines(), strict=True) if a != b]
    assert pairs == [('for = "1 day"', 'for = "2 days"')]
