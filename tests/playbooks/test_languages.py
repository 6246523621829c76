"""Playbooks speak what people read: suggested by profiles, written into the journey, read by each in their language."""

from __future__ import annotations

import email
import email.policy
import re
import tomllib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import engage
from engage.errors import PlanError
from engage.journeys.document import document
from engage.playbooks.languages import languages
from engage.playbooks.playbook import list_playbooks

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
BOOKS = {book.name: book for book in list_playbooks()}
PEOPLE = {"en-US": 60, "de": 15, "de_AT": 10, "pt-BR": 6, "FR": 3, "ja": 40}
"""Of 134, with 10 who named none: German 19 %, Portuguese 4.5 %, French 2 %; Japanese has no texts."""


@pytest.fixture
def shop(workspace: engage.Workspace) -> engage.Workspace:
    rows: list[dict[str, Any]] = [{"user_id": f"none-{n}"} for n in range(10)]
    rows += [{"user_id": f"{one}-{n}", "language": one} for one, many in PEOPLE.items() for n in range(many)]
    began = NOW - timedelta(days=40)
    workspace.land_profiles(
        [{**row, "email": f"{row['user_id'].lower()}@example.com", "changed_at": began} for row in rows]
    )
    return workspace


def placeholders(text: dict[str, str]) -> set[str]:
    return set(re.findall(r"\$\w+|data\.[\w.]+", " ".join(text.values())))


@pytest.mark.parametrize("language", sorted(languages()))
def test_a_translation_has_every_text_and_what_is_put_into_it(language: str) -> None:
    said = languages()[language]
    assert list(said) == [name for name, book in BOOKS.items() if "texts" in book.values]
    for name, own in said.items():
        english = BOOKS[name].values["texts"]
        assert list(own["texts"]) == list(english), name
        for text, fields in own["texts"].items():
            assert list(fields) == ["title", "body"]
            assert placeholders(fields) == placeholders(english[text]), (name, text)
            assert fields != english[text]
        assert set(own) - {"texts"} <= set(BOOKS[name].values["asks"]), "an answer that is a text itself"


def test_languages_are_suggested_that_a_twentieth_reads(shop: engage.Workspace) -> None:
    def suggested(as_of: datetime) -> str:
        return str(shop.fill_playbook("convert_new_users", as_of=as_of).answers["languages"])

    assert suggested(NOW) == "de"
    later = NOW + timedelta(minutes=5)
    shop.land_profiles([{"user_id": f"ja-{n}", "language": "pt", "changed_at": later} for n in range(20)])
    assert suggested(NOW) == "de", "as of then"
    assert suggested(NOW + timedelta(hours=1)) == "pt, de"


def test_without_another_language_there_is_none_in_the_file(
    workspace: engage.Workspace, shop: engage.Workspace
) -> None:
    assert "localise" not in str(shop.fill_playbook("convert_new_users", {"languages": ""}, NOW).journey)
    shop.create_from_playbook("convert_new_users", answers={"languages": []}, now=NOW)
    assert "localise" not in (shop.settings.journeys / "convert_new_users.toml").read_text(encoding="utf-8")


def test_an_unknown_language_is_refused(shop: engage.Workspace) -> None:
    with pytest.raises(PlanError, match=r"has no texts in 'ja'.*de, es, fr, pt"):
        shop.fill_playbook("convert_new_users", {"languages": "de, ja"})


@pytest.mark.parametrize("name", BOOKS)
def test_each_makes_a_journey_without_faults_in_all_languages(shop: engage.Workspace, name: str) -> None:
    made = shop.create_from_playbook(name, answers={"languages": "de fr,es , pt"}, now=NOW)
    assert made.journey.check() == []
    assert made.filled.answers["languages"] == "de, fr, es, pt"
    messages = [node for node in made.filled.journey["nodes"].values() if node.get("content")]
    assert messages
    for node in messages:
        assert {tuple(text) for text in node["localise"]["texts"].values()} == {tuple(node["content"])}
        assert "$" not in str(node["localise"]), "every answer is put in"


def test_an_offer_is_said_in_the_language_unless_it_was_answered(shop: engage.Workspace) -> None:
    def german(**answers: str) -> str:
        nodes = shop.fill_playbook("promotional_countdown", {"languages": "de", **answers}, NOW).journey["nodes"]
        return str(nodes["begin"]["localise"]["texts"]["de"])

    assert "ein Fünftel Rabatt auf alles" in german()
    assert "a fifth" not in german()
    assert "10 % off" in german(offer="10 % off")


def test_everybody_is_sent_what_they_read(shop: engage.Workspace) -> None:
    made = shop.create_from_playbook("convert_new_users", answers={"languages": "de, pt", "channel": "email"}, now=NOW)
    came = [f"{one}-0" for one in PEOPLE] + ["none-0"]
    at = NOW + timedelta(hours=1)
    shop.land_events([{"user_id": user, "event_name": "App Launched", "event_time": at} for user in came])
    values = dict(made.filled.journey) | {"control_percent": 0}
    shop.save_journey("convert_new_users", values)
    shop.journey("convert_new_users").launch(NOW).tick(NOW + timedelta(hours=7))
    read = {}
    for file in shop.settings.outbox.rglob("*.eml"):
        mail = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        read[str(mail["To"]).partition("@")[0].removesuffix("-0")] = str(mail["Subject"])
    german, portuguese, english = "Schön, dass du da bist", "Que bom ter você aqui", "Good to have you"
    expected = dict.fromkeys(("en-us", "fr", "ja", "none"), english)
    assert read == expected | {"de": german, "de_at": german, "pt-br": portuguese}


def test_texts_are_tables_that_read_well_in_a_diff(shop: engage.Workspace) -> None:
    values = dict(shop.fill_playbook("birthday", {"languages": "de"}, NOW).journey)
    text = document(values)
    assert '[nodes.wish.localise.texts.de]\ntitle = "Alles Gute zum Geburtstag"\n' in text
    assert tomllib.loads(text) == values
    more = dict(shop.fill_playbook("birthday", {"languages": "de, fr"}, NOW).journey)
    longer = document(more, text)
    assert tomllib.loads(longer) == more
    assert set(text.splitlines()) < set(longer.splitlines()), "lines are only added"
    inline = 'localise = {by = "language", texts = {de = {title = "T", body = "B"}}}'
    written = '[nodes.wish]\nkind = "message"\n' + inline + "\n"
    assert tomllib.loads(document({"nodes": {"wish": values["nodes"]["wish"]}}, written)) == {
        "nodes": {"wish": values["nodes"]["wish"]}
    }
