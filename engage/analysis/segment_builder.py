"""A condition as one select of user_id that an analyst can read, edit and keep: the SQL is the truth from then on.

Each thing asked of a person becomes a step of its own (a ``with`` clause), and the last select says how the steps
belong together. No value is ever pasted: conditions are written with ``$name`` places, parsed, and the values put
into the syntax tree as literals.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from engage.analysis.events import Binder, operators_of, property_condition, select_events
from engage.analysis.segment_conditions import Condition, Did, InSegment, Instant, Profile, Sent
from engage.analysis.segment_tree import Group, Leaf, candidates, leaves, normal_form, times
from engage.analysis.sql_text import clause, conjuncts, indented, literal, lower_case, slug
from engage.errors import QueryError
from engage.windows import parse_window

__all__ = ["segment_sql"]

_AGO = re.compile(r"\s*(\d{1,6})\s*(minute|hour|day|week|month|year)s?\s+ago\s*", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_EVERYONE = "everyone as (\n    select user_id from events\n    union\n    select user_id from profiles\n)"
_REPLIES = {
    "delivered": "Notification Delivered",
    "viewed": "Notification Viewed",
    "clicked": "Notification Clicked",
    "failed": "Notification Failed",
}


def segment_sql(condition: Condition, timezone: str = "UTC") -> str:
    """Write the SQL of a segment.

    Args:
        condition: Who is meant.
        timezone: IANA name; dates and times without a zone are taken in it.

    Returns:
        One select of ``user_id``, one row a user, without a header. It is reproducible: relative windows end at
        ``as_of()``.

    Raises:
        QueryError: A part of the condition cannot be answered; it tells which and what to write instead.
    """
    writer = _Writer(ZoneInfo(timezone))
    tree = normal_form(condition)
    if isinstance(tree, Leaf) and tree.wanted and not isinstance(tree.condition, InSegment):
        relation = writer.relation(tree)
        body = writer.steps.pop(relation)
        return writer.script(body)
    parts = tree.parts if isinstance(tree, Group) and tree.word == "and" else (tree,)
    exact = next((part for part in parts if isinstance(part, Leaf) and part.wanted), None)
    covers = None if exact else candidates(tree)
    for leaf in leaves(tree):
        writer.relation(leaf)
    if exact:
        source, rest = writer.relation(exact), [part for part in parts if part is not exact]
    elif covers is not None:
        names = list(dict.fromkeys(writer.relation(leaf) for leaf in covers))
        source, rest = "candidates", list(parts)
        writer.steps[source] = "\nunion\n".join(f"select user_id from {name}" for name in names)
    else:
        source, rest = "everyone", list(parts)
    last = f"select user_id\nfrom {source}"
    if covers is not None and isinstance(tree, Group) and all(isinstance(part, Leaf) for part in tree.parts):
        rest = [] if tree.word == "or" else rest  # the union is the answer
    if rest:
        last += "\nwhere " + "\n    and ".join(writer.predicate(part, "    ") for part in rest)
    return writer.script(last, everyone=source == "everyone")


@dataclass(slots=True)
class _Writer:
    """Writes steps, each once, under a readable name."""

    zone: ZoneInfo
    steps: dict[str, str] = field(default_factory=dict)

    def script(self, last: str, *, everyone: bool = False) -> str:
        clauses = [f"{name} as (\n    {indented(body)}\n)" for name, body in self.steps.items()]
        if everyone:
            clauses.append(_EVERYONE)
        return ("with " + ",\n\n".join(clauses) + "\n\n" if clauses else "") + last + "\n"

    def predicate(self, part: Leaf | Group, pad: str) -> str:
        if isinstance(part, Leaf):
            return f"user_id {'' if part.wanted else 'not '}in (select user_id from {self.relation(part)})"
        inner = f"{pad}    "
        lines = f"\n{inner}{part.word} ".join(self.predicate(each, inner) for each in part.parts)
        return f"(\n{inner}{lines}\n{pad})"

    def relation(self, leaf: Leaf) -> str:
        """The name of the step (or segment) that lists a leaf's people, written if it is not there yet."""
        condition = leaf.condition
        if isinstance(condition, InSegment):
            if not _NAME.fullmatch(condition.name):
                raise QueryError(f"{condition.name[:40]!r} is not a segment's name", hint="use letters, digits and _")
            return f"segments.{condition.name}" if condition.name.islower() else f'segments."{condition.name}"'
        if isinstance(condition, Did):
            kind = {"any": "did", "first": "first", "latest": "latest"}[condition.occurrence]
            return self._add(f"{kind}_{slug(condition.event or 'anything')}", self._did(condition))
        if isinstance(condition, Profile):
            return self._add(f"profile_{slug('_'.join(condition.where))}", self._profile(condition))
        of = next((value for value in (condition.label, condition.campaign, condition.channel) if value), "anything")
        name = slug(of if isinstance(of, str) else "_".join(of))
        messages = self._sent(condition)
        if condition.reaction is None:
            return self._add(f"sent_{name}", f"select distinct user_id\n{messages}")
        columns = "select user_id, event_time, coalesce(message_id, campaign_id) as message_id"
        sent = self._add(f"messages_{name}", f"{columns}\n{messages}")
        return self._add(f"{condition.reaction}_{name}", self._reaction(condition, sent))

    def _add(self, name: str, body: str) -> str:
        for there, other in self.steps.items():
            if other == body:
                return there
        number = 1
        while (found := name if number == 1 else f"{name}_{number}") in self.steps:
            number += 1
        self.steps[found] = body
        return found

    def _did(self, did: Did) -> str:
        binder = Binder()
        lowest, highest = times(did)
        events = select_events({"event": did.event, "where": did.where}, binder)
        where = conjuncts(events.condition, binder)
        limits = []
        time = {"any": "event_time", "first": "min(event_time)", "latest": "max(event_time)"}[did.occurrence]
        window = self._window(time, did.since, did.before)
        if did.occurrence == "any":
            where += window
        else:
            limits += window
        if lowest == highest:
            limits.append(f"count(*) = {lowest}")
        else:
            limits += [f"count(*) >= {lowest}"] if lowest > 1 else []
            limits += [f"count(*) <= {highest}"] if highest >= 0 else []
        if not limits:
            return f"select distinct user_id\nfrom {events.relation}{clause('where', where)}"
        grouped = f"\ngroup by user_id{clause('having', limits)}"
        return f"select user_id\nfrom {events.relation}{clause('where', where)}{grouped}"

    def _profile(self, profile: Profile) -> str:
        if not profile.where:
            raise QueryError("a profile condition names no property", hint='write Profile({"country": "DE"})')
        binder = Binder()
        where = [
            text
            for name, wanted in profile.where.items()
            for text in conjuncts(property_condition(name, wanted, binder), binder)
        ]
        held = f"select user_id\nfrom profiles{clause('where', where)}"
        if not all(_holds_of_unset(wanted) for wanted in profile.where.values()):
            return held
        # People without a profile have none of these set, which is what is asked for.
        return f"select user_id\nfrom events\nexcept\nselect user_id\nfrom profiles\nunion\n{held}"

    def _sent(self, sent: Sent) -> str:
        binder = Binder()
        where = [f"event_name = {binder.bind('Notification Sent')}"]
        if sent.label is not None:
            labels = _several(sent.label, "label")
            one_of = " or ".join(f"list_contains(labels, {binder.bind(label)})" for label in labels)
            where.append(f"({one_of})" if len(labels) > 1 else one_of)
        for column, value in (("campaign_id", sent.campaign), ("channel", sent.channel)):
            if value is not None:
                places = ", ".join(binder.bind(one) for one in _several(value, column))
                where.append(f"{column} in ({places})" if "," in places else f"{column} = {places}")
        conditions = [text for each in where for text in conjuncts(each, binder)]
        conditions += self._window("event_time", sent.since, sent.before)
        return f"from notifications{clause('where', conditions)}"

    def _reaction(self, sent: Sent, messages: str) -> str:
        start = f"select distinct message.user_id\nfrom {messages} as message\njoin "
        if sent.reaction == "converted":
            binder = Binder()
            seconds = int(parse_window(sent.within).total_seconds())
            goal = select_events({"event": sent.goal, "where": sent.goal_where}, binder)
            conditions = conjuncts(goal.condition, binder)
            goals = f"(\n    select user_id, event_time\n    from {goal.relation}"
            goals += indented(clause("where", conditions)) + "\n) as goal"
            length = f"interval '{seconds // 3600}' hour" if seconds % 3600 == 0 else f"interval '{seconds}' second"
            on = ("goal.user_id = message.user_id", "goal.event_time >= message.event_time",
                  f"goal.event_time < message.event_time + {length}")  # fmt: skip
            return f"{start}{goals}{clause('    on', on)}"
        if sent.reaction not in _REPLIES:
            raise QueryError(f"there is no reaction {sent.reaction!r}", hint=f"use {', '.join(_REPLIES)} or converted")
        same = ("reply.user_id = message.user_id", "coalesce(reply.message_id, reply.campaign_id) = message.message_id")
        where = [f"reply.event_name = '{_REPLIES[sent.reaction]}'"]
        return f"{start}notifications as reply{clause('    on', same)}{clause('where', where)}"

    def _window(self, time: str, since: Instant, before: Instant) -> list[str]:
        pairs = ((">=", since), ("<", before))
        return [f"{time} {sign} {self._instant(instant)}" for sign, instant in pairs if instant is not None]

    def _instant(self, instant: Instant) -> str:
        if isinstance(instant, str):
            if ago := _AGO.fullmatch(instant):
                return f"as_of() - interval '{int(ago[1])}' {ago[2].lower()}"
            try:
                instant = datetime.fromisoformat(instant.strip())
            except ValueError:
                hint = 'write "30 days ago", 2026-03-01 or 2026-03-01T09:30+01:00'
                raise QueryError(f"{str(instant)[:40]!r} is not a time", hint=hint) from None
        if isinstance(instant, date) and not isinstance(instant, datetime):
            instant = datetime.combine(instant, time())
        if not isinstance(instant, datetime):
            raise QueryError(f"a {type(instant).__name__} is not a time", hint="write a date or a time")
        return lower_case(literal(instant if instant.tzinfo else instant.replace(tzinfo=self.zone)))


def _holds_of_unset(wanted: object) -> bool:
    """Whether a condition on a property holds of someone who has not got it."""
    return all(_operator_holds_of_unset(operator, value) for operator, value in operators_of(wanted))


def _operator_holds_of_unset(operator: str, value: object) -> bool:
    if operator in ("is_set", "is_not_set"):
        return (operator == "is_not_set") == (value is None or bool(value))
    if operator == "eq":
        return value is None
    if operator == "ne":
        return value is not None
    return operator in ("not_in", "not_contains")


def _several(value: str | Sequence[str], what: str) -> list[str]:
    values = [value] if isinstance(value, str) else list(value)
    if not values or not all(isinstance(each, str) for each in values):
        raise QueryError(f"{what} is neither a text nor a list of them", hint="leave it out for any")
    return values
