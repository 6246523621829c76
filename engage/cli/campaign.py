"""Labels, campaigns: make, preview, send, see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
import polars as pl

from engage.campaigns.facts import campaign_facts
from engage.cli.options import as_of_option, nested_values, opened
from engage.cli.output import format_option, progress_bar, say, show
from engage.delivery.summary import Progress
from engage.vocabulary import Channel

__all__ = ["campaign", "label"]


@click.group()
def label() -> None:
    """Message labels, put on campaigns and recorded with every message."""


@label.command("create")
@click.argument("name")
@click.option("--description", default="", help="What it is for.")
@click.pass_context
def create_label(context: click.Context, name: str, description: str) -> None:
    """Make label NAME."""
    say(f"made label {opened(context).create_label(name, description).name}")


@label.command("list")
@format_option
@click.pass_context
def list_labels(context: click.Context, format_: str) -> None:
    """Every label."""
    rows = [{"label": item.name, "description": item.description} for item in opened(context).labels()]
    show(pl.DataFrame(rows, schema={"label": pl.String, "description": pl.String}), format_)


@click.group()
def campaign() -> None:
    """Campaigns, each a folder under data/campaigns/."""


@campaign.command("list")
@format_option
@click.pass_context
def list_campaigns(context: click.Context, format_: str) -> None:
    """Every campaign."""
    rows = [
        {
            "campaign": c.campaign_id,
            "title": c.title,
            "channel": c.channel,
            "labels": list(c.labels),
            "status": c.status,
        }
        for c in opened(context).campaigns()
    ]
    show(pl.DataFrame(rows, schema_overrides={"labels": pl.List(pl.String)}), format_)


_set_option = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help='A key of campaign.toml, e.g. content.subject="Hi".'
)
_file_option = click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    help="A template, e.g. email.html.jinja; it is copied into the campaign's folder.",
)


@campaign.command("show")
@click.argument("name")
@format_option
@click.pass_context
def show_campaign(context: click.Context, name: str, format_: str) -> None:
    """What campaign NAME is, and its runs."""
    space = opened(context)
    facts = campaign_facts(space.campaign(name).definition)
    if format_ != "table":
        show(pl.DataFrame({"setting": list(facts), "value": list(facts.values())}), format_)
        return
    wide = max(map(len, facts))
    for fact, value in facts.items():
        say(f"{fact:<{wide}}  {value}")
    for run in space.runs():
        if run.campaign_id != name:
            continue
        counts = ", ".join(f"{outcome.replace('_', ' ')} {n:,}" for outcome, n in run.counts().items())
        say(f"run {run.run_id} {run.state}: {counts or 'nobody to reach'}")


@campaign.command("create")
@click.argument("name")
@click.option("--title", help="What people call it.")
@click.option(
    "--channel", required=True, type=click.Choice([channel.value for channel in Channel]), help="Where its messages go."
)
@click.option("--segment", help="Whom to reach; everyone without it.")
@click.option("--label", "labels", multiple=True, help="A message label.")
@_set_option
@_file_option
@click.pass_context
def create(
    context: click.Context,
    name: str,
    title: str | None,
    channel: str,
    segment: str | None,
    labels: tuple[str, ...],
    settings: tuple[str, ...],
    files: tuple[str, ...],
) -> None:
    """Make campaign NAME, a draft."""
    values: dict[str, Any] = {"title": title or name, "channel": channel, "labels": list(labels)}
    values |= {"segment": segment} if segment else {}
    values = _joined(values, nested_values(settings))
    if not any(key in values for key in ("segment", "sql", "everyone")):
        values["everyone"] = True
    texts = {Path(file).name: Path(file).read_text(encoding="utf-8") for file in files}
    made = opened(context).create_campaign(name, values, texts).definition
    say(f"made {made.folder}: a draft; `engage campaign preview {name}` tells whom it would reach")


@campaign.command("edit")
@click.argument("name")
@_set_option
@click.option("--unset", multiple=True, metavar="KEY", help="A key to take out.")
@_file_option
@click.pass_context
def edit(
    context: click.Context, name: str, settings: tuple[str, ...], unset: tuple[str, ...], files: tuple[str, ...]
) -> None:
    """Change campaign NAME from its next run on; what was planned is sent as planned."""
    values = nested_values(settings)
    for key in unset:
        values = _joined(values, nested_values((key,), gone=True))
    texts = {Path(file).name: Path(file).read_text(encoding="utf-8") for file in files}
    opened(context).edit_campaign(name, values, texts)
    say(f"changed {name}: {', '.join((*values, *texts)) or 'nothing'}")


@campaign.command("copy")
@click.argument("name")
@click.argument("new")
@click.pass_context
def copy(context: click.Context, name: str, new: str) -> None:
    """Make a draft NEW like campaign NAME, with its templates."""
    say(f"made {opened(context).copy_campaign(name, new).definition.folder}: a draft")


def _joined(values: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    inner = {
        key: _joined(values[key], value)
        for key, value in more.items()
        if isinstance(value, Mapping) and isinstance(values.get(key), Mapping)
    }
    return {**values, **more, **inner}


@campaign.command("label")
@click.argument("name")
@click.argument("labels", nargs=-1)
@click.pass_context
def set_labels(context: click.Context, name: str, labels: tuple[str, ...]) -> None:
    """Put LABELS on campaign NAME, in place of those it has."""
    changed = opened(context).set_labels(name, *labels).definition
    say(f"{name} now carries {', '.join(changed.labels) or 'no label'}")


@campaign.command()
@click.argument("name")
@as_of_option
@click.option("--count", default=1, show_default=True, help="How many messages to show.")
@click.option("--user", help="Every variant for this person instead.")
@click.pass_context
def preview(context: click.Context, name: str, as_of: str | None, count: int, user: str | None) -> None:
    """Plan campaign NAME and tell who would be sent what, why others would not, how long it takes and what it costs."""
    opening = opened(context).campaign(name)
    if user is not None:
        _show_messages(opening.preview(as_of, user=user))
        return
    found = opening.dry_run(as_of, samples=count)
    counts, takes = found.plan.counts, found.estimate
    excluded = "".join(f", {n:,} excluded: {reason}" for reason, n in counts.excluded.items())
    by = ", ".join(f"{run.channel} {run.counts.send:,}" for run in found.plan.runs) if found.plan.others else ""
    send = f"{counts.send:,} to send{f' ({by})' if by else ''}"
    say(f"{send}, {counts.held_out:,} held out{excluded}; plan {found.plan.plan_id}")
    if takes.seconds is not None:
        say(f"takes about {takes.seconds:,.0f} s")
    if takes.cost is not None:
        say(f"costs about {takes.cost:,.2f} {takes.currency}")
    if takes.needs_approval:
        say(f"needs approval: engage campaign send {name} --approve {found.plan.plan_id}")
    _show_messages(found.samples)


def _show_messages(messages: Iterable[Mapping[str, Any]]) -> None:
    for message in messages:
        say("")
        for field, value in message.items():
            if field != "html" and value not in (None, ""):
                say(f"{field}: {value}")


@campaign.command("test")
@click.argument("name")
@click.argument("address")
@click.option("--user", required=True, help="Whose details fill the template.")
@click.option("--variant", help="Which variant; the first by default.")
@click.pass_context
def test_send(context: click.Context, name: str, address: str, user: str, variant: str | None) -> None:
    """Send one message of campaign NAME to ADDRESS of your own; nothing is recorded."""
    outcome = opened(context).campaign(name).test_send(address, user=user, variant=variant)
    say(f"{outcome.status}{f': {outcome.reason}' if outcome.reason else ''}")


@campaign.command()
@click.argument("name")
@as_of_option
@click.option("--approve", metavar="PLAN", help="Send exactly this plan; `engage campaign preview` tells its id.")
@click.pass_context
def send(context: click.Context, name: str, as_of: str | None, approve: str | None) -> None:
    """Send campaign NAME; sending again sends nobody anything twice."""
    with progress_bar(f"sending {name}") as advance:

        def told(progress: Progress) -> None:
            advance(progress.line, progress.done, progress.total)

        summary = opened(context).campaign(name).send(as_of, approve=approve, report=told)
    counts = ", ".join(f"{outcome.replace('_', ' ')} {n:,}" for outcome, n in summary.counts().items())
    say(f"{name} {summary.state}: {counts or 'nobody to reach'}")


@campaign.command()
@click.argument("name")
@click.option("--approve", metavar="PLAN", help="The plan's id, where it needs one.")
@click.pass_context
def launch(context: click.Context, name: str, approve: str | None) -> None:
    """Let campaign NAME follow its schedule, or go on after a pause; `engage worker` sends what falls due."""
    changed = opened(context).campaign(name).launch(approve=approve).definition
    say(f"{name} is {changed.status}")


@campaign.command()
@click.argument("name")
@click.pass_context
def pause(context: click.Context, name: str) -> None:
    """Let nothing more of campaign NAME leave until it is launched again."""
    say(f"{name} is {opened(context).campaign(name).pause().definition.status}")


@campaign.command()
@click.argument("name")
@click.pass_context
def stop(context: click.Context, name: str) -> None:
    """End campaign NAME for good."""
    say(f"{name} is {opened(context).campaign(name).stop().definition.status}")


@campaign.command()
@click.pass_context
def tick(context: click.Context) -> None:
    """Plan and send all that is due now, of every launched campaign; for cron, where no worker runs."""
    for done in opened(context).tick_campaigns():
        counts = done.summary.counts() if done.summary else {}
        told = ", ".join(f"{outcome.replace('_', ' ')} {n:,}" for outcome, n in counts.items())
        say(f"{done.run_id or done.campaign_id}: {done.error or told or 'nobody to reach'}")
