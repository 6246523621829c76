"""What is wrong with a journey before anybody enters it: each fault names the node."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from engage.analysis.events import Binder, select_events
from engage.analysis.segments import find_segment
from engage.campaigns.preview import renderers
from engage.channels.registry import provider
from engage.errors import ConfigurationError, EngageError
from engage.journeys.facts import case_selector
from engage.journeys.graph import ENTRY, Branch, ChannelChoice, Exit, Journey, Message, Split, Update, Wait
from engage.journeys.messages import message_campaign
from engage.query.engine import Engine

__all__ = ["Fault", "check_journey"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one node.

    Args:
        node: The node's name; ``entry`` for the entry.
        what: What is wrong, in one line.
    """

    node: str
    what: str


def check_journey(engine: Engine, journey: Journey) -> list[Fault]:
    """Every fault of a journey: ways that lead nowhere, nodes nobody reaches, loops without a wait, cases that can
    never be true, missing content, channels that are not set up, segments that are not there.

    Returns:
        The faults in the order of the file; none when it may be launched.
    """
    return [*_graph(journey), *_branches(engine, journey), *_messages(engine, journey)]


def _graph(journey: Journey) -> list[Fault]:
    faults = []
    targets: dict[str, list[str]] = {ENTRY: [journey.entry.to]}
    for node in journey.nodes.values():
        targets[node.id] = [node.to[port] for port in node.ports if port in node.to]
        faults += [Fault(node.id, f"the way {port!r} leads nowhere") for port in node.ports if port not in node.to]
    for name, to in targets.items():
        faults += [Fault(name, f"leads to {other!r}, which is not there") for other in to if other not in journey.nodes]
    seen, waiting = {ENTRY}, [ENTRY]
    while waiting:
        for other in targets.get(waiting.pop(), []):
            if other not in seen:
                seen.add(other)
                waiting.append(other)
    faults += [Fault(name, "nobody reaches it") for name in journey.nodes if name not in seen]
    instant = {name for name, node in journey.nodes.items() if not isinstance(node.does, (Wait, Exit))}
    # A wait until a time of day may be over at once.
    instant |= {n for n, node in journey.nodes.items() if isinstance(node.does, Wait) and node.does.until is not None}
    for name in journey.nodes:
        if name in instant and name in _after(name, targets, instant):
            faults.append(Fault(name, "is in a loop without a wait that takes time"))
    return faults


def _after(name: str, targets: dict[str, list[str]], through: set[str]) -> set[str]:
    """What is reached from a node by way of nodes that take no time."""
    found: set[str] = set()
    waiting = [other for other in targets[name] if other in through]
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting += [one for one in targets.get(other, []) if one in through]
    return found


def _branches(engine: Engine, journey: Journey) -> list[Fault]:
    faults = []
    written = {key for n in journey.nodes.values() if isinstance(n.does, Update) for key in n.does.values}
    if both := sorted(written & set(journey.entry.where)):
        faults.append(Fault(ENTRY, f"asks for {both[0]!r}, which the journey itself writes"))
    segments = [(ENTRY, journey.entry.segment)] if journey.entry.segment else []
    selectors = [(ENTRY, journey.entry.event)] if journey.entry.kind == "event" else []
    for node in journey.nodes.values():
        match node.does:
            case Branch(cases=cases):
                for number, case in enumerate(cases):
                    if any(_same(case, other) for other in cases[:number]):
                        faults.append(Fault(node.id, f"the way {case.port!r} is never taken: asked before"))
                    if case.message and case.message not in journey.messages:
                        faults.append(Fault(node.id, f"asks for message {case.message!r}, which is not there"))
                    if case.segment:
                        segments.append((node.id, case.segment))
                    if case.kind == "event":
                        selectors.append((node.id, case_selector(case)))
            case Wait(event=event) if event is not None:
                selectors.append((node.id, event))
            case Split(weights=weights):
                faults += [Fault(node.id, f"the way {port!r} has no weight") for port, w in weights.items() if not w]
    for name, segment in segments:
        try:
            find_segment(engine, str(segment))
        except EngageError as error:
            faults.append(Fault(name, str(error)))
    for name, selector in selectors:
        try:
            select_events(selector, Binder())
        except EngageError as error:
            faults.append(Fault(name, str(error)))
    return faults


def _same(case: object, other: object) -> bool:
    parts = ("kind", "event", "where", "within", "at_least", "message", "did", "segment")
    return all(getattr(case, part) == getattr(other, part) for part in parts)


def _messages(engine: Engine, journey: Journey) -> list[Fault]:
    faults = []
    settings = engine.settings
    never = datetime(1970, 1, 1, tzinfo=UTC)
    for node in journey.nodes.values():
        if isinstance(node.does, Message):
            try:
                campaign = message_campaign(settings, journey, node, (never, never))
                for way in campaign.ways:
                    renderers(way.channel, {variant.name: dict(variant.content) for variant in way.variants})
                    options = dict(settings.channel(way.channel))
                    if way.provider:
                        options["provider"] = way.provider
                    provider(way.channel, options, outbox=settings.outbox)
            except (EngageError, ConfigurationError) as error:
                faults.append(Fault(node.id, str(error)))
        elif isinstance(node.does, ChannelChoice) and len(set(node.does.channels)) < len(node.does.channels):
            faults.append(Fault(node.id, "names a channel twice"))
    return faults
