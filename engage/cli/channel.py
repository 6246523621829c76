"""Channels: which provider serves each, and whether it works."""

from __future__ import annotations

import click

from engage.cli.options import opened
from engage.cli.output import format_option, say, show
from engage.errors import ChannelError
from engage.vocabulary import OutcomeStatus

__all__ = ["channel"]


@click.group()
def channel() -> None:
    """Channels and their providers."""


@channel.command("list")
@format_option
@click.pass_context
def list_channels(context: click.Context, format_: str) -> None:
    """Every channel with its provider, and what is missing. Nothing is sent."""
    show(opened(context).channels(), format_, title="Channels")


@channel.command("check")
@click.argument("name", required=False)
@format_option
@click.pass_context
def check_channels(context: click.Context, name: str | None, format_: str) -> None:
    """What the providers of channel NAME, or of all that are configured, have and lack; nobody is called.

    Ends with 1 where something is missing. `engage channel test` sends a message.
    """
    found = opened(context).channel_needs(name)
    if found.is_empty():
        say("no channel is configured: messages are written to data/outbox/")
        return
    show(found, format_, title="What providers need")
    if found.filter(found["state"].is_in(["missing", "incomplete", "disabled"])).height:
        context.exit(1)


@channel.command("enable")
@click.argument("url")
@click.pass_context
def enable(context: click.Context, url: str) -> None:
    """Send to the webhook endpoint URL again, which had answered that it is gone."""
    there = opened(context).enable_endpoint(url)
    say(f"{url} is enabled again" if there else f"{url} was not disabled")


@channel.command("test")
@click.argument("name")
@click.argument("address")
@click.option("--text", default="A test message of engage", show_default=True)
@click.pass_context
def test_channel(context: click.Context, name: str, address: str, text: str) -> None:
    """Send one test message through the channel NAME to ADDRESS."""
    outcome = opened(context).test_channel(name, address, text)
    if outcome.status != OutcomeStatus.SENT:
        why = " ".join(str(part) for part in (outcome.reason, outcome.detail) if part)
        raise ChannelError(f"it was not sent: {outcome.status} {why}".strip(), where=name, hint="see docs/channels.md")
    say(f"{name}: sent{f' as {outcome.provider_id}' if outcome.provider_id else ''}")
