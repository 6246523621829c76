"""Selects of people, asked of the derived tables where those give the same answer.

The SQL stays what the analyst wrote: only parts of it that say no more than "who did this event, so often, since then",
"who was sent this label" and "from profiles" are put in other words, letter by letter in their place. They are found by
what they say and not by who wrote them, so what the builder writes and what a person writes like it are as fast. What
is not known here stays and is answered by the lake.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from engage.lake.derived.user_days import NO_ACTIVITY
from engage.query.derived import Derived
from engage.query.files import literal
from engage.vocabulary import MESSAGE_EVENTS

__all__ = ["over_derived"]

_RELATIONS = ("user_events", "activity", "events", "notifications")
_SETS = (TokenType.UNION, TokenType.EXCEPT, TokenType.INTERSECT)
_COMPARED = {exp.GTE: ">=", exp.GT: ">", exp.LT: "<", exp.LTE: "<=", exp.EQ: "="}


def over_derived(text: str, derived: Derived) -> str | None:
    """Put a select of people in terms of the derived tables.

    Args:
        text: One select, with literals in the place of its parameters.
        derived: The tables.

    Returns:
        SQL of the same rows; None where nothing of it can be asked of the tables.
    """
    if not derived.is_all_visible:
        return None
    pieces = []
    position = 0
    for place in _places(text):
        written = derived.profiles() if place.step is None else _written(place.step, derived)
        if written is None:
            continue
        name = " as profiles" if place.step is None and not place.is_named else ""
        pieces += [text[position : place.begin], f"({written}\n){name}" if place.step is None else written]
        position = place.end
    return "".join([*pieces, text[position:]]) if pieces else None


@dataclass(frozen=True, slots=True)
class _Step:
    """Who did something: a select of `user_id` from one relation of events.

    Args:
        relation: Which.
        event: Its name as SQL; None for any.
        labels: As SQL; one of them is on the message.
        conditions: On `n`, `first_at`, `last_at`.
        is_set: Whether a person may come several times.
    """

    relation: str
    event: str | None
    labels: tuple[str, ...]
    conditions: tuple[str, ...]
    is_set: bool


@dataclass(frozen=True, slots=True)
class _Place:
    begin: int
    end: int
    step: _Step | None = None  # None for the relation `profiles`
    is_named: bool = False


@lru_cache(maxsize=256)
def _places(text: str) -> tuple[_Place, ...]:
    """Where in a text there are steps, and relations of profiles, in order."""
    try:
        tokens = sqlglot.tokenize(text, read="duckdb")
    except SqlglotError:
        return ()
    if _names_its_own(tokens):
        return ()
    found = []
    after = 0
    for index, token in enumerate(tokens):
        if index < after:
            continue
        if token.token_type == TokenType.SELECT:
            last = _end(tokens, index)
            begin, end = token.start, tokens[last].end + 1
            step = _step(text[begin:end], is_set=_is_set(tokens, index, last))
            if step and all(value in text for value in (step.event or "", *step.labels)):  # read as they are written
                found.append(_Place(begin, end, step))
                after = last + 1
        elif token.text.lower() == "profiles" and token.token_type == TokenType.VAR and _follows_from(tokens, index):
            following = tokens[index + 1 : index + 2]
            is_named = any(each.token_type in (TokenType.ALIAS, TokenType.VAR) for each in following)
            found.append(_Place(token.start, token.end + 1, None, is_named))
    return tuple(found)


def _names_its_own(tokens: Sequence[Token]) -> bool:
    """Whether a common table or an alias has the name of a relation that is looked for here."""
    names = {*_RELATIONS, "profiles", "identities"}
    for index, token in enumerate(tokens[:-1]):
        following, before = tokens[index + 1].token_type, tokens[index - 1].token_type if index else None
        if token.text.lower() not in names or token.token_type == TokenType.STRING:
            continue
        if before == TokenType.ALIAS or (following == TokenType.ALIAS and before in (TokenType.WITH, TokenType.COMMA)):
            return True
        if following == TokenType.L_PAREN or before == TokenType.RECURSIVE:
            return True
    return False


def _end(tokens: Sequence[Token], index: int) -> int:
    """The last token of the select that begins at `index`."""
    depth = 0
    for position in range(index, len(tokens)):
        kind = tokens[position].token_type
        depth += (kind == TokenType.L_PAREN) - (kind == TokenType.R_PAREN)
        if depth < 0 or (depth == 0 and kind in (*_SETS, TokenType.SEMICOLON)):
            return position - 1
    return len(tokens) - 1


def _is_set(tokens: Sequence[Token], index: int, last: int) -> bool:
    """Whether it makes no difference if a row comes twice: within ``in (…)``, or beside a union."""
    before, following = tokens[max(index - 2, 0) : index], tokens[last + 1 : last + 3]
    kinds = [token.token_type for token in before], [token.token_type for token in following]
    if kinds[0][-1:] == [TokenType.UNION] or (
        kinds[1][:1] and kinds[1][0] in _SETS and kinds[1][1:] == [TokenType.SELECT]
    ):
        return True
    return kinds[0] == [TokenType.IN, TokenType.L_PAREN] and kinds[1][:1] == [TokenType.R_PAREN]


def _follows_from(tokens: Sequence[Token], index: int) -> bool:
    if not index or tokens[index - 1].token_type not in (TokenType.FROM, TokenType.JOIN):
        return False
    return tokens[index + 1 : index + 2] == [] or tokens[index + 1].token_type != TokenType.DOT


def _step(text: str, *, is_set: bool) -> _Step | None:
    """Read a select that says no more than a step may."""
    try:
        tree = sqlglot.parse_one(text, read="duckdb")
    except SqlglotError:
        return None
    if not isinstance(tree, exp.Select):
        return None
    known = {"expressions", "from_", "where", "group", "having", "distinct", "kind"}
    given = {name for name, value in tree.args.items() if value}
    table = tree.args["from_"].this if "from_" in given else None
    if given - known or not isinstance(table, exp.Table) or table.name.lower() not in _RELATIONS:
        return None
    if any(value for name, value in table.args.items() if name != "this") or not _is_user(tree.expressions):
        return None
    group, distinct = tree.args.get("group"), tree.args.get("distinct")
    if group and (distinct or any(value for name, value in group.args.items() if name != "expressions")):
        return None
    if (group and not _is_user(group.expressions)) or (distinct and distinct.args.get("on")):
        return None
    if not group and (tree.args.get("having") or not (distinct or is_set)):
        return None
    where, having = _conjuncts(tree.args.get("where")), _conjuncts(tree.args.get("having"))
    return _read(table.name.lower(), where, having, is_set=is_set)


def _read(relation: str, where: Sequence[exp.Expr], having: Sequence[exp.Expr], *, is_set: bool) -> _Step | None:
    event: str | None = None
    labels: tuple[str, ...] = ()
    window: list[str] = []
    conditions: list[str] = []
    for part in where:
        if isinstance(part, exp.EQ) and _is_column(part.this, "event_name") and part.expression.is_string:
            if event is not None:
                return None
            event = literal(part.expression.name)
        elif (found := _labels(part)) and relation == "notifications" and not labels:
            labels = found
        elif isinstance(part, (exp.GTE, exp.LT)) and _is_column(part.this, "event_time"):
            if (moment := _moment(part.expression)) is None:
                return None
            # It happened since then if it did the last time, and before then if it did the first time.
            window.append(f"last_at >= {moment}" if isinstance(part, exp.GTE) else f"first_at < {moment}")
        else:
            return None
    for part in having:
        if (condition := _counted(part)) is None:
            return None
        conditions.append(condition)
    is_counted = any(each.startswith("n ") for each in conditions)
    if len(window) > 1 or (window and conditions) or (len(labels) > 1 and is_counted):
        return None  # what happened in between, or how often, only the lake tells
    if relation == "activity" and event is not None:
        if event in {literal(name) for name in NO_ACTIVITY}:
            return None
        relation = "user_events"
    return _Step(relation, event, labels, tuple(window + conditions), is_set and not window and not conditions)


def _labels(part: exp.Expr) -> tuple[str, ...] | None:
    """The texts of ``list_contains(labels, …)``, or of several of them with `or`."""
    part = part.unnest()
    if isinstance(part, exp.Or):
        left, right = _labels(part.left), _labels(part.right)
        return (*left, *right) if left and right else None
    if not isinstance(part, exp.ArrayContains) or not _is_column(part.this, "labels") or not part.expression.is_string:
        return None
    return (literal(part.expression.name),)


def _counted(part: exp.Expr) -> str | None:
    sign = next((sign for kind, sign in _COMPARED.items() if type(part) is kind), None)
    if sign is None or not isinstance(part, exp.Binary):
        return None
    left, right = part.this, part.expression
    if isinstance(left, exp.Count):
        is_all = isinstance(left.this, exp.Star) and not left.expressions
        return f"n {sign} {right.name}" if is_all and isinstance(right, exp.Literal) and right.is_int else None
    column = {exp.Min: "first_at", exp.Max: "last_at"}.get(type(left))
    if column is None or not _is_column(left.this, "event_time") or left.expressions:
        return None
    moment = _moment(right)
    return f"{column} {sign} {moment}" if moment else None


def _moment(tree: exp.Expr) -> str | None:
    """SQL of a time that is the same for every row, of the few forms that are certain to be read as they were."""
    for node in tree.walk():
        is_known = isinstance(node, (exp.Literal, exp.Interval, exp.Sub, exp.Add, exp.Paren))
        is_known |= isinstance(node, exp.Anonymous) and node.name.lower() == "as_of" and not node.expressions
        is_known |= isinstance(node, exp.Cast) and node.to.is_type("timestamptz", "date")
        is_known |= isinstance(node, (exp.Var, exp.DataType)) and isinstance(node.parent, (exp.Interval, exp.Cast))
        if not is_known:
            return None
    return tree.sql(dialect="duckdb")


def _conjuncts(clause: exp.Expr | None) -> list[exp.Expr]:
    def parts(tree: exp.Expr) -> Iterator[exp.Expr]:
        if isinstance(tree, exp.And):
            yield from parts(tree.left)
            yield from parts(tree.right)
        elif isinstance(tree, exp.Paren) and not isinstance(tree.unnest(), exp.Or):
            yield from parts(tree.this)
        else:
            yield tree

    return list(parts(clause.this)) if clause else []


def _is_user(expressions: Sequence[exp.Expr]) -> bool:
    return len(expressions) == 1 and _is_column(expressions[0], "user_id")


def _is_column(tree: exp.Expr, name: str) -> bool:
    return isinstance(tree, exp.Column) and tree.name.lower() == name and len(tree.parts) == 1


def _written(step: _Step, derived: Derived) -> str:
    """The step as a select of `user_id`, one row a person unless that makes no difference."""
    where = f" where {' and '.join(step.conditions)}" if step.conditions else ""
    names = {literal(name) for name in MESSAGE_EVENTS}
    sources = []
    if step.relation != "notifications":
        # Someone's any event is an activity or one of those that are none.
        extra = NO_ACTIVITY if step.event is None and step.relation != "activity" else ()
        sources.append(f"({derived.did(step.event, extra=extra, is_set=step.is_set)})")
    if step.relation == "notifications" or (step.relation == "events" and (step.event is None or step.event in names)):
        sources.append(f"({derived.told(step.event, step.labels)})")
    if step.is_set or (len(sources) == 1 and step.relation != "notifications"):
        rows = " union all ".join(f"select user_id from {source}" for source in sources)
        return f"select user_id from ({rows}){where}" if len(sources) > 1 else f"{rows}{where}"
    rows = " union all ".join(f"select user_id, n, first_at, last_at from {source}" for source in sources)
    added = "sum(n)::bigint as n, min(first_at) as first_at, max(last_at) as last_at"
    return f"select user_id from (select user_id, {added} from ({rows}) group by user_id){where}"
