"""What in a select answers otherwise tomorrow, or otherwise for the same rows: found in its tokens, with the place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlglot.tokenizer_core import Token, TokenType

__all__ = ["Fault", "faults"]

_CLOCKS = {
    "now",
    "today",
    "current_date",
    "current_time",
    "current_timestamp",
    "current_localtime",
    "current_localtimestamp",
    "localtime",
    "localtimestamp",
    "get_current_time",
    "get_current_timestamp",
    "transaction_timestamp",
}
_CHANCE = {"random", "uuid", "gen_random_uuid", "uuidv4", "uuidv7", "setseed"}
_COUNTERS = {
    "nextval",
    "currval",
    "setval",
    "txid_current",
    "current_connection_id",
    "current_query_id",
    "current_transaction_id",
}

_BY_POSITION = {"row_number", "ntile", "lag", "lead", "first_value", "last_value", "nth_value", "first", "last"}
_COUNTS = {TokenType.NUMBER, TokenType.PARAMETER, TokenType.L_PAREN}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Args:
        token: Where it is.
        what: What is wrong.
        hint: What to write instead.
    """

    token: Token
    what: str
    hint: str


@dataclass(slots=True)
class _Scope:
    """What is between two parentheses, or the whole statement.

    Args:
        begin: The parenthesis's place among the tokens.
        name: The function whose arguments it is, if any.
        window: The function whose window it is, if its answer goes by the order of rows.
        is_ordered: Whether there is an ``order by``.
        commas: How many.
        some: The clause that takes some rows and leaves others, if any.
    """

    begin: int = 0
    name: Token | None = None
    window: Token | None = None
    is_ordered: bool = False
    commas: int = 0
    some: Token | None = None


def faults(tokens: Sequence[Token]) -> Iterator[Fault]:
    """Find clocks, chance, and whatever goes by an order of rows that is not given.

    Args:
        tokens: The select, as sqlglot reads it.
    """
    scopes, opened = [_Scope()], dict[int, int]()  # by its closing parenthesis, the place of each opening one
    for index, token in enumerate(tokens):
        before = tokens[index - 1] if index else None
        after = tokens[index + 1] if index + 1 < len(tokens) else None
        match token.token_type:
            case TokenType.L_PAREN:
                scopes.append(_Scope(index, before, _windowed(tokens, index, opened)))
            case TokenType.R_PAREN if len(scopes) > 1:
                scope = scopes.pop()
                opened[index] = scope.begin
                yield from _of_scope(scope)
            case TokenType.SEMICOLON:
                yield from _of_scope(scopes[-1])
                scopes[-1] = _Scope()
            case TokenType.ORDER_BY:
                scopes[-1].is_ordered = True
            case TokenType.COMMA:
                scopes[-1].commas += 1
            case TokenType.LIMIT | TokenType.FETCH:
                scopes[-1].some = scopes[-1].some or token
            case TokenType.OFFSET if after is not None and after.token_type in _COUNTS:
                scopes[-1].some = scopes[-1].some or token
            case TokenType.DISTINCT if after is not None and after.token_type == TokenType.ON:
                scopes[-1].some = scopes[-1].some or token
            case _:
                yield from _of_word(token, before, after)
    for scope in reversed(scopes):
        yield from _of_scope(scope)


def _windowed(tokens: Sequence[Token], index: int, opened: dict[int, int]) -> Token | None:
    """The function whose window opens at a parenthesis, where its answer goes by the order of rows."""
    if index < 2 or tokens[index - 1].token_type != TokenType.OVER:
        return None
    begin = opened.get(index - 2)
    if begin and tokens[begin - 1].token_type == TokenType.FILTER:  # f(…) filter (…) over (…)
        begin = opened.get(begin - 2)
    return tokens[begin - 1] if begin and tokens[begin - 1].text.lower() in _BY_POSITION else None


def _of_scope(scope: _Scope) -> Iterator[Fault]:
    if scope.some is not None and not scope.is_ordered:
        clause = "distinct on" if scope.some.token_type == TokenType.DISTINCT else scope.some.text.lower()
        yield Fault(scope.some, f"{_a(clause)} without an order is not reproducible", "add an order by")
    if scope.window is not None and not scope.is_ordered:
        what = f"{scope.window.text.lower()}() over rows without an order is not reproducible"
        yield Fault(scope.window, what, "add an order by to its window")
    if scope.name is not None and scope.name.text.lower() == "age" and not scope.commas:
        yield Fault(scope.name, "age() of one time is counted from today", "write age(as_of(), …)")


def _of_word(token: Token, before: Token | None, after: Token | None) -> Iterator[Fault]:
    word = token.text.lower()
    is_sampled = before is not None and before.token_type == TokenType.USING and word == "sample"
    if token.token_type == TokenType.TABLE_SAMPLE or is_sampled:
        yield Fault(token, "a sample is not reproducible", "filter on sha256(user_id)")
    is_member = before is not None and before.token_type == TokenType.DOT
    if token.token_type in (TokenType.STRING, TokenType.IDENTIFIER) or is_member:
        return
    is_called = after is not None and after.token_type == TokenType.L_PAREN
    if word in _CLOCKS and (is_called or word.startswith(("current_", "local"))):
        yield Fault(token, f"{word} is not reproducible", "write as_of() instead")
    elif word in _CHANCE and is_called:
        instead = "write sha256(user_id) instead, which gives everybody the same share each time"
        yield Fault(token, f"{word}() is not reproducible", instead)
    elif word in _COUNTERS and is_called:
        yield Fault(token, f"{word}() is not reproducible", "leave it out")


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
