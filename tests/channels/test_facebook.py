from __future__ import annotations

import hashlib
import importlib.util
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import engage
from engage.channels.facebook.graph import MAX_ROWS, Graph, busy_for
from engage.channels.facebook.hashing import KEYS, hashed_row, normalised
from engage.cli import main
from engage.delivery.audiences import MetaAudiences
from engage.errors import ChannelError, ConfigurationError, PlanError
from engage.vocabulary import OutcomeStatus

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


# Vectors that Meta publishes


@pytest.mark.parametrize(
    ("key", "value", "digest"),
    [
        ("EMAIL", "mary@example.com", "f1904cf1a9d73a55fa5de0ac823c4403ded71afd4c3248d00bdcd0866552bb79"),
        ("PHONE", "15559876543", "1ef970831d7963307784fa8688e8fce101a15685d62aa765fed23f3a2c576a4e"),
        ("EMAIL", " John_Smith@gmail.com ", "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"),
        ("PHONE", "1 (650)555-1212", "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176"),
        ("FN", "Mary", "6915771be1c5aa0c886870b6951b03d7eafc121fea0e80a5ea83beb7c449f4ec"),
        ("FN", "정", "8fa8cd9c440be61d0151429310034083132b35975c4bea67fdd74158eb51db14"),
        ("FN", "Valéry", "08e1996b5dd49e62a4b4c010d44e4345592a863bb9f8e3976219bac29417149c"),
        ("COUNTRY", "US", "79adb2a2fce5c6ba215fe5f27f532d4e7edbac4b6a5e09e1ef3a08084a904621"),
    ],
)
def test_the_vectors_meta_publishes(key: str, value: str, digest: str) -> None:
    assert hashed_row([key], {key: value}) == [digest]


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("PHONE", "+44 (0) 20", "44020"),
        ("PHONE", "0044 20 7946 0000", "442079460000"),
        ("PHONE", "12", ""),
        ("EMAIL", "not mail", ""),
        ("GEN", "Female", "f"),
        ("DOBY", "1997", "1997"),
        ("DOBM", "2", "02"),
        ("DOBD", "32", ""),
        ("LN", "O'Neil-Smith", "oneilsmith"),
        ("FI", "Élise", "é"),
        ("CT", "San Francisco", "sanfrancisco"),
        ("ST", "CA", "ca"),
        ("ZIP", "94035-1234", "94035"),
        ("ZIP", "M1 1AE", "m11ae"),
        ("COUNTRY", "Germany", ""),
        ("MADID", "AB-1234", "ab-1234"),
        ("EXTERN_ID", "User7", "User7"),
        ("EMAIL", None, ""),
    ],
)
def test_values_are_normalised_by_the_rule_of_their_key(key: str, value: object, wanted: str) -> None:
    assert normalised(key, value) == wanted


def test_what_meta_wants_plain_is_plain_and_nothing_stays_nothing() -> None:
    assert hashed_row(["EXTERN_ID", "MADID", "EMAIL"], {"EXTERN_ID": "U1", "MADID": "AB"}) == ["U1", "ab", ""]


@given(value=st.text(max_size=30), key=st.sampled_from(sorted(set(KEYS) - {"EXTERN_ID", "MADID"})))
def test_nothing_but_hashes_leaves(value: str, key: str) -> None:
    [cell] = hashed_row([key], {key: value})
    assert cell == "" or (len(cell) == 64 and int(cell, 16) >= 0)


def graph(base_url: str = "https://graph.facebook.com", **more: str) -> Graph:
    return Graph("act_123", "access-token", base_url=base_url, version="v25.0", **more)


def test_the_request() -> None:
    request = graph(app_secret="app-secret").users("77", ["EMAIL"], [["aa"]], session={"session_id": 1}, remove=True)
    assert (request.method, str(request.url)) == ("DELETE", "https://graph.facebook.com/v25.0/77/users")
    form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
    assert form == {
        "payload": '{"schema":["EMAIL"],"data":[["aa"]]}',
        "session": '{"session_id": 1}',
        "access_token": "access-token",
        "appsecret_proof": "dbf9c72b4c8f56924f8e07138f6d465c69cb5c9dbca908ce1403e993e1a5f799",
    }
    with pytest.raises(ConfigurationError):
        Graph("me", "t", base_url="", version="v25.0")


def refused(status: int, code: int, subcode: int = 0, **more: Any) -> httpx.Response:
    told = {"code": code, "error_subcode": subcode, "message": "mary@example.com is bad", **more}
    return httpx.Response(status, json={"error": told})


@pytest.mark.parametrize(
    ("response", "meaning"),
    [
        (httpx.Response(200, json={"audience_id": "7", "num_received": 1}), OutcomeStatus.SENT),
        (httpx.Response(200, json={}), OutcomeStatus.UNKNOWN),
        (httpx.Response(200, text="<html>"), OutcomeStatus.UNKNOWN),
        *((refused(400, code), OutcomeStatus.RATE_LIMITED) for code in (4, 17, 32, 613, 80003)),
        *((refused(400, code), OutcomeStatus.TEMPORARY) for code in (1, 2)),
        (refused(400, 99, is_transient=True), OutcomeStatus.TEMPORARY),
        (refused(400, 2650, 1870145), OutcomeStatus.TEMPORARY),
        (refused(400, 2650, 1870158), OutcomeStatus.PERMANENT),
        *((refused(400, code), OutcomeStatus.CONFIG_ERROR) for code in (10, 190, 200, 294, 368, 2635)),
        (refused(400, 100, 1713230), OutcomeStatus.PERMANENT),
        (httpx.Response(502, text="<html>"), OutcomeStatus.TEMPORARY),
        (httpx.Response(429), OutcomeStatus.RATE_LIMITED),
        (httpx.Response(302), OutcomeStatus.UNKNOWN),
    ],
)
def test_what_an_answer_means(response: httpx.Response, meaning: OutcomeStatus) -> None:
    answer = Graph.answer(response)
    assert answer.status == meaning
    assert "mary" not in answer.detail


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ('{"123": [{"type": "custom_audience", "call_count": 20, "estimated_time_to_regain_access": 0}]}', None),
        ('{"123": [{"type": "custom_audience", "call_count": 95}]}', 60.0),
        ('{"123": [{"call_count": 100, "estimated_time_to_regain_access": 5}]}', 300.0),
        ("[]", None),
        ("{", None),
        ('{"123": [3, {"call_count": "x"}]}', None),
    ],
)
def test_usage_headers_say_when_to_wait(header: str, wait: float | None) -> None:
    assert busy_for({"x-business-use-case-usage": header}) == wait


# A server that behaves as documented


class Meta(ThreadingHTTPServer):
    """Audiences as sets of rows, with sessions; `faults` are answered first, one a request about people."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.audiences: dict[str, tuple[str, set[str]]] = {}
        self.replacing: dict[int, set[str]] = {}
        self.calls: list[tuple[str, str, int]] = []
        self.sessions: list[dict[str, Any]] = []
        self.faults: list[tuple[int, dict[str, Any]] | None] = []
        self.usage = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Meta

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        form = {name: values[0] for name, values in parse_qs(body + "&" + urlsplit(self.path).query).items()}
        path = urlsplit(self.path).path
        if form.get("access_token") != "t0ken":
            return self.tell(400, {"error": {"code": 190, "message": "bad token"}})
        if path == "/v25.0/act_123/customaudiences":
            if self.command == "POST":
                audience_id = str(9000 + len(self.server.audiences))
                self.server.audiences[audience_id] = (form["name"], set())
                return self.tell(200, {"id": audience_id})
            found = [{"id": key, "name": name} for key, (name, _) in self.server.audiences.items()]
            start = int(form.get("after") or 0)  # a page holds one
            paging = {"cursors": {"after": str(start + 1)}, **({"next": "x"} if start + 1 < len(found) else {})}
            return self.tell(200, {"data": found[start : start + 1], "paging": paging})
        audience_id, _, edge = path.removeprefix("/v25.0/").partition("/")
        if audience_id not in self.server.audiences:
            return self.tell(400, {"error": {"code": 100, "message": "no such audience"}})
        if not edge:
            del self.server.audiences[audience_id]
            return self.tell(200, {"success": True})
        members = self.server.audiences[audience_id][1]
        payload, session = json.loads(form["payload"]), json.loads(form["session"])
        rows = {json.dumps(row) for row in payload["data"]}
        fault = self.server.faults.pop(0) if self.server.faults else None
        if fault:
            return self.tell(*fault)
        if len(payload["data"]) > 10_000:
            return self.tell(400, {"error": {"code": 100}})
        self.server.calls.append((self.command, edge, len(rows)))
        self.server.sessions.append(session)
        if edge == "usersreplace":
            self.server.replacing.setdefault(session["session_id"], set()).update(rows)
            if session["last_batch_flag"]:
                members.clear()
                members.update(self.server.replacing[session["session_id"]])
        elif self.command == "DELETE":
            members.difference_update(rows)
        else:
            members.update(rows)
        so_far = sum(s["session_id"] == session["session_id"] for s in self.server.sessions) * len(rows)
        return self.tell(200, {"audience_id": audience_id, "num_received": so_far, "num_invalid_entries": 1})

    do_GET = do_POST = do_DELETE = handle_any

    def tell(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        if self.server.usage:
            self.send_header("X-Business-Use-Case-Usage", self.server.usage)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def meta() -> Iterator[Meta]:
    with Meta() as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def shop(workspace: engage.Workspace, meta: Meta, monkeypatch: pytest.MonkeyPatch) -> engage.Workspace:
    monkeypatch.setenv("FACEBOOK_ACCESS_TOKEN", "t0ken")
    file = workspace.root / "pyproject.toml"
    options = f'[tool.engage.channels.facebook_audience]\naccount = "123"\nbase_url = "{meta.url}"\n'
    file.write_text(file.read_text() + "\n" + options)
    (workspace.root / "sql" / "segments" / "germans.sql").write_text(
        "-- Title: People in Germany\n-- grain: user_id\nselect user_id from profiles where country = 'DE'\n"
    )
    return engage.Workspace.open(workspace.root)


def people(workspace: engage.Workspace, *names: str, country: str = "DE", **more: str) -> None:
    rows = [{"user_id": name, "email": f"{name}@example.com", "country": country, **more} for name in names]
    workspace.land_profiles(rows, now=datetime.now(UTC))


def consent(workspace: engage.Workspace, *names: str, event: str = "Channel Subscribed") -> None:
    at = datetime.now(UTC).isoformat()
    said = {"event_name": event, "event_time": at, "properties": {"channel": "facebook_audience"}}
    rows = [{"user_id": name, **said} for name in names]
    workspace.land_events(rows, now=datetime.now(UTC))


def mail(name: str) -> str:
    return json.dumps([hashlib.sha256(f"{name}@example.com".encode()).hexdigest(), ""])


def test_only_the_difference_is_sent_and_only_of_those_who_opted_in(shop: engage.Workspace, meta: Meta) -> None:
    people(shop, "ada", "bob", "eve")
    people(shop, "zoe", country="FR")
    consent(shop, "ada", "bob", "zoe")
    meta.audiences["1"] = ("Other", set())
    first = shop.sync_audience("Germans", "germans")
    assert (first.members, first.added, first.removed, first.received, first.invalid) == (2, 2, 0, 2, 1)
    [(_, there)] = [one for one in meta.audiences.values() if one[0] == "Germans"]
    assert there == {mail("ada"), mail("bob")}
    again = shop.sync_audience("Germans", "germans")
    assert (again.audience_id, again.added, again.removed, again.received) == (first.audience_id, 0, 0, 0)
    assert len(meta.calls) == 1
    consent(shop, "eve")
    consent(shop, "bob", event="Channel Unsubscribed")
    shop.land_profiles([{"user_id": "ada", "email": "ada2@example.com"}], now=datetime.now(UTC))
    third = shop.sync_audience("Germans", "germans")
    assert (third.added, third.removed, third.members) == (2, 2, 2)
    assert there == {mail("ada2"), mail("eve")}
    assert meta.calls[1:] == [("DELETE", "users", 2), ("POST", "users", 2)]  # removed first
    everyone = shop.sync_audience("All")
    assert everyone.members == 3
    listed = shop.facebook_audiences().sort("name").select("name", "confirmed").rows()
    assert listed == [("All", 3), ("Germans", 2), ("Other", 0)]


def test_nobody_without_consent_unless_the_settings_say_so(shop: engage.Workspace) -> None:
    people(shop, "ada", "bob")
    consent(shop, "bob", event="Channel Unsubscribed")
    assert shop.audience_people().is_empty()
    file = shop.root / "pyproject.toml"
    file.write_text(file.read_text() + 'consent = "opt_out"\nfields = { EMAIL = "email", FN = "first_name" }\n')
    again = engage.Workspace.open(shop.root)
    assert again.audience_people().rows() == [("ada", "ada@example.com", None)]


def test_a_replacement_and_a_deletion_are_remembered(shop: engage.Workspace, meta: Meta) -> None:
    people(shop, "ada", "bob")
    consent(shop, "ada", "bob")
    audience_id = shop.sync_audience("A").audience_id
    meta.audiences[audience_id][1].add("somebody added by hand")
    done = shop.sync_audience("A", replace=True)
    assert (done.members, done.added, done.removed) == (2, 0, 0)
    assert meta.audiences[audience_id][1] == {mail("ada"), mail("bob")}
    assert shop.delete_audience("A")
    assert not shop.delete_audience("A")
    assert shop.sql("select * from ad_audience_members").is_empty()
    assert shop.sync_audience("A").added == 2
    consent(shop, "ada", "bob", event="Channel Unsubscribed")
    with pytest.raises(PlanError, match="nobody"):
        shop.sync_audience("A", replace=True)
    assert shop.sync_audience("A").removed == 2


def sender(shop: engage.Workspace, meta: Meta, waits: list[float]) -> tuple[MetaAudiences, httpx.Client]:
    client = httpx.Client()
    made = Graph("123", "t0ken", base_url=meta.url, version="v25.0")
    return MetaAudiences(made, shop.lake, shop.engine, client, sleep=waits.append), client


def test_sessions_of_10_000_go_on_where_they_were_cut_off(shop: engage.Workspace, meta: Meta) -> None:
    rows = [[f"{n:064x}"] for n in range(2 * MAX_ROWS + 500)]
    meta.faults = [None, (400, {"error": {"code": 100}})]
    waits: list[float] = []
    audiences, client = sender(shop, meta, waits)
    with client:
        with pytest.raises(ChannelError):
            audiences.sync("Big", ["EMAIL"], rows)
        assert meta.calls == [("POST", "users", MAX_ROWS)]
        done = audiences.sync("Big", ["EMAIL"], rows)
    assert (done.added, done.members) == (MAX_ROWS + 500, len(rows))
    assert meta.calls[1:] == [("POST", "users", MAX_ROWS), ("POST", "users", 500)]
    sessions = meta.sessions[1:]
    assert [one["batch_seq"] for one in sessions] == [1, 2]
    assert [one["last_batch_flag"] for one in sessions] == [False, True]
    assert len({one["session_id"] for one in sessions}) == 1
    assert sessions[0]["session_id"] != meta.sessions[0]["session_id"]
    [(_, there)] = meta.audiences.values()
    assert len(there) == len(rows)


def test_a_limit_is_waited_for_and_a_wrong_token_is_told(
    shop: engage.Workspace, meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    meta.faults = [(400, {"error": {"code": 80003}}), (500, {"error": {"code": 2}})]
    audiences, client = sender(shop, meta, waits)
    with client:
        assert audiences.sync("A", ["EMAIL"], [["aa"]]).added == 1
        assert waits == [2.0, 4.0]
        meta.usage = '{"123": [{"call_count": 95, "estimated_time_to_regain_access": 3}]}'
        audiences.sync("A", ["EMAIL"], [["bb"]])
        assert waits[2:] == [180.0] * 3
        with pytest.raises(PlanError, match="nobody"):
            audiences.sync("A", ["EMAIL"], [[""]], replace_all=True)
    monkeypatch.setenv("FACEBOOK_ACCESS_TOKEN", "wrong")
    with pytest.raises(ConfigurationError, match="token") as caught:
        shop.sync_audience("A")
    assert "wrong" not in str(caught.value)


def test_the_first_batch_of_a_replacement_is_never_sent_blindly_twice(shop: engage.Workspace, meta: Meta) -> None:
    meta.faults = [(200, {})]  # an answer that says nothing
    audiences, client = sender(shop, meta, [])
    with client, pytest.raises(ChannelError):
        audiences.sync("A", ["EMAIL"], [["aa"]], replace_all=True)
    assert meta.calls == []
    assert shop.sql("select * from ad_audience_members").is_empty()


def test_the_notebook_counts_and_sends_nothing_by_itself(shop: engage.Workspace, meta: Meta) -> None:
    people(shop, "ada", "bob")
    consent(shop, "ada")
    source = Path(engage.__file__).parents[1] / "notebooks" / "facebook_audiences.py"
    spec = importlib.util.spec_from_file_location("facebook_audiences", source)
    assert spec is not None
    assert spec.loader is not None
    notebook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(notebook)
    _, defined = notebook.app.run(defs={"ws": shop, "names": ["germans"]})
    assert defined["people"].rows() == [("ada", "ada@example.com", None)]
    assert meta.calls == []


def test_the_command_line(shop: engage.Workspace, meta: Meta, capsys: pytest.CaptureFixture[str]) -> None:
    people(shop, "ada", "bob")
    consent(shop, "ada")
    at = ["--workspace", str(shop.root), "audience"]
    for arguments in (
        ["sync", "A", "germans", "--dry-run"],
        ["sync", "A", "germans"],
        ["list"],
        ["delete", "A", "--yes"],
    ):
        main([*at, *arguments])
    told = capsys.readouterr().out
    assert "A: 1 people" in told
    assert "A: 1 rows; added 1, removed 0; Facebook received 1, of which 1 invalid" in told
    assert "deleted" in told
    assert meta.audiences == {}
