"""Messages of a campaign as they would be sent, to be looked at."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pyarrow.parquet as pq

from engage.campaigns.campaign import Campaign
from engage.campaigns.planning import Plan, enricher
from engage.campaigns.tracking import public_url
from engage.content.localised import make_renderer
from engage.errors import ContentError, PlanError
from engage.query.engine import Engine

__all__ = ["preview_for", "renderers", "sample_messages"]


def renderers(channel: str, content: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Compile each variant's content.

    Raises:
        ContentError: A field, template or variable is wrong.
    """
    return {variant: make_renderer(channel, fields) for variant, fields in content.items()}


def sample_messages(planned: Plan, count: int = 10) -> list[dict[str, Any]]:
    """The first messages of a plan, rendered.

    Args:
        planned: The plan.
        count: How many, of each channel.

    Returns:
        `user_id`, `address`, `variant` and the rendered fields, or an `error`; one dict a person. Where there is more
        than one channel, `channel` too.
    """
    compiled = renderers(planned.run.channel, {name: dict(fields) for name, fields in planned.run.content.items()})
    where = {"channel": planned.run.channel} if planned.others or "fallback_of" in planned.run.options else {}
    with pq.ParquetFile(planned.path) as file:
        rows = next(file.iter_batches(max(count, 1)), None)
    links = _preview_links(planned.run.options.get("tracking", {}).get("url", ""))
    shown: list[dict[str, Any]] = []
    for row in rows.to_pylist() if rows is not None else []:
        if row["planned"] != "send" or len(shown) == count:
            break
        base = {**where, "user_id": row["user_id"], "address": row["address"], "variant": row["variant"]}
        try:
            context = json.loads(row["context"]) | {"message_id": row["message_id"]} | links
            shown.append(base | compiled[row["variant"] or ""].render(context))
        except ContentError as error:
            shown.append(base | {"error": str(error)})
    for other in planned.others:
        shown += sample_messages(other, count)
    return shown


def preview_for(
    engine: Engine, campaign: Campaign, user_id: str, *, as_of: datetime | None = None
) -> list[dict[str, Any]]:
    """A campaign's message for one real person, in every variant, whether or not they are in its audience.

    Args:
        engine: What answers.
        campaign: The campaign.
        user_id: The person.
        as_of: As of then.

    Returns:
        `user_id`, `address`, `variant` and the rendered fields, or an `error`; one dict a variant.

    Raises:
        PlanError: Nothing is known of the person.
    """
    profile = engine.frame(
        "select properties, email, phone from profiles where user_id = $user", {"user": user_id}, as_of=as_of
    )
    if profile.is_empty():
        raise PlanError(f"nothing is known of user {user_id!r}", where=campaign.campaign_id, hint="see profiles")
    properties, email, phone = profile.row(0)
    context: dict[str, Any] = {"user_id": user_id, "profile": json.loads(properties or "{}"), "message_id": "preview"}
    context |= _preview_links(public_url(engine.settings))
    if campaign.context_sql:
        body = campaign.context_sql.rstrip().rstrip(";")
        query = f"select to_json(detail)::varchar as data from (\n{body}\n) as detail where user_id::varchar = $user"
        rows = engine.frame(query, {"user": user_id}, as_of=as_of)
        context["data"] = json.loads(rows.item(0, 0)) if rows.height else {}
    if campaign.schedule.event is not None:
        context["event"] = {}
    if enrich := enricher(engine.settings, campaign):
        enrich([context])
    base = {"user_id": user_id, "address": {"email": email, "sms": phone}.get(campaign.channel, user_id)}
    shown: list[dict[str, Any]] = []
    for variant, renderer in renderers(campaign.channel, {v.name: dict(v.content) for v in campaign.variants}).items():
        try:
            shown.append(base | {"variant": variant} | renderer.render(context))
        except ContentError as error:
            shown.append(base | {"variant": variant, "error": str(error)})
    return shown


def _preview_links(url: str) -> dict[str, str]:
    """Addresses that look like those of a sent message, and do nothing."""
    return {"unsubscribe_url": f"{url}/u/preview", "preferences_url": f"{url}/p/preview"} if url else {}
