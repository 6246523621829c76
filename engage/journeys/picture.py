"""A journey as a picture in text: Mermaid, which README files and pull requests show."""

from __future__ import annotations

from collections.abc import Mapping

from engage.journeys.graph import ENTRY, Branch, ChannelChoice, Exit, Journey, Message, Split, Wait

__all__ = ["mermaid"]


def mermaid(journey: Journey, counts: Mapping[str, int] | None = None) -> str:
    """A journey as a Mermaid flowchart.

    Args:
        journey: Which.
        counts: A number to show at each node.
    """
    lines = ["flowchart TD", f'    {ENTRY}(["{_text(journey.entry.kind)} entry{_count(ENTRY, counts)}"])']
    for node in journey.nodes.values():
        match node.does:
            case Message(values=_) as message:
                about, shape = message.channel, '["{}"]'
            case Wait(length=length, until=until, event=event):
                about = f"until {until:%H:%M}" if until else f"{event or ''} {length}".strip()
                shape = '("{}")'
            case Branch() | Split() | ChannelChoice():
                about, shape = node.kind, '{{"{}"}}'
            case Exit():
                about, shape = "", '(["{}"])'
            case _:
                about, shape = node.kind, '["{}"]'
        label = _text(f"{node.title or node.id}{': ' if about else ''}{about}") + _count(node.id, counts)
        lines.append(f"    {_id(node.id)}{shape.format(label)}")
    for source, port, to in journey.edges():
        told = "" if port == "next" else f'|"{_text(port)}"|'
        lines.append(f"    {_id(source)} -->{told} {_id(to)}")
    return "\n".join(lines) + "\n"


def _id(name: str) -> str:
    return name if name == ENTRY else f"n_{name}"


def _text(text: str) -> str:
    return text.replace('"', "'").replace("<", "‹").replace(">", "›")


def _count(node: str, counts: Mapping[str, int] | None) -> str:
    return f"<br/>{counts.get(node, 0):,}" if counts is not None else ""
