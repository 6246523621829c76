"""People: find them, show one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from engage.cli.options import as_of_option, opened, parsed_params
from engage.cli.output import format_option, say, show

__all__ = ["erase", "people"]

_KINDS = click.Choice(["event", "message", "profile", "device"])


@click.group()
def people() -> None:
    """People one by one."""


@people.command()
@click.argument("text", required=False)
@click.option("--property", "-p", "properties", multiple=True, metavar="NAME=VALUE", help="A profile property.")
@click.option("--event", help="An event they did.")
@click.option("--segment", help="A segment they are in.")
@click.option("--label", "labels", multiple=True, help="A label of a message they were sent; repeatable: any of them.")
@click.option("--channel", help="The channel it was sent on.")
@click.option("--most", default=50, show_default=True, help="How many to show.")
@as_of_option
@format_option
@click.pass_context
def find(
    context: click.Context,
    text: str | None,
    properties: tuple[str, ...],
    event: str | None,
    segment: str | None,
    labels: tuple[str, ...],
    channel: str | None,
    most: int,
    as_of: str | None,
    format_: str,
) -> None:
    """Find people by TEXT: the beginning of an id, part of an address or name, or a whole token."""
    question: Mapping[str, Any] = {
        "where": parsed_params(properties), "event": event, "segment": segment, "label": labels or None,
        "channel": channel, "most": most,
    }  # fmt: skip
    show(opened(context).find_people(text, as_of=as_of, **question), format_)


@people.command("show")
@click.argument("user_id")
@click.option("--kind", "kinds", multiple=True, type=_KINDS, help="Only these; repeatable.")
@click.option("--most", default=30, show_default=True, help="How many rows.")
@as_of_option
@format_option
@click.pass_context
def show_(
    context: click.Context, user_id: str, kinds: tuple[str, ...], most: int, as_of: str | None, format_: str
) -> None:
    """What is known of USER_ID, and what happened, the latest first."""
    workspace = opened(context)
    history = workspace.timeline(user_id, kinds=kinds, most=most, as_of=as_of)
    if format_ != "table":
        show(history, format_)
        return
    found = workspace.person(user_id, as_of)
    say(f"{user_id}: {found.events:,} events, {found.messages:,} messages")
    if found.profile:
        say(json.dumps(found.profile, ensure_ascii=False))
    if found.anonymous_ids:
        say(f"known before as {', '.join(found.anonymous_ids)}")
    for title, table in (("Devices", found.devices), ("Consents", found.consents), ("Reachable", found.reachable)):
        if table.height:
            show(table, title=title)
    show(history, title="Timeline", rows=most)


@click.command()
@click.argument("user_id")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.pass_context
def erase(context: click.Context, user_id: str, yes: bool) -> None:
    """Take USER_ID out of the lake for good (right to erasure)."""
    workspace = opened(context)
    if not yes:
        click.confirm("this cannot be undone; go on?", abort=True, err=True)
    done = workspace.erase_user(user_id)
    rows = ", ".join(f"{n:,} {name}" for name, n in done.rows.items()) or "no rows"
    say(f"erased {rows}; {done.files:,} files written anew, {len(done.runs):,} recipients files among them")
