"""What CleverTap's customers upload, with CleverTap's own client and by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import engage
from engage.errors import ConfigurationError
from engage.server.clevertap_api import Unprocessed, translate
from engage.server.journal import Journal
from engage.server.uploads import Uploads

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TS = 1_771_000_000  # 2026-02-13T16:26:40Z
BOUGHT = {
    "type": "event",
    "identity": "ada",
    "ts": TS,
    "evtName": "Charged",
    "evtData": {"Amount": 300, "Currency": "EUR", "Delivery": "$D_1771027200", "Items": [{"Category": "books"}]},
}
PROFILE = {
    "type": "profile",
    "identity": "ada",
    "objectId": "-2ce3cca2",
    "FBID": "34322423",
    "ts": TS,
    "profileData": {"Name": "Ada", "Email": "ada@example.com", "Phone": "+491701234567", "Plan": {"$set": "gold"}}
    | {"Visits": {"$incr": 2}},
}


@pytest.fixture
def upload(client: httpx.Client) -> Iterator[Any]:
    with httpx.Client(base_url=client.base_url) as http:
        http.headers = {"X-CleverTap-Account-Id": "TEST-ACCOUNT", "X-CleverTap-Passcode": "passcode-of-the-tests"}

        def post(*records: Any, **more: Any) -> httpx.Response:
            return http.post("/1/upload", **({"json": {"d": list(records)}} | more))

        yield post


def test_clevertaps_own_client(server: Any, node: Any, landed: Any, workspace: engage.Workspace) -> None:
    viewed = [
        {"type": "event", "objectId": "-2ce3cca2", "evtName": "Product viewed", "ts": TS + n, "evtData": {"n": n}}
        for n in range(120)
    ]
    token = {"type": "token", "objectId": "-2ce3cca2", "tokenData": {"id": "frfsgvrwe:APfdsafsg", "type": "fcm"}}
    answers = node(
        "clevertap.cjs", server.url, "TEST-ACCOUNT", "passcode-of-the-tests", given=[BOUGHT, PROFILE, token, *viewed]
    )
    good = {"status": "success", "unprocessed": []}
    assert answers == [good | {"processed": 50}, good | {"processed": 50}, good | {"processed": 23}]
    landed("select 1 from user_events", 121)
    landed("select 1 from devices")
    assert workspace.sql("select distinct user_id from user_events").rows() == [("ada",)]
    (charged,) = landed(
        "select properties, epoch(event_time) as ts, source from user_events where event_name = 'Charged'"
    )
    assert (charged["ts"], charged["source"]) == (TS, "clevertap")
    assert json.loads(charged["properties"]) == {
        "amount": 300,
        "currency": "EUR",
        "Delivery": "2026-02-14T00:00:00Z",
        "Items": [{"Category": "books"}],
    }
    (person,) = workspace.sql(
        "select user_id, name, email, phone, properties->>'$.Plan' as plan, properties->>'$.Visits' as visits "
        "from profiles"
    ).rows()
    assert person == ("ada", "Ada", "ada@example.com", "+491701234567", "gold", "2")
    assert workspace.sql("select user_id, channel, platform, token from devices").rows() == [
        ("ada", "push", "android", "frfsgvrwe:APfdsafsg")
    ]
    refused = node("clevertap.cjs", server.url, "TEST-ACCOUNT", "passcode-of-others", given=[BOUGHT])
    assert refused == {"status": "fail", "error": "Invalid Credentials", "code": 401}


def test_one_bad_record_loses_no_other_and_is_given_back(
    upload: Any, landed: Any, eventually: Any, workspace: engage.Workspace
) -> None:
    bad = [
        (524, 7),
        (524, {"type": "fly", "identity": "ada"}),
        (523, {"type": "event", "evtName": "X"}),
        (509, {"type": "event", "identity": "ada"}),
        (513, {"type": "event", "identity": "ada", "evtName": "Notification Clicked"}),
        (512, {"type": "event", "identity": "ada", "evtName": "X", "evtData": []}),
        (525, {"type": "event", "identity": "ada", "evtName": "X", "ts": "yesterday"}),
        (525, {"type": "event", "identity": "ada", "evtName": "X", "ts": TS * 1000}),
        (526, {"type": "event", "objectId": ["x"], "evtName": "X"}),
        (515, {"type": "profile", "identity": "ada", "profileData": {"Email": "nowhere"}}),
        (516, {"type": "profile", "identity": "ada", "profileData": {"Phone": "0170 1234567"}}),
        (512, {"type": "profile", "identity": "ada", "profileData": {"Score": {"$incr": "1"}}}),
        (512, {"type": "profile", "identity": "ada", "profileData": {"Score": {"$incr": 1, "$decr": 1}}}),
        (512, {"type": "profile", "identity": "ada", "profileData": {"Tags": {"$add": []}}}),
        (512, {"type": "profile", "identity": "ada", "profileData": {"Email": {"$add": ["a@example.com"]}}}),
        (530, {"type": "token", "tokenData": {"id": "x", "type": "fcm"}}),
        (532, {"type": "token", "objectId": "o", "tokenData": {"type": "fcm"}}),
        (533, {"type": "token", "objectId": "o", "tokenData": {"id": "x"}}),
        (534, {"type": "token", "objectId": "o", "tokenData": {"id": "x", "type": "pigeon"}}),
    ]
    answer = upload(BOUGHT, *(record for _, record in bad))
    assert answer.status_code == 200
    told = answer.json()
    assert (told["status"], told["processed"]) == ("partial", 1)
    assert [(one["code"], one["record"], one["status"]) for one in told["unprocessed"]] == [
        (code, record, "fail") for code, record in bad
    ]
    assert upload(bad[0][1]).json()["status"] == "fail"
    assert landed("select user_id from user_events") == [{"user_id": "ada"}]
    folder = workspace.settings.data / "dead_letters"
    eventually(lambda: sum(len(path.read_text().splitlines()) for path in folder.glob("*.ndjson")) == len(bad) + 1)


def test_what_is_uploaded_again_counts_once(upload: Any, landed: Any) -> None:
    for _ in range(3):
        assert upload(BOUGHT, BOUGHT, PROFILE).json()["processed"] == 3  # the same purchase twice is two purchases
    landed("select 1 from profiles")
    assert landed("select count(*) as n from user_events") == [{"n": 2}]


def test_a_dry_run_answers_and_keeps_nothing(upload: Any, workspace: engage.Workspace) -> None:
    assert upload(BOUGHT, 7, params={"dryRun": "1"}).json()["processed"] == 1
    folder = workspace.settings.data / "journal"
    assert not [path for path in folder.glob("*.ndjson") if path.stat().st_size]
    assert workspace.sql("select 1 from user_events").is_empty()


def test_who_wants_no_mail_gets_none_and_a_later_yes_does_not_undo_it(upload: Any, landed: Any) -> None:
    def wants(value: bool, ts: int) -> dict[str, Any]:
        return PROFILE | {"profileData": {"MSG-email": value}, "ts": ts}

    assert upload(wants(False, TS), wants(True, TS + 1)).json()["processed"] == 2
    said = landed("select user_id, channel, subscribed from consents")
    assert said == [{"user_id": "ada", "channel": "email", "subscribed": False}]


def test_the_records_of_the_how_to_are_taken_as_it_says(upload: Any) -> None:
    text = (Path(__file__).parents[2] / "docs" / "how-to" / "from-clevertap.md").read_text(encoding="utf-8")
    told = upload(*json.loads(text.split("```json")[1].split("```")[0])["d"]).json()
    said = text.split('{"status":"partial"')[1].split('"record":')[0]
    assert json.dumps(told, separators=(",", ":")).startswith('{"status":"partial"' + said)


@pytest.mark.parametrize(
    ("status", "more"),
    [
        (401, {"headers": {"X-CleverTap-Passcode": "wrong"}}),
        (401, {"headers": {"X-CleverTap-Account-Id": "other"}}),
        (400, {"content": b"{"}),
        (400, {"json": {"d": {}}}),
        (400, {"json": {"d": [1] * 1001}}),
        (413, {"content": b" " * (2 << 20)}),
    ],
)
def test_what_cannot_be_read_is_refused_in_clevertaps_way(upload: Any, status: int, more: dict[str, Any]) -> None:
    answer = upload(BOUGHT, **({"json": None} | more if "content" in more else more))
    assert answer.status_code == status
    assert (list(answer.json()), answer.json()["code"]) == (["status", "error", "code"], status)


def test_passcodes_are_written_so_that_none_can_be_guessed(
    workspace: engage.Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(workspace.root / "journal")
    for value in ("account", "account:short", ":passcode-without-account"):
        monkeypatch.setenv("ENGAGE_CLEVERTAP_PASSCODES", value)
        with pytest.raises(ConfigurationError):
            Uploads(journal)
    journal.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
RECORDS = st.fixed_dictionaries(
    {"type": st.sampled_from(["event", "profile", "token"]) | JSON, "identity": st.just("u") | JSON},
    optional={
        name: JSON | st.dictionaries(st.sampled_from(["id", "type", "Email", "Phone", "Tz", "MSG-sms", "x"]), JSON)
        for name in ("objectId", "FBID", "ts", "evtName", "evtData", "profileData", "tokenData")
    },
)


@given(JSON | RECORDS)
def test_any_record_is_taken_or_refused_with_its_code(record: Any) -> None:
    try:
        lines = translate(record, received_at=NOW)
    except Unprocessed as error:
        lines, refused = [], error.code
    else:
        refused = 0
    assert refused == 0 or 509 <= refused <= 535
    for rows in lines:
        assert set(rows) <= {"events", "profiles", "identities", "devices"}
        for row in rows.values():
            assert row["received_at"] == NOW.isoformat()
            assert row.get("event_time", row.get("changed_at", "")) <= NOW.isoformat()
