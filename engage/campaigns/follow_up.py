"""Another channel for those whom a run's own turned out not to reach: dead tokens, addresses that are none."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from engage.campaigns.campaign import Campaign, Variant
from engage.campaigns.planning import enricher, frozen_run, to_recipients, unreached
from engage.campaigns.schedule import Occurrence
from engage.campaigns.statement import UNREACHED, statement
from engage.lake.runs import Run, read_run, run_folder, write_run
from engage.lake.storage import write_atomically
from engage.query.engine import Engine
from engage.query.files import literal
from engage.settings import Settings

__all__ = ["NOT_REACHED", "is_followed_up", "mark_followed_up", "plan_failed"]

NOT_REACHED = ("unregistered", "invalid_address", *UNREACHED)
"""Reasons of failed messages after which another channel is tried: nothing of the message can have arrived."""

_FOLLOWED = "followed_up"


def is_followed_up(settings: Settings, run_id: str) -> bool:
    """Whether another channel was tried for those a run did not reach."""
    return (run_folder(settings, run_id) / _FOLLOWED).exists()


def mark_followed_up(settings: Settings, run_id: str) -> None:
    """Note that there is nothing left to try for a run."""
    write_atomically(run_folder(settings, run_id) / _FOLLOWED, b"")


def plan_failed(engine: Engine, campaign: Campaign, run: Run, *, now: datetime, as_of: datetime | None) -> list[Run]:
    """Plan what a run's people whose message failed for good are sent on other channels, in the order of its fallback.

    Each channel's own consent, suppressions, caps and quiet hours count, as of now; what is sent was frozen with the
    run. Whom no channel reaches stays failed. Messages in doubt are left alone: they may have arrived.

    Args:
        engine: What answers.
        campaign: Whose run.
        run: A run that is over.
        now: The clock.
        as_of: As of when people are looked up; None for the present.

    Returns:
        The new runs, ``<run>-failed-<channel>``. Planning them again gives the same ones.
    """
    settings, runs = engine.settings, []
    failed = (
        f"select message_id from notifications where run_id = {literal(run.run_id)} "
        f"and event_name = 'Notification Failed' and reason in {NOT_REACHED}"
    )
    people = (
        "select user_id, json_extract(context, '$.event')::varchar as event from audiences "
        f"where run_id = {literal(run.run_id)} and planned = 'send' and message_id in ({failed})"
    )
    seen = as_of + timedelta(microseconds=1) if as_of else None
    own = {way.channel: way for way in campaign.fallback}
    with tempfile.TemporaryDirectory(dir=settings.lake, prefix=".plan-") as folder:
        for n, frozen in enumerate(run.options.get("fallback", ())):
            channel = frozen["channel"]
            part = f"{run.run_id}-failed-{channel}"
            way = replace(
                own.get(channel, campaign),
                channel=channel,
                provider=frozen["provider"],
                variants=(Variant("", 1.0, frozen["content"]),),
                winner=None,
                fallback=(),
            )
            query, params = statement(engine, way, part, Occurrence(part, now), now, people=people)
            found, final = Path(folder) / f"found{n}.parquet", Path(folder) / f"recipients{n}.parquet"
            engine.copy(query, params, found, as_of=seen)
            people = unreached(found)
            if (run_folder(settings, part) / "run.json").exists():
                runs.append(read_run(settings, part))
                continue
            to_recipients(found, final, enricher(settings, way), lambda table: pc.equal(table["planned"], "send"))
            if pq.read_metadata(final).num_rows:
                options = {"fallback_of": run.run_id, "retry_of": run.run_id}
                runs.append(write_run(settings, frozen_run(settings, way, part, now, now, options), final))
    return runs
