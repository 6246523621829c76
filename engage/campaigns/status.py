"""Where a campaign is in its life, kept in its ``campaign.toml``: launched, paused, stopped."""

from __future__ import annotations

from datetime import datetime

import tomlkit

from engage.campaigns.campaign import Campaign
from engage.campaigns.definition import read_campaign
from engage.errors import PlanError
from engage.lake.storage import write_atomically
from engage.settings import Settings
from engage.vocabulary import CampaignStatus

__all__ = ["is_live", "set_status"]

_FROM = {
    CampaignStatus.SCHEDULED: {"draft", "scheduled", "paused", "failed", "running"},
    CampaignStatus.PAUSED: {"scheduled", "running", "paused"},
    CampaignStatus.STOPPED: {"draft", "scheduled", "running", "paused", "failed", "stopped"},
    CampaignStatus.COMPLETED: {"scheduled", "running"},
}


def is_live(campaign: Campaign) -> bool:
    """Whether its schedule is followed: it was launched, and is neither paused nor over."""
    return campaign.launched_at is not None and campaign.status in (CampaignStatus.SCHEDULED, CampaignStatus.RUNNING)


def set_status(
    settings: Settings, name: str, status: CampaignStatus, *, now: datetime | None = None, approved: int | None = None
) -> Campaign:
    """Write a campaign's status; comments and order of the file stay.

    Args:
        settings: The workspace.
        name: The campaign.
        status: The new one.
        now: When it was launched; kept where it was launched before.
        approved: The largest run that was approved.

    Raises:
        PlanError: It cannot go there from where it is: what was stopped is not launched again.
    """
    campaign = read_campaign(settings, name)
    if campaign.status not in _FROM[status]:
        hint = "make a copy under another name" if status == CampaignStatus.SCHEDULED else ""
        raise PlanError(f"is {campaign.status}, so it cannot become {status}", where=name, hint=hint)
    file = campaign.folder / "campaign.toml"
    document = tomlkit.parse(file.read_text(encoding="utf-8"))
    document["status"] = status.value
    if now is not None and campaign.launched_at is None:
        document["launched_at"] = now.isoformat()
    if approved is not None:
        document["approved"] = approved
    write_atomically(file, tomlkit.dumps(document))
    return read_campaign(settings, name)
