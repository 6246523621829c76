"""Segments built from conditions, against a plain-Python reference over random lakes, and against hostile values."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any as Anything
from zoneinfo import ZoneInfo

import duckdb
import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st

import engage
from engage.analysis.segment_builder import segment_sql
from engage.analysis.segment_conditions import All, Any, Condition, Did, InSegment, Not, Profile, Sent
from engage.errors import EngageError, QueryError
from engage.query.check import check_text
from tests.examples import tried
from tests.lakes import empty

ZONE = ZoneInfo("Europe/Berlin")
START = datetime(2026, 3, 25, tzinfo=UTC)  # summer time begins in Berlin on 29 March
NOW = START + timedelta(days=10)
REPLIES = {"viewed": "Notification Viewed", "clicked": "Notification Clicked"}
_kept: list[engage.Workspace] = []


def emptied() -> engage.Workspace:
    """One workspace, its lake emptied between examples."""
    if not _kept:
        folder = Path(tempfile.mkdtemp(prefix="engage-segments-"))
        _kept.append(engage.Workspace.create(folder / "w", timezone=ZONE.key))
    shutil.rmtree(_kept[0].settings.lake / "derived", ignore_errors=True)
    empty(_kept[0], "events", "notifications", "profiles")
    return _kept[0]


Row = dict[str, Anything]


def instant(value: str | datetime | None) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value
    number, unit, _ = value.split()
    if unit.startswith("hour"):
        return NOW - timedelta(hours=int(number))
    local = NOW.astimezone(ZONE).replace(tzinfo=None) - timedelta(days=int(number) * (7 if "week" in unit else 1))
    return local.replace(tzinfo=ZONE).astimezone(UTC)


def within(row: Row, condition: Did | Sent) -> bool:
    since, before = instant(condition.since), instant(condition.before)
    return (since is None or row["event_time"] >= since) and (before is None or row["event_time"] < before)


def one_of(wanted: Anything, got: Anything) -> bool:
    wanted = [wanted] if isinstance(wanted, str) else wanted
    return wanted is None or bool(set(wanted) & set(got if isinstance(got, list) else [got]))


def fits(properties: Row, where: Row) -> bool:
    def holds(operator: str, value: Anything, got: Anything) -> bool:
        if operator == "is_set":
            return got is not None
        if operator == "is_not_set":
            return got is None
        if operator in ("ne", "not_in"):
            return got is None or (got != value if operator == "ne" else got not in value)
        if got is None:
            return False
        if operator == "gte":
            return isinstance(got, int) and got >= value
        return {"eq": got == value, "in": got in (value if isinstance(value, list) else ())}[operator]

    return all(
        holds(operator, value, properties.get(key)) for key, test in where.items() for operator, value in test.items()
    )


def holds(condition: Condition, user: str, events: list[Row], profiles: dict[str, Row]) -> bool:
    mine = sorted((row for row in events if row["user_id"] == user), key=lambda row: row["event_time"])
    match condition:
        case All():
            return all(holds(each, user, events, profiles) for each in condition.conditions)
        case Any():
            return any(holds(each, user, events, profiles) for each in condition.conditions)
        case Not():
            return not holds(condition.condition, user, events, profiles)
        case Profile():
            return fits(profiles.get(user, {}), dict(condition.where))
        case InSegment():
            return sum(row["event_name"] == "Charged" for row in mine) >= 2
        case Did():
            of = [row for row in mine if condition.event in (None, row["event_name"])]
            if condition.event is None:
                of = [row for row in of if not row["event_name"].startswith("Notification")]
            of = [row for row in of if fits(row["properties"], dict(condition.where))]
            if condition.occurrence == "any":
                of = [row for row in of if within(row, condition)]
            elif not of or not within(of[0 if condition.occurrence == "first" else -1], condition):
                return False
            if condition.exactly is not None:
                return len(of) == condition.exactly
            if condition.at_least is None and condition.at_most is None:
                return len(of) >= 1
            least, most = condition.at_least or 0, condition.at_most
            return len(of) >= least and (most is None or len(of) <= most)
    assert isinstance(condition, Sent)
    messages = [
        row for row in mine
        if row["event_name"] == "Notification Sent" and within(row, condition)
        and one_of(condition.label, row["properties"]["labels"])
        and one_of(condition.campaign, row["properties"]["campaign_id"])
        and one_of(condition.channel, row["properties"]["channel"])
    ]  # fmt: skip
    if condition.reaction is None:
        return bool(messages)
    if condition.reaction == "converted":
        days = timedelta(days=int(condition.within.split()[0]))
        reacted = any(
            row["event_name"] == condition.goal and m["event_time"] <= row["event_time"] < m["event_time"] + days
            for m in messages
            for row in mine
        )
    else:
        ids = {row["properties"]["message_id"] for row in messages}
        reacted = any(
            row["event_name"] == REPLIES[condition.reaction] and row["properties"]["message_id"] in ids for row in mine
        )
    return reacted if condition.reacted else bool(messages) and not reacted


times = st.integers(0, 12 * 24).map(lambda hours: START + timedelta(hours=hours))
users = st.sampled_from("abcd")
done = st.builds(
    lambda user, name, time, plan, amount: {
        "user_id": user, "event_name": name, "event_time": time,
        "properties": {k: v for k, v in {"plan": plan, "amount": amount}.items() if v is not None},
    },
    users, st.sampled_from(["Charged", "App Launched"]), times, st.sampled_from(["x", "y", None]),
    st.sampled_from([None, 5, 20]),
)  # fmt: skip
told = st.builds(
    lambda user, name, time, message, label: {
        "user_id": user, "event_name": name, "event_time": time,
        "properties": {"message_id": f"{user}{message}", "campaign_id": f"c{message}", "labels": [label],
                       "channel": "push" if message else "email"},
    },
    users, st.sampled_from(["Notification Sent", "Notification Sent", *REPLIES.values()]), times,
    st.integers(0, 1), st.sampled_from(["Win", "New"]),
)  # fmt: skip
known = st.dictionaries(
    st.sampled_from("abcde"), st.fixed_dictionaries({}, optional={"country": st.sampled_from(["DE", "FR"])}), max_size=5
)

starts = st.sampled_from([None, "3 days ago", "1 week ago", "7 days ago", "40 hours ago", START + timedelta(days=4)])
ends = st.sampled_from([None, None, "1 day ago", "5 days ago", START + timedelta(days=8)])
counts = st.sampled_from(
    [{}, {"at_least": 2}, {"at_most": 1}, {"exactly": 0}, {"exactly": 2}, {"at_least": 1, "at_most": 2}]
)
filters = st.sampled_from(
    [{}, {"plan": {"eq": "x"}}, {"plan": {"ne": "x"}}, {"amount": {"gte": 10}}, {"plan": {"in": ["x", "y"]}},
     {"plan": {"not_in": ["y"]}, "amount": {"is_set": None}}]
)  # fmt: skip
dids = st.builds(
    lambda event, where, count, since, before: Did(event, where, **count, since=since, before=before),
    st.sampled_from(["Charged", "App Launched", None]), filters, counts, starts, ends,
)  # fmt: skip
firsts = st.builds(
    lambda event, where, since, before, which: Did(event, where, since=since, before=before, occurrence=which),
    st.sampled_from(["Charged", None]), filters, starts, ends, st.sampled_from(["first", "latest"]),
)  # fmt: skip
sents = st.builds(
    lambda label, campaign, channel, since, reaction, reacted: Sent(
        label, campaign, channel, since, None, reaction, reacted, within="3 days"
    ),
    st.sampled_from([None, "Win", ["Win", "New"]]), st.sampled_from([None, "c1"]), st.sampled_from([None, "push"]),
    starts, st.sampled_from([None, "viewed", "clicked", "converted"]), st.booleans(),
)  # fmt: skip
properties = st.sampled_from(
    [{"country": {"eq": "DE"}}, {"country": {"ne": "DE"}}, {"country": {"is_not_set": None}},
     {"country": {"is_set": None}}, {"country": {"not_in": ["DE", "FR"]}}]
).map(Profile)  # fmt: skip
conditions = st.recursive(
    st.one_of(dids, firsts, sents, properties, st.just(InSegment("repeat_buyers"))),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: All(*parts)),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: Any(*parts)),
        inner.map(Not),
    ),
    max_leaves=5,
)


@tried(20)
@given(st.lists(st.one_of(done, told), max_size=25), known, st.lists(conditions, min_size=1, max_size=6), st.booleans())
def test_it_agrees_with_the_reference(
    events: list[Row], profiles: dict[str, Row], asked: list[Condition], is_folded: bool
) -> None:
    workspace = emptied()
    if is_folded:
        events = [row for row in events if row["event_time"] < NOW]
    if events:
        workspace.land_events(events)
    if profiles:
        workspace.land_profiles([{"user_id": user, "changed_at": START, **row} for user, row in profiles.items()])
    if is_folded:
        workspace.compact()
    seen = [row for row in events if row["event_time"] < NOW]
    for condition in asked:
        sql = workspace.build_segment(condition)
        assert not check_text(sql, Path("x.sql"))
        got = workspace.sql(sql, as_of=NOW)["user_id"].to_list()
        everyone = {row["user_id"] for row in seen} | set(profiles)
        want = sorted(user for user in everyone if holds(condition, user, seen, profiles))
        assert sorted(got) == want, sql
        assert workspace.count_preview(sql, as_of=NOW) == len(want)


hostile = st.one_of(
    st.sampled_from(["'", "''", "\\'", "x' or '1'='1", "*/ now() --", "-- \n", "$v0", "$$", "\"", "a;b", 
                     "\n-- Title: x", "{}", "%s", "é\u2028", "/a~b", "$.x", ""]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12),
)  # fmt: skip


@tried(40)
@given(hostile, hostile, hostile)
def test_hostile_text_stays_text(event: str, key: str, value: str) -> None:
    workspace = emptied()
    plain = [{"user_id": "b", "event_name": "Charged", "event_time": START, "properties": {"plan": "x"}}]
    if event:
        row = {"user_id": "a", "event_name": event, "event_time": START, "properties": {key: value}}
        plain.append(row)
    workspace.land_events(plain)
    sql = workspace.build_segment(All(Did(event or "none", {key: value}, at_least=1), Not(Sent(label=value))))
    [statement] = duckdb.extract_statements(sql)
    assert statement.type == duckdb.StatementType.SELECT
    assert not statement.named_parameters
    assert not check_text(sql, Path("x.sql"))
    texts = {literal.this for literal in sqlglot.parse_one(sql, read="duckdb").find_all(sqlglot.exp.Literal)}
    assert {event or "none", value} <= texts
    found = workspace.sql(sql)["user_id"].to_list()
    assert found == (["a"] if event else []), sql


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        (Did("x", at_least=0), "at least 0 times holds of everybody"),
        (Did("x", at_least=3, at_most=2), "is nobody"),
        (Did("x", exactly=1, at_most=2), "exactly stands alone"),
        (Did("x", at_least=-1), "at_least is -1; write a whole number"),
        (Did("x", exactly=0, occurrence="first"), "no first time"),
        (Did("x", since="soon"), "'soon' is not a time; write \"30 days ago\""),
        (Did("x", {"amount": {"approx": 3}}), "there is no operator 'approx'"),
        (Did("x", {"amount": {">": float("nan")}}), "nan is not a number"),
        (Did("x", {"a": "\0"}), "a text value holds a character"),
        (Profile({}), "names no property"),
        (InSegment('x" union select'), "is not a segment's name"),
        (Sent(label=[]), "label is neither"),
        (Sent(reaction="liked"), "there is no reaction 'liked'"),  # type: ignore[arg-type]
        (All(), "need a condition at least"),
        ("Charged", "a str is not a condition"),
    ],
)
def test_what_cannot_be_asked_is_told(condition: Condition, told: str) -> None:
    with pytest.raises(QueryError, match=told):
        segment_sql(condition)


def test_a_deep_nest_is_refused_in_one_line() -> None:
    condition: Condition = Did("x")
    for _ in range(2000):
        condition = Not(condition)
    with pytest.raises(QueryError, match="nested more than"):
        segment_sql(condition)


def test_the_sql_reads_well() -> None:
    loyal = All(
        Did("Charged", at_least=2, since="90 days ago", where={"amount": {">=": 20}}),
        Not(Sent(label="Winter", reaction="clicked")),
        Any(Profile({"country": "DE"}), InSegment("big_spenders")),
    )
    assert segment_sql(loyal) == (
        "with did_charged as (\n"
        "    select user_id\n"
        "    from user_events\n"
        "    where event_name = 'Charged'\n"
        "        and try_cast(properties ->> '$.amount' as double) >= 20\n"
        "        and event_time >= as_of() - interval '90' day\n"
        "    group by user_id\n"
        "    having count(*) >= 2\n"
        "),\n\n"
        "messages_winter as (\n"
        "    select user_id, event_time, coalesce(message_id, campaign_id) as message_id\n"
        "    from notifications\n"
        "    where event_name = 'Notification Sent'\n"
        "        and array_contains(labels, 'Winter')\n"
        "),\n\n"
        "clicked_winter as (\n"
        "    select distinct message.user_id\n"
        "    from messages_winter as message\n"
        "    join notifications as reply\n"
        "        on reply.user_id = message.user_id\n"
        "        and coalesce(reply.message_id, reply.campaign_id) = message.message_id\n"
        "    where reply.event_name = 'Notification Clicked'\n"
        "),\n\n"
        "profile_country as (\n"
        "    select user_id\n"
        "    from profiles\n"
        "    where (properties ->> '$.country') = 'DE'\n"
        ")\n\n"
        "select user_id\n"
        "from did_charged\n"
        "where user_id not in (select user_id from clicked_winter)\n"
        "    and (\n"
        "        user_id in (select user_id from profile_country)\n"
        "        or user_id in (select user_id from segments.big_spenders)\n"
        "    )\n"
    )


def test_it_is_kept_as_a_file_that_passes_the_check(workspace: engage.Workspace) -> None:
    workspace.land_events([{"user_id": "a", "event_name": "Charged", "event_time": START}])
    sql = workspace.build_segment(Did("Charged"))
    path = workspace.save_segment(sql, "buyers", "People who\nbought -- once\x00")
    assert path == workspace.settings.sql / "segments" / "buyers.sql"
    assert path.read_text() == f"-- Title: People who bought -- once\n-- grain: user_id\n{sql}"
    assert workspace.check() == []
    assert workspace.segment("buyers").users()["user_id"].to_list() == ["a"]
    assert workspace.sql("from segments.buyers").height == 1
    with pytest.raises(QueryError, match="there is a segment buyers already"):
        workspace.save_segment(sql, "buyers", "Again")
    workspace.save_segment(path.read_text(), "buyers", "Again", replace=True)
    assert path.read_text() == f"-- Title: Again\n-- grain: user_id\n{sql}"


@pytest.mark.parametrize(
    ("sql", "name", "title", "told"),
    [
        ("select user_id from events", "../x", "T", "is not a segment's name"),
        ("select user_id from events", "Mine", "T", "is not a segment's name"),
        ("select user_id from events", "mine", " \n", "needs a title"),
        ("select event_id from events", "mine", "T", "has no column user_id"),
        ("select user_id from events where event_time > now()", "mine", "T", "now is not reproducible"),
        ("select nope from events", "mine", "T", "nope"),
        ("drop view events", "mine", "T", "only one select"),
        ("select user_id from segments.uses_big", "big_spenders", "T", "would need itself"),
    ],
)
def test_what_is_no_segment_is_not_kept(
    workspace: engage.Workspace, sql: str, name: str, title: str, told: str
) -> None:
    workspace.save_segment("select user_id from segments.big_spenders", "uses_big", "T")
    before = {path: path.read_text() for path in (workspace.settings.sql / "segments").iterdir()}
    with pytest.raises(EngageError, match=told):
        workspace.save_segment(sql, name, title, replace=True)
    assert {path: path.read_text() for path in (workspace.settings.sql / "segments").iterdir()} == before


def test_a_draft_is_counted_and_shown(workspace: engage.Workspace) -> None:
    workspace.land_profiles([{"user_id": user, "email": f"{user}@example.com"} for user in "cab"])
    sql = "-- a note\nselect user_id from profiles where user_id >= $from;"
    assert workspace.count_preview(sql, **{"from": "b"}) == 2
    sample = workspace.sample_preview(sql, 1, **{"from": "b"})
    assert sample.select("user_id", "email").rows() == [("b", "b@example.com")]
    with pytest.raises(QueryError, match="not reproducible"):
        workspace.count_preview("select user_id from profiles where random() < 0.5")
