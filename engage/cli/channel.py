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
