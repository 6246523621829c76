"""A segment's condition in its normal form: sets of people to be in or not to be in, joined by and and or."""

from __future__ import annotations

from dataclasses import dataclass

from engage.analysis.segment_conditions import All, Any, Condition, Did, InSegment, Not, Profile, Sent
from engage.errors import QueryError

__all__ = ["Group", "Leaf", "candidates", "leaves", "normal_form", "times"]

_DEEPEST = 50


@dataclass(frozen=True, slots=True)
class Leaf:
    """The people a condition holds of, wanted or not wanted."""

    condition: Did | Profile | Sent | InSegment
    wanted: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Parts joined by one word, ``and`` or ``or``."""

    word: str
    parts: tuple[Leaf | Group, ...]


def normal_form(condition: Condition, wanted: bool = True, depth: int = 0) -> Leaf | Group:
    """Push negation down to the leaves, so that each is a set of people to be in or not to be in.

    Args:
        condition: What is asked of a person.
        wanted: False for its opposite.
        depth: How deep it lies in another.

    Returns:
        A leaf, or a group whose groups have the other word.

    Raises:
        QueryError: It is nested too deep, empty, or no condition.
    """
    if depth > _DEEPEST:
        raise QueryError(f"a condition is nested more than {_DEEPEST} deep", hint="save a part as a segment")
    if isinstance(condition, Not):
        return normal_form(condition.condition, not wanted, depth + 1)
    if isinstance(condition, (All, Any)):
        if not condition.conditions:
            raise QueryError("all and any need a condition at least", hint="add one, or take it out")
        word = "and" if isinstance(condition, All) == wanted else "or"
        parts: list[Leaf | Group] = []
        for each in condition.conditions:
            part = normal_form(each, wanted, depth + 1)
            parts += part.parts if isinstance(part, Group) and part.word == word else (part,)
        return parts[0] if len(parts) == 1 else Group(word, tuple(parts))
    if isinstance(condition, Did):
        lowest, highest = times(condition)
        if lowest == 0:  # at most n times is the opposite of n + 1 times at least
            more = Did(condition.event, condition.where, highest + 1, None, None, condition.since, condition.before)
            return Leaf(more, not wanted)
        return Leaf(condition, wanted)
    if isinstance(condition, Sent) and condition.reaction and not condition.reacted:
        message = (condition.label, condition.campaign, condition.channel, condition.since, condition.before)
        goal = (condition.goal, condition.goal_where, condition.within)
        ignored = All(Sent(*message), Not(Sent(*message, condition.reaction, True, *goal)))
        return normal_form(ignored, wanted, depth + 1)
    if isinstance(condition, (Profile, Sent, InSegment)):
        return Leaf(condition, wanted)
    raise QueryError(f"a {type(condition).__name__} is not a condition", hint="use Did, Profile, Sent, InSegment, …")


def times(did: Did) -> tuple[int, int]:
    """The least and the greatest number of times; -1 for no limit."""
    given = {"at_least": did.at_least, "at_most": did.at_most, "exactly": did.exactly}
    for name, number in given.items():
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 0):
            raise QueryError(f"{name} is {number!r}", hint="write a whole number from 0")
    if did.exactly is not None:
        if did.at_least is not None or did.at_most is not None:
            raise QueryError("exactly stands alone", hint="leave at_least and at_most out")
        lowest = highest = did.exactly
    else:
        highest = -1 if did.at_most is None else did.at_most
        lowest = did.at_least if did.at_least is not None else 0 if highest >= 0 else 1
    if lowest == 0 and highest == -1:
        raise QueryError("at least 0 times holds of everybody", hint="write 1 or more")
    if 0 <= highest < lowest:
        raise QueryError(f"at least {lowest} and at most {highest} times is nobody")
    if did.occurrence != "any":
        if did.occurrence not in ("first", "latest"):
            raise QueryError(f"there is no occurrence {did.occurrence!r}", hint="use any, first or latest")
        if lowest == 0:
            raise QueryError(f"who never did it has no {did.occurrence} time", hint="use occurrence='any'")
    return lowest, highest


def leaves(tree: Leaf | Group) -> list[Leaf]:
    """List all leaves, in the order they are written."""
    return [tree] if isinstance(tree, Leaf) else [leaf for part in tree.parts for leaf in leaves(part)]


def candidates(tree: Leaf | Group) -> list[Leaf] | None:
    """Sets that together hold everyone the condition can hold of, or None when that may be anybody."""
    if isinstance(tree, Leaf):
        return [tree] if tree.wanted else None
    covers = [candidates(part) for part in tree.parts]
    if tree.word == "and":
        return next((cover for cover in covers if cover is not None), None)
    if any(cover is None for cover in covers):
        return None
    return [leaf for cover in covers if cover for leaf in cover]
