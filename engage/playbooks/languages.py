"""A playbook's texts in further languages, and which of them a workspace's people read."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from engage.errors import PlanError
from engage.query.engine import Engine

__all__ = ["answered", "languages", "spoken", "translation"]

_LEAST = 0.05
"""The share of the people whose language is known from which on theirs is worth texts of its own."""

_SPOKEN = """
with known as (
    select lower(regexp_extract(language, '^[A-Za-z]+')) as spoken from profiles where language is not null
), counted as (
    select spoken, count(*) as people from known group by spoken
)
select spoken from counted
qualify people >= $least * sum(people) over ()
order by people desc, spoken
"""


@cache
def languages() -> dict[str, Mapping[str, Any]]:
    """The translations by language (ISO 639-1): of a playbook its ``texts``, and answers that are texts themselves."""
    files = sorted((Path(__file__).parent / "translations").glob("*.toml"))
    return {file.stem: tomllib.loads(file.read_text(encoding="utf-8")) for file in files}


def spoken(engine: Engine, *, as_of: datetime | None = None) -> list[str]:
    """The languages with texts that at least a twentieth of the people read, by their profiles; the most read first."""
    found = engine.frame(_SPOKEN, {"least": _LEAST}, as_of=as_of)
    return [language for language in found["spoken"] if language in languages()]


def answered(answer: str | Iterable[str], where: str) -> list[str]:
    """The languages somebody named: ``de, pt``, or a list.

    Raises:
        PlanError: There are no texts in one of them.
    """
    named = answer.replace(",", " ").split() if isinstance(answer, str) else list(answer)
    for language in named:
        if language not in languages():
            hint = f"there are {', '.join(languages())}; write others into the journey's [localise]"
            raise PlanError(f"has no texts in {language!r}", where=where, hint=hint)
    return list(dict.fromkeys(named))


def translation(
    playbook: str, text: str, language: str, answers: Mapping[str, Any], defaults: Mapping[str, Any]
) -> tuple[Mapping[str, str], Mapping[str, Any]]:
    """One text in a language, and the answers to put into it.

    Args:
        playbook: Its name.
        text: The text's name.
        language: One of :func:`languages`.
        answers: What was answered; an offer that is still the English default is said in the language.
        defaults: The playbook's own answers.
    """
    own = languages()[language][playbook]
    said = {name: own[name] for name in own if name != "texts" and answers.get(name) == defaults.get(name)}
    return own["texts"][text], {**answers, **said}
