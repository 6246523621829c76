"""The command line: parse, call one method of Workspace, show."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from engage import __version__
from engage.cli.analysis import lift, retention
from engage.cli.audience import audience
from engage.cli.behaviour import active, funnel, paths, rfm, stickiness, trends, uninstalls
from engage.cli.campaign import campaign, label
from engage.cli.channel import channel
from engage.cli.data import check, import_, init, sample, sql, upgrade
from engage.cli.delivery import delivery
from engage.cli.demo import demo, notebooks
from engage.cli.diff import diff
from engage.cli.journey import journey
from engage.cli.people import erase, people
from engage.cli.playbook import playbook
from engage.cli.report import report
from engage.cli.segment import segment
from engage.cli.serve import serve, up
from engage.cli.suppression import suppression
from engage.cli.token import token
from engage.cli.user import audit, user
from engage.cli.worker import worker
from engage.errors import ConfigurationError, EngageError

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option(
    "--workspace",
    "-w",
    type=click.Path(path_type=Path),
    default=Path(),
    envvar="ENGAGE_WORKSPACE",
    help="The workspace, or a folder in it.  [default: here]",
)
@click.pass_context
def cli(context: click.Context, workspace: Path) -> None:
    """Engagement campaigns without a vendor."""
    context.obj = workspace


for command in (
    init,
    upgrade,
    import_,
    sample,
    sql,
    check,
    diff,
    segment,
    people,
    erase,
    label,
    campaign,
    channel,
    journey,
    playbook,
    audience,
    delivery,
    worker,
    suppression,
    token,
    retention,
    funnel,
    trends,
    active,
    stickiness,
    paths,
    rfm,
    uninstalls,
    lift,
    report,
    demo,
    notebooks,
    serve,
    up,
    user,
    audit,
):
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run a command; an error is one line on stderr and exit code 2."""
    try:
        cli.main(args=arguments, prog_name="engage", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (EngageError, ConfigurationError) as error:
        click.echo(f"engage: {error}", err=True)
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
