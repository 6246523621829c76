"""What each role may do through a workspace, and what is written down of it."""

from __future__ import annotations

import getpass
import inspect
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import engage
from engage.access.accounts import Accounts
from engage.access.actor import Actor, service
from engage.access.roles import RIGHTS, Right, Role
from engage.access.store import Store
from engage.errors import AccessError, EngageError
from engage.workspace.journeys import OpenJourney
from engage.workspace.open_campaign import OpenCampaign

ACTS: dict[str, tuple[Role, Callable[[engage.Workspace], Any]]] = {
    "look at the report": (Role.VIEWER, lambda ws: ws.campaign_report()),
    "ask a question": (Role.VIEWER, lambda ws: ws.sql("select 1 as n")),
    "find people": (Role.ANALYST, lambda ws: ws.find_people("u1")),
    "run a select of people": (Role.ANALYST, lambda ws: ws.people("select user_id from profiles").count()),
    "see whom a segment holds": (Role.ANALYST, lambda ws: ws.some_people("everyone")),
    "count a segment": (Role.VIEWER, lambda ws: ws.people("everyone").count()),
    "land events": (Role.ADMIN, lambda ws: ws.land_profiles([{"user_id": "u2"}])),
    "keep a segment": (
        Role.ANALYST,
        lambda ws: ws.save_segment("select user_id from profiles", "all_of_them", "All of them", replace=True),
    ),
    "make a label": (Role.MARKETER, lambda ws: ws.create_label("Fresh")),
    "plan": (Role.MARKETER, lambda ws: ws.campaign("news").plan()),
    "pause": (Role.MARKETER, lambda ws: ws.campaign("news").pause()),
    "suppress": (Role.MARKETER, lambda ws: ws.suppress("email", "x@example.com")),
    "test": (Role.MARKETER, lambda ws: ws.campaign("news").test_send("me@example.com", user="u1")),
    "send": (Role.SENDER, lambda ws: ws.campaign("news").send()),
    "launch": (Role.SENDER, lambda ws: ws.campaign("news").launch()),
    "lift a suppression": (Role.SENDER, lambda ws: ws.unsuppress("email", "x@example.com")),
    "add people": (Role.ADMIN, lambda ws: ws.add_account("new@example.com", role=Role.VIEWER)),
    "read the audit log": (Role.ADMIN, lambda ws: ws.audit()),
    "erase a person": (Role.ADMIN, lambda ws: ws.erase_user("u1")),
}


FOR_ALL = """
    active_users acts_as as_drawn audience_syncs build_segment callback_provider campaign campaign_detail
    campaign_report campaigns channels check check_file draft_campaign edges event_counts facebook_audiences
    fill_playbook funnel funnel_segment funnel_times inside journey journeys label_report label_retention labels
    latest_event lift
    lift_table lifts message_templates metrics moment paths people picture playbooks preview_html preview_playbook
    reach reopened report_view rests retention retention_lift rfm run runs schedule_view scheduled_audiences
    scheduled_reports segment segment_breakdown segment_diff segment_moved segment_overlap segment_sizes segments
    simulate some_user sql status stickiness suggest_funnel trends uninstalls uninstalls_after
    values version web_push_key week went
""".split()
"""What a viewer may call: it tells of numbers and names, or asks a method below that wants more."""


@pytest.fixture
def ready(workspace: engage.Workspace) -> engage.Workspace:
    workspace.land_profiles([{"user_id": "u1", "email": "u1@example.com"}])
    workspace.create_campaign(
        "news", {"title": "News", "channel": "email", "everyone": True, "content": {"subject": "Hi", "text": "Hello"}}
    )
    return workspace


def someone(workspace: engage.Workspace, role: Role) -> Actor:
    account = Accounts(Store(workspace.settings.access)).add(f"{role}@example.com", role)
    return Actor(account.email, account.role, "web", account.id)


@pytest.mark.parametrize("role", list(Role))
def test_a_role_may_do_what_the_table_says_and_nothing_else(ready: engage.Workspace, role: Role) -> None:
    ready.acts_as(someone(ready, role))
    allowed = set()
    for name, (_, act) in ACTS.items():
        try:
            act(ready)
            allowed.add(name)
        except EngageError as error:
            if not isinstance(error, AccessError):
                allowed.add(name)  # allowed, and failed for another reason
    order = list(Role)
    assert allowed == {name for name, (least, _) in ACTS.items() if order.index(role) >= order.index(least)}


@pytest.mark.parametrize("face", [engage.Workspace, OpenCampaign, OpenJourney])
def test_every_method_asks_for_a_right_or_is_known_to_be_for_all(face: type) -> None:
    methods = {name: method for name, method in inspect.getmembers(face, inspect.isfunction) if name[0] != "_"}
    open_ = {name for name, method in methods.items() if getattr(method, "right", Right.READ) is Right.READ}
    assert open_ <= set(FOR_ALL), "guard it, or add it to what viewers may call"


def test_each_role_may_do_what_those_before_it_may() -> None:
    rights = [RIGHTS[role] for role in Role]
    assert all(less < more for less, more in itertools.pairwise(rights))
    assert rights[-1] == frozenset(Right)


def test_a_role_taken_away_is_taken_away_at_once(ready: engage.Workspace) -> None:
    ready.acts_as(someone(ready, Role.SENDER))
    ready.campaign("news").plan()
    accounts = Accounts(Store(ready.settings.access))
    accounts.set_role("sender@example.com", Role.VIEWER)
    with pytest.raises(AccessError, match=r"sender@example.com \(viewer\) may not"):
        ready.campaign("news").send()
    accounts.remove("sender@example.com")
    with pytest.raises(AccessError, match="no account"):
        ready.find_people()
    ready.acts_as(None)
    assert ready.sql("select count(*) as n from notifications").item() == 0, "nothing was sent"


def test_acts_and_refusals_are_written_down_before_they_take_effect(ready: engage.Workspace) -> None:
    ready.acts_as(someone(ready, Role.MARKETER))
    with pytest.raises(AccessError):
        ready.campaign("news").send()
    ready.set_labels("news")
    with pytest.raises(EngageError):
        ready.campaign("news").test_send("me@example.com", user="nobody")
    ready.acts_as(service("worker"))
    ready.campaign("news").send()
    ready.acts_as(None)
    shell = ready.audit("select * from audit where via = 'shell' order by done_at")
    assert shell["what"].to_list() == ["campaign.create"]
    assert shell["who"][0].startswith(f"{getpass.getuser()}@")
    query = "select who, role, what, object, outcome, detail from audit where via = 'web' order by done_at"
    web = ready.audit(query).rows()
    who = ("marketer@example.com", "marketer")
    assert web == [
        (*who, "campaign.send", "news", "refused", "{}"),
        (*who, "campaign.labels", "news", "", "{}"),
        (*who, "campaign.test", "news", "", "{}"),
        (*who, "campaign.test", "news", "failed", json.dumps({"error": "PlanError"})),
    ]
    assert ready.check_audit() == []


def test_the_audit_log_is_asked_by_one_select_that_reads_nothing_else(ready: engage.Workspace) -> None:
    for query in ("select * from read_text('/etc/passwd')", "nonsense", "create table t as select 1"):
        with pytest.raises(EngageError):
            ready.audit(query)


def test_where_only_people_are_served_a_thread_that_lost_its_request_acts_for_nobody(ready: engage.Workspace) -> None:
    script = (
        "import sys, threading, engage\n"
        "from engage.access.actor import serve_only_people, service\n"
        "from engage.errors import AccessError\n"
        "serve_only_people()\n"
        "ws = engage.Workspace.open(sys.argv[1])\n"
        "def act():\n"
        "    try:\n        ws.create_label('Stray')\n"
        "    except AccessError as error:\n        print(error)\n"
        "thread = threading.Thread(target=act)\nthread.start()\nthread.join()\n"
        "ws.acts_as(service('server'))\nws.create_label('Ours')\n"
    )
    command = [sys.executable, "-c", script, str(ready.root)]
    folder = Path(engage.__file__).parents[1]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("label.create: nobody (no account) may not do this")
    assert {label.name for label in ready.labels()} & {"Stray", "Ours"} == {"Ours"}
