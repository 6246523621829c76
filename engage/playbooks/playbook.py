"""Playbooks: a journey with its segments and texts, and questions the lake itself suggests answers to."""

from __future__ import annotations

import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from engage.campaigns.labels import create_label, list_labels
from engage.errors import PlanError
from engage.journeys.definition import journey_from
from engage.journeys.facts import reach_sql
from engage.journeys.files import create_journey
from engage.journeys.graph import Journey
from engage.journeys.simulation import Simulation, simulate
from engage.lake.storage import write_atomically
from engage.playbooks.languages import answered, languages, spoken, translation
from engage.query.engine import Engine
from engage.query.files import literal, read_params, with_literals
from engage.vocabulary import Channel

__all__ = ["Filled", "Playbook", "create_from_playbook", "fill", "list_playbooks", "preview", "read_playbook"]

_CHANNELS = ("push", "email", "sms", "web_push", "in_app")
_TITLE = {Channel.EMAIL: ("subject", "text"), Channel.SMS: (None, "body")}


@dataclass(frozen=True, slots=True)
class Playbook:
    """A ready-made journey.

    Args:
        name: Its file's name.
        title: What it does.
        why: Why it works.
        when: When to use it.
        expect: What result to expect.
        values: The whole file.
    """

    name: str
    title: str
    why: str
    when: str
    expect: str
    values: Mapping[str, Any]

    @property
    def asks(self) -> dict[str, str]:
        """What it asks, by name, each as a line; channel and languages last."""
        asked = {name: str(ask["about"]) for name, ask in self.values.get("asks", {}).items()}
        return {
            **asked,
            "channel": "The channel: the one that reaches most people",
            "languages": f"Languages besides English that people's profiles name, of {', '.join(languages())}",
        }


@dataclass(frozen=True, slots=True)
class Filled:
    """A playbook made to fit a workspace, before anything is written.

    Args:
        playbook: Which.
        answers: What was asked, by name; from the lake where it was not given.
        segments: SQL files by name.
        journey: What the journey's file is to say.
        reach: People in its segment, by segment.
    """

    playbook: Playbook
    answers: Mapping[str, Any]
    segments: Mapping[str, str]
    journey: Mapping[str, Any]
    reach: Mapping[str, int]


def list_playbooks() -> list[Playbook]:
    """Every playbook, by name."""
    return [_read(path) for path in sorted(Path(__file__).parent.glob("*.toml"))]


def read_playbook(name: str) -> Playbook:
    """One playbook.

    Raises:
        PlanError: There is none of that name.
    """
    known = {playbook.name: playbook for playbook in list_playbooks()}
    if name not in known:
        near = get_close_matches(name, known, n=1)
        raise PlanError(f"no playbook {name!r}", hint=f"did you mean {near[0]}?" if near else ", ".join(known))
    return known[name]


def _read(path: Path) -> Playbook:
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    title, why, when, expect = (" ".join(str(values[key]).split()) for key in ("title", "why", "when", "expect"))
    return Playbook(path.stem, title, why, when, expect, values)


def fill(
    engine: Engine, playbook: Playbook, answers: Mapping[str, Any] | None = None, *, as_of: datetime | None = None
) -> Filled:
    """Make a playbook fit a workspace: what is not answered is taken from the lake, or is the default.

    Args:
        engine: What answers.
        playbook: Which.
        answers: Answers by name: those of ``asks``, ``channel``, and ``languages`` (``de, pt``), in which messages are
            written besides English.
        as_of: As of then.

    Raises:
        PlanError: It does not ask that, or has no texts in a language.
    """
    asks: Mapping[str, Any] = playbook.values.get("asks", {})
    given = dict(answers or {})
    if unknown := sorted(set(given) - set(playbook.asks)):
        raise PlanError(f"does not ask {unknown[0]!r}", where=playbook.name, hint=f"it asks {', '.join(playbook.asks)}")
    found: dict[str, Any] = {}
    for name, ask in asks.items():
        found[name] = given[name] if name in given else _guess(engine, ask, found, as_of)
    found["channel"] = given.get("channel") or _best_channel(engine, playbook, as_of)
    if found["channel"] not in set(Channel):
        raise PlanError(f"channel {found['channel']!r} is not known", where=playbook.name, hint=", ".join(_CHANNELS))
    read = answered(given["languages"], playbook.name) if "languages" in given else spoken(engine, as_of=as_of)
    found["languages"] = ", ".join(read)
    segments = {name: _segment(part["sql"], found) for name, part in playbook.values.get("segments", {}).items()}
    journey = _substituted(playbook.values["journey"], found)
    for node in journey["nodes"].values():
        if text := node.pop("text", None):
            node["content"] = _content(node["channel"], _substituted(playbook.values["texts"][text], found))
            if read:
                texts = {language: _translated(playbook, text, language, node["channel"], found) for language in read}
                node["localise"] = {"by": "language", "texts": texts}
    journey = {"title": playbook.title, "labels": [playbook.values["label"]], **journey}
    reach = {}
    for name, sql in segments.items():
        body = _bare(sql)
        reach[name] = int(engine.frame(f"select count(distinct user_id) from ({body}\n)", as_of=as_of).item())
    return Filled(playbook, found, segments, journey, reach)


def _guess(engine: Engine, ask: Mapping[str, Any], found: Mapping[str, Any], as_of: datetime | None) -> Any:
    if "sql" not in ask:
        return ask["default"]
    used = {name: found[name] for name in engine.parameters(ask["sql"])}
    rows = engine.frame(ask["sql"], used or None, as_of=as_of)
    value = rows.item(0, 0) if rows.height else None
    return ask["default"] if value is None else value


def _best_channel(engine: Engine, playbook: Playbook, as_of: datetime | None) -> str:
    """The channel that reaches most people; of equals the first."""
    channels = tuple(playbook.values.get("channels", _CHANNELS[:4]))
    people = "select distinct user_id from activity"
    found = engine.frame(f"select channel, count(*) as n from ({reach_sql(channels, people)}) group by 1", as_of=as_of)
    counts = dict(found.rows())
    return max(channels, key=lambda one: (counts.get(one, 0), -channels.index(one)))


def _segment(sql: str, answers: Mapping[str, Any]) -> str:
    """The file of a segment, its parameters' defaults filled in from the answers."""
    lines = [
        string.Template(line).safe_substitute({key: literal(value) for key, value in answers.items()})
        if line.startswith("-- params:")
        else line
        for line in sql.strip().splitlines()
    ]
    return "\n".join(lines) + "\n"


def _bare(sql: str) -> str:
    """A segment with its defaults in place."""

    header = next((line for line in sql.splitlines() if line.startswith("-- params:")), "")
    return with_literals(sql, read_params(header.removeprefix("-- params:").strip(), Path("segment.sql")))


def _substituted(value: Any, answers: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        return {key: _substituted(inner, answers) for key, inner in value.items()}
    if isinstance(value, list):
        return [_substituted(inner, answers) for inner in value]
    if isinstance(value, str) and value.startswith("$") and value[1:] in answers:
        return answers[value[1:]]
    return string.Template(value).safe_substitute(answers) if isinstance(value, str) else value


def _translated(
    playbook: Playbook, text: str, language: str, channel: str, answers: Mapping[str, Any]
) -> dict[str, str]:
    defaults = {name: ask["default"] for name, ask in playbook.values.get("asks", {}).items()}
    said, own = translation(playbook.name, text, language, answers, defaults)
    return _content(channel, _substituted(said, own))


def _content(channel: str, text: Mapping[str, str]) -> dict[str, str]:
    title, body = _TITLE.get(Channel(channel), ("title", "body"))
    return {**({title: text["title"]} if title else {}), body: text["body"]}


def preview(
    engine: Engine,
    filled: Filled,
    *,
    now: datetime,
    past: timedelta = timedelta(days=30),
    prices: Mapping[str, float] | None = None,
) -> Simulation:
    """What a playbook would have done in the past, before anything of it is written.

    A segment's file that is there already is asked as it is: it would not be written anew.

    Args:
        engine: What answers.
        filled: The playbook, filled in.
        now: The clock.
        past: How much of the past to simulate.
        prices: A message's price by channel.
    """
    name, folder = filled.playbook.name, engine.settings.sql / "segments"
    drafts = {
        segment: _bare(sql) for segment, sql in filled.segments.items() if not (folder / f"{segment}.sql").exists()
    }
    values = {key: value for key, value in filled.journey.items() if key != "labels"}  # it may have none yet
    journey = journey_from(engine.settings, name, values, name)
    return simulate(engine, journey, values, now - past, now, step=timedelta(days=1), prices=prices, drafts=drafts)


def create_from_playbook(
    engine: Engine,
    filled: Filled,
    name: str,
    *,
    now: datetime,
) -> Journey:
    """Write a playbook's files into the workspace, as a draft its owner may change: segments, label, journey.

    A segment file of that name that is there already is left as it is.

    Args:
        engine: What answers.
        filled: The playbook, filled in.
        name: The journey's name.
        now: The clock.

    Raises:
        PlanError: The name is taken or not one.
    """
    settings = engine.settings
    if (settings.journeys / f"{name}.toml").exists():
        raise PlanError(f"journey {name!r} is there already", where=str(settings.journeys / f"{name}.toml"))
    for segment, sql in filled.segments.items():
        file = settings.sql / "segments" / f"{segment}.sql"
        if not file.exists():
            write_atomically(file, sql)
    for label in filled.journey["labels"]:
        if label.casefold() not in {known.name.casefold() for known in list_labels(settings)}:
            create_label(settings, label, filled.playbook.title, now=now)
    return create_journey(settings, name, filled.journey)
