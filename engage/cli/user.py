"""People who sign in to the server, and the audit log."""

from __future__ import annotations

import sys

import click
import polars as pl

from engage.access.roles import Role, read_role
from engage.cli.options import opened
from engage.cli.output import format_option, say, show
from engage.workspace import Workspace

__all__ = ["audit", "user"]

_role = click.option(
    "--role", type=click.Choice([role.value for role in Role]), required=True, help="What they may do."
)


@click.group()
def user() -> None:
    """People who sign in to the server."""


@user.command("list")
@format_option
@click.pass_context
def list_(context: click.Context, format_: str) -> None:
    """Who may sign in, and what they may do."""
    rows = [
        {
            "email": one.email,
            "name": one.name,
            "role": one.role.value,
            "signs_in_with": one.signs_in or "nothing yet",
            "created_at": one.created_at,
        }
        for one in opened(context).accounts()
    ]
    if rows or format_ != "table":
        show(pl.DataFrame(rows), format_)
    else:
        say("nobody yet: `engage up` prints a link for the first admin, or `engage user add EMAIL --role admin`")


@user.command()
@click.argument("email")
@_role
@click.option("--name", default="", help="What others see.")
@click.pass_context
def add(context: click.Context, email: str, role: str, name: str) -> None:
    """Make an account; prints a link, good for a day, with which they set a password."""
    workspace = opened(context)
    _tell(workspace, workspace.add_account(email, role=read_role(role), name=name))


@user.command()
@click.argument("email")
@_role
@click.pass_context
def role(context: click.Context, email: str, role: str) -> None:
    """Let a person do more or less, from now on."""
    changed = opened(context).set_role(email, role=read_role(role))
    say(f"{changed.email} is {changed.role} now")


@user.command()
@click.argument("email")
@click.pass_context
def remove(context: click.Context, email: str) -> None:
    """Take a person's account away and sign them out everywhere."""
    say(f"{opened(context).remove_account(email).email} is gone")


@user.command()
@click.argument("email")
@click.pass_context
def link(context: click.Context, email: str) -> None:
    """Print a new link for somebody who forgot their password."""
    workspace = opened(context)
    _tell(workspace, workspace.account_link(email))


def _tell(workspace: Workspace, path: str) -> None:
    address = workspace.settings.public_url or "http://127.0.0.1:8000"
    say(f"{address}{path}")
    say("Hand it to them alone: whoever opens it sets the password. It is good for a day, once.")


@click.command()
@click.option(
    "--sql", "query", default="select * from audit order by done_at desc limit 100", help="A select over audit."
)
@click.option("--verify", is_flag=True, help="Tell where the log is not as it was written.")
@format_option
@click.pass_context
def audit(context: click.Context, query: str, verify: bool, format_: str) -> None:
    """Who did what, the latest first."""
    workspace = opened(context)
    if not verify:
        show(workspace.audit(query), format_)
        return
    faults = workspace.check_audit()
    for fault in faults:
        say(fault)
    if faults:
        sys.exit(1)
    say("every line is as it was written")
