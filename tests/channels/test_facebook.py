from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import polars as pl
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
from tests.channels.stand_ins import StandIns, stand_ins

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


# Vectors that Meta publishes


@pytest.mark.parametrize(
    ("key", "value", "digest"),
    [
        ("EMAIL", "mary@example.com", "f1904cf1a9d73a55fa5de0ac823c4403ded71afd4c3248d00bdcd0866552bb79"),
        ("PHONE", "15559876543", "1ef970831d7963307784fa8688e8fce101a15685d62aa765fed23f3a2c576a4e"),
        ("EMAIL", " John_Smith@gmail.com ", "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"),
        ("PHONE", "US (650)555-1212", "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176"),
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
        ("PHONE", "+44 (0) 20 7946 0000", "442079460000"),
        ("PHONE", "0151 12345678", ""),  # of which country?
        ("FN", "Vale\u0301ry", "valéry"),  # decomposed
        ("DOBY", "1997-02-16", "1997"),
        ("DOBM", "1997-02-16", "02"),
        ("DOBD", "1997-02-16T00:00:00Z", "16"),
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


@pytest.mark.parametrize(
    ("number", "country", "wanted"),
    [
        ("0151 12345678", "DE", "4915112345678"),
        ("4915112345678", "DE", "4915112345678"),
        ("(650) 555-1212", "us", "16505551212"),
        ("06 12345678", "FR", "33612345678"),
        ("392 123 4567", "IT", "393921234567"),
        ("+49 151 12345678", "FR", "4915112345678"),
        ("12", "DE", ""),
        ("06 12345678", "ZZ", ""),
    ],
)
def test_a_number_without_its_countrys_code_is_read_in_the_persons_country(
    number: str, country: str, wanted: str
) -> None:
    assert normalised("PHONE", number, country) == wanted


def test_the_vector_meta_publishes_of_a_birthday() -> None:
    """Audiences have its parts in three cells; the Conversions API has it in one, which is what is published."""
    whole = "".join(normalised(key, "1997-02-16") for key in ("DOBY", "DOBM", "DOBD"))
    assert hashlib.sha256(whole.encode()).hexdigest() == (
        "01acdbf6ec7b4f478a225f1a246e5d6767eeab1a7ffa17f025265b5b94f40f0c"
    )


def test_what_meta_wants_plain_is_plain_and_nothing_stays_nothing() -> None:
    assert hashed_row(["EXTERN_ID", "MADID", "EMAIL"], {"EXTERN_ID": "U1", "MADID": "AB"}) == ["U1", "ab", ""]


@given(value=st.text(max_size=30), key=st.sampled_from(sorted(set(KEYS) - {"EXTERN_ID", "MADID"})))
def test_nothing_but_hashes_leaves(value: str, key: str) -> None:
    [cell] = hashed_row([key], {key: value})
    assert cell == "" or (len(cell) == 64 and int(cell, 16) >= 0)


def graph(base_url: str = "https://graph.facebook.com", **more: str) -> Graph:
    return Graph("act_123", "access-token", base_url=base_url, version="v25.0", **more)


def test_the_request() -> None:
    request = graph(app_secret="app-secret").users("77", ["EMAIL"], ['["aa"]'], session={"session_id": 1}, remove=True)
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


# Against the ad account of ``engage demo providers``


@pytest.fixture
def meta() -> Iterator[StandIns]:
    with stand_ins() as made:
        yield made


@pytest.fixture
def shop(workspace: engage.Workspace, meta: StandIns, monkeypatch: pytest.MonkeyPatch) -> engage.Workspace:
    monkeypatch.setenv("FACEBOOK_ACCESS_TOKEN", "t0ken")
    file = workspace.root / "pyproject.toml"
    options = f'[tool.engage.channels.facebook_audience]\naccount = "123"\nbase_url = "{meta.url}/facebook"\n'
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


def mail(name: str) -> tuple[tuple[str, str], ...]:
    return (("EMAIL", hashlib.sha256(f"{name}@example.com".encode()).hexdigest()),)


def calls(meta: StandIns) -> list[tuple[str, str, int]]:
    """Each request about people: method, edge and rows."""
    return [one[:3] for one in meta.account.calls]


def test_only_the_difference_is_sent_and_only_of_those_who_opted_in(shop: engage.Workspace, meta: StandIns) -> None:
    people(shop, "ada", "bob", "eve")
    people(shop, "zoe", country="FR")
    consent(shop, "ada", "bob", "zoe")
    for n in range(120):  # more than a page of the account's list
        meta.account.create(f"Other {n}")
    first = shop.push_audience("germans", "Germans")
    assert (first.members, first.added, first.removed, first.received, first.invalid) == (2, 2, 0, 2, 0)
    germans = meta.account.named("Germans")
    assert germans.rows == {mail("ada"), mail("bob")}
    again = shop.push_audience("germans", "Germans")
    assert (again.audience_id, again.added, again.removed, again.received) == (first.audience_id, 0, 0, 0)
    assert len(calls(meta)) == 1
    consent(shop, "eve")
    consent(shop, "bob", event="Channel Unsubscribed")
    shop.land_profiles([{"user_id": "ada", "email": "ada2@example.com"}], now=datetime.now(UTC))
    third = shop.push_audience("germans", "Germans")
    assert (third.added, third.removed, third.members) == (2, 2, 2)
    assert germans.rows == {mail("ada2"), mail("eve")}
    assert calls(meta)[1:] == [("DELETE", "users", 2), ("POST", "users", 2)]  # removed first
    everyone = shop.push_audience(name="All")
    assert everyone.members == 3
    listed = shop.facebook_audiences()
    assert listed.height == 122
    ours = listed.filter(pl.col("confirmed") > 0).sort("name").select("name", "confirmed")
    assert ours.rows() == [("All", 3), ("Germans", 2)]


def test_nobody_without_consent(shop: engage.Workspace) -> None:
    people(shop, "ada", "bob", "eve", "kim", phone="+4915112345678")
    consent(shop, "ada", "bob", "eve")
    consent(shop, "bob", event="Channel Unsubscribed")
    shop.suppress("facebook_audience", "eve")
    file = shop.root / "pyproject.toml"
    fields = 'fields = { EXTERN_ID = "user_id", EMAIL = "email", FN = "first_name" }'
    file.write_text(file.read_text() + f"{fields}\n")
    again = engage.Workspace.open(shop.root)
    assert again.audience_people().rows() == [("ada", "DE", "ada", "ada@example.com", None)]
    reach = dict(again.reach("everyone").select("channel", "reachable").iter_rows())
    assert reach["facebook_audience"] == 1


def test_a_replacement_and_a_deletion_are_remembered(shop: engage.Workspace, meta: StandIns) -> None:
    people(shop, "ada", "bob")
    consent(shop, "ada", "bob")
    audience_id = shop.push_audience(name="A").audience_id
    there = meta.account.audiences[audience_id]
    there.rows.add(mail("somebody added by hand"))
    done = shop.push_audience(name="A", replace=True)
    assert (done.members, done.added, done.removed) == (2, 2, 0)
    assert there.rows == {mail("ada"), mail("bob")}
    assert shop.delete_audience("A")
    assert not shop.delete_audience("A")
    assert shop.sql("select * from ad_audience_members").is_empty()
    assert shop.push_audience(name="A").added == 2
    consent(shop, "ada", "bob", event="Channel Unsubscribed")
    with pytest.raises(PlanError, match="nobody"):
        shop.push_audience(name="A", replace=True)
    assert shop.push_audience(name="A").removed == 2


def hashed(*rows: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"row": [json.dumps(row) for row in rows], "EMAIL": [row[0] for row in rows]})


def sender(shop: engage.Workspace, meta: StandIns, waits: list[float]) -> tuple[MetaAudiences, httpx.Client]:
    client = httpx.Client()
    made = Graph("123", "t0ken", base_url=f"{meta.url}/facebook", version="v25.0")
    return MetaAudiences(made, shop.lake, shop.engine, client, sleep=waits.append), client


def test_sessions_of_10_000_go_on_where_they_were_cut_off(shop: engage.Workspace, meta: StandIns) -> None:
    rows = hashed(*([f"{n:064x}"] for n in range(2 * MAX_ROWS + 500)))

    def refuse_the_second(when: str) -> None:
        if when == "taken" and len(meta.account.calls) == 1:
            meta.received.plan("facebook", 400, {"error": {"code": 100}})

    meta.account.taps.append(refuse_the_second)
    waits: list[float] = []
    audiences, client = sender(shop, meta, waits)
    with client:
        with pytest.raises(ChannelError):
            audiences.sync("Big", ["EMAIL"], rows)
        assert calls(meta) == [("POST", "users", MAX_ROWS)]
        done = audiences.sync("Big", ["EMAIL"], rows)
    assert (done.added, done.members) == (MAX_ROWS + 500, rows.height)
    assert calls(meta)[1:] == [("POST", "users", MAX_ROWS), ("POST", "users", 500)]
    first, *sessions = (one[3] for one in meta.account.calls)
    assert [one["batch_seq"] for one in sessions] == [1, 2]
    assert [one["last_batch_flag"] for one in sessions] == [False, True]
    assert len({one["session_id"] for one in sessions}) == 1
    assert sessions[0]["session_id"] != first["session_id"]
    assert len(meta.account.named("Big").rows) == rows.height


def test_a_limit_is_waited_for_and_a_wrong_token_is_told(
    shop: engage.Workspace, meta: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    meta.received.plan("facebook", 400, {"error": {"code": 80003}})
    meta.received.plan("facebook", 500, {"error": {"code": 2}})
    audiences, client = sender(shop, meta, waits)
    with client:
        assert audiences.sync("A", ["EMAIL"], hashed(["aa"])).added == 1
        assert waits == [2.0, 4.0]
        meta.account.usage = '{"123": [{"call_count": 95, "estimated_time_to_regain_access": 3}]}'
        audiences.sync("A", ["EMAIL"], hashed(["bb"]))
        assert waits[2:] == [180.0] * 2  # before each request that follows, none after the last
        with pytest.raises(PlanError, match="nobody"):
            audiences.sync("A", ["EMAIL"], hashed().cast({"row": pl.String, "EMAIL": pl.String}), replace_all=True)
    monkeypatch.setenv("FACEBOOK_ACCESS_TOKEN", "wrong")
    with pytest.raises(ConfigurationError, match="token") as caught:
        shop.push_audience(name="A")
    assert "wrong" not in str(caught.value)


def test_the_first_batch_of_a_replacement_is_never_sent_blindly_twice(shop: engage.Workspace, meta: StandIns) -> None:
    meta.account.create("A")
    meta.received.plan("facebook", 200, {})  # an answer that says nothing
    audiences, client = sender(shop, meta, [])
    with client, pytest.raises(ChannelError):
        audiences.sync("A", ["EMAIL"], hashed(["aa"]), replace_all=True)
    assert calls(meta) == []
    assert shop.sql("select is_confirmed from ad_audience_members")["is_confirmed"].to_list() == [False]


def test_the_notebook_counts_and_sends_nothing_by_itself(shop: engage.Workspace, meta: StandIns) -> None:
    people(shop, "ada", "bob")
    consent(shop, "ada")
    source = Path(engage.__file__).parents[1] / "notebooks" / "facebook_audiences.py"
    spec = importlib.util.spec_from_file_location("facebook_audiences", source)
    assert spec is not None
    assert spec.loader is not None
    notebook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(notebook)
    _, defined = notebook.app.run(defs={"ws": shop, "names": ["germans"]})
    assert defined["people"].rows() == [("ada", "DE", "ada@example.com", None)]
    assert calls(meta) == []


def test_the_command_line(shop: engage.Workspace, meta: StandIns, capsys: pytest.CaptureFixture[str]) -> None:
    people(shop, "ada", "bob")
    consent(shop, "ada")
    at = ["--workspace", str(shop.root), "audience"]
    for arguments in (
        ["push", "germans", "--to", "facebook", "--name", "A", "--dry-run"],
        ["push", "germans", "--to", "facebook", "--name", "A"],
        ["syncs"],
        ["list"],
        ["delete", "A", "--yes"],
    ):
        main([*at, *arguments])
    told = capsys.readouterr().out
    assert "A: 1 people" in told
    assert "A: 1 people in 1 rows; added 1, removed 0; Facebook received 1, of which 0 invalid" in told
    assert "deleted" in told
    assert meta.account.audiences == {}


class Killed(BaseException):
    """Stands for the end of the process: nothing between here and there cleans up after it but files and locks."""


class Mortal(httpx.BaseTransport):
    """The network, until the process dies at a request: before it leaves, or once it was taken."""

    def __init__(self, at: int, *, taken: bool) -> None:
        self._wire, self._at, self._taken, self.n = httpx.HTTPTransport(), at, taken, 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        about_people = request.url.path.endswith(("/users", "/usersreplace"))
        self.n += about_people
        if about_people and self.n == self._at and not self._taken:
            raise Killed
        answer = self._wire.handle_request(request)
        if about_people and self.n == self._at:
            answer.read()
            raise Killed
        return answer

    def close(self) -> None:
        self._wire.close()


@pytest.mark.parametrize(
    ("replace_all", "at", "taken"),
    [(False, 1, True), (False, 2, False), (True, 1, True), (True, 2, False), (True, 2, True)],
)
def test_killed_at_a_request_the_next_sync_leaves_exactly_who_is_wanted(
    shop: engage.Workspace, meta: StandIns, monkeypatch: pytest.MonkeyPatch, replace_all: bool, at: int, taken: bool
) -> None:
    monkeypatch.setattr("engage.delivery.audiences.MAX_ROWS", 3)
    made = Graph("123", "t0ken", base_url=f"{meta.url}/facebook", version="v25.0")

    def sync(people: range, wire: httpx.BaseTransport, anew: bool = False) -> None:
        with httpx.Client(transport=wire) as client:
            audiences = MetaAudiences(made, shop.lake, shop.engine, client, sleep=lambda _: None)
            audiences.sync("A", ["EMAIL"], hashed(*([f"{n:064x}"] for n in people)), replace_all=anew)

    sync(range(4), httpx.HTTPTransport())
    with pytest.raises(Killed):
        sync(range(2, 7), Mortal(at, taken=taken), anew=replace_all)
    if replace_all and taken and at == 1:  # it began, and nobody knows that it did: Meta ends its session in time
        with pytest.raises(ChannelError, match="subcode 1870145"):
            sync(range(3, 8), httpx.HTTPTransport())
        meta.account.end_sessions()
    sync(range(3, 8), httpx.HTTPTransport())
    assert meta.account.named("A").rows == {(("EMAIL", f"{n:064x}"),) for n in range(3, 8)}
    assert shop.sql("select row from ad_audience_members where is_confirmed").height == 5


def test_a_file_for_upload_by_hand_has_metas_headers_and_only_who_said_yes(
    shop: engage.Workspace, tmp_path: Path
) -> None:
    file = shop.root / "pyproject.toml"
    fields = 'fields = { EXTERN_ID = "user_id", EMAIL = "email", PHONE = "phone", FN = "first_name", LN = "last_name" }'
    file.write_text(file.read_text() + f"{fields}\n")
    shop = engage.Workspace.open(shop.root)
    people(shop, "ada", phone="0151 12345678", first_name="=cmd()", last_name="Łódź")
    people(shop, "bob", "eve", first_name="Bob")
    people(shop, "zoe", country="FR", phone="06 12 34 56 78")
    consent(shop, "ada", "bob", "zoe")
    twin = {"user_id": "twin", "email": " BOB@example.com", "country": "DE", "first_name": "bob"}
    shop.land_profiles([twin], now=datetime.now(UTC))
    consent(shop, "twin")
    assert shop.export_audience(tmp_path / "all.csv") == 3, "bob and his twin are one row"
    table = pl.read_csv(tmp_path / "all.csv", infer_schema=False).fill_null("")
    assert table.columns == ["email", "phone", "fn", "ln"], "EXTERN_ID is known to the API alone"

    def sha(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    assert set(table.select("email", "phone", "ln").rows()) == {
        (sha("ada@example.com"), sha("4915112345678"), sha("łódź")),
        (sha("bob@example.com"), "", ""),
        (sha("zoe@example.com"), sha("33612345678"), ""),
    }
    assert shop.export_audience(tmp_path / "some.parquet", "germans") == 2
    assert pl.read_parquet(tmp_path / "some.parquet").equals(table.filter(email=sha("ada@example.com")).vstack(
        table.filter(email=sha("bob@example.com"))).sort(table.columns))  # fmt: skip
    shop.export_audience(tmp_path / "plain.csv", "germans", plain=True)
    plain = pl.read_csv(tmp_path / "plain.csv", infer_schema=False).fill_null("")
    assert plain.rows() == [("ada@example.com", "4915112345678", "cmd", "łódź"), ("bob@example.com", "", "bob", "")]
    for name in ("all.xlsx", "nowhere/all.csv"):
        with pytest.raises(PlanError):
            shop.export_audience(tmp_path / name)


def test_scheduled_audiences_are_synced_when_they_are_due(
    shop: engage.Workspace, meta: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = shop.root / "pyproject.toml"
    tables = """
[tool.engage.audiences.germans]
segment = "germans"
cron = "0 4 * * *"
audience = "People in Germany"
[tool.engage.audiences.gone]
segment = "nobody_wrote_it"
cron = "0 4 * * *"
"""
    file.write_text(file.read_text() + tables)
    shop = engage.Workspace.open(shop.root)
    people(shop, "ada", "bob")
    consent(shop, "ada")
    first, wrong = shop.tick_audiences()
    assert (first.name, first.error, first.done.added if first.done else 0) == ("germans", "", 1)
    assert "nobody_wrote_it" in wrong.error
    germans = meta.account.named("People in Germany")
    consent(shop, "bob")
    again = engage.Workspace.open(shop.root)  # as a worker does, each time
    assert [done.name for done in again.tick_audiences()] == ["gone"], "the other was just done"
    tomorrow = datetime.now(UTC) + timedelta(days=1, minutes=1)
    again = engage.Workspace.open(shop.root)
    assert [(done.name, bool(done.error)) for done in again.tick_audiences(tomorrow)] == [
        ("germans", False),
        ("gone", True),
    ]
    assert germans.rows == {mail("ada"), mail("bob")}
    shown = shop.scheduled_audiences().select("name", "audience", "segment", "cron", "state").rows()
    assert shown[0] == ("germans", "People in Germany", "germans", "0 4 * * *", "finished")
    syncs = shop.audience_syncs("People in Germany")
    assert syncs.select("people", "added", "received", "invalid").rows() == [(2, 1, 1, 0), (1, 1, 1, 0)]
    monkeypatch.setenv("FACEBOOK_ACCESS_TOKEN", "wrong")
    later = engage.Workspace.open(shop.root).tick_audiences(tomorrow + timedelta(days=1))
    assert "Meta refuses the token" in later[0].error
    file.write_text(file.read_text() + '[tool.engage.audiences.never]\nsegment = "germans"\n')
    [told] = engage.Workspace.open(shop.root).tick_audiences()
    assert "says not when" in told.error
