"""Where people are reached on a channel, as SQL."""

from __future__ import annotations

from engage.analysis.events import Binder
from engage.campaigns.campaign import Campaign
from engage.settings import Settings
from engage.vocabulary import PULLED_CHANNELS, Channel

__all__ = ["reached_at", "written_sql"]

_ADDRESSES = {
    Channel.EMAIL: "nullif(trim(profiles.email), '')",
    Channel.SMS: "numbers.address",
    **dict.fromkeys((Channel.PUSH, Channel.WEB_PUSH), "devices_alive.address"),
    **dict.fromkeys((*PULLED_CHANNELS, Channel.WEBHOOK, Channel.FACEBOOK_AUDIENCE), "everyone.user_id"),
}


def reached_at(
    settings: Settings, campaign: Campaign, more: list[tuple[str, str]], joins: list[str], binder: Binder
) -> str:
    """SQL of a person's address, null where they have none.

    Args:
        settings: Say which provider sends.
        campaign: On which channel.
        more: Gets the common table expressions it needs.
        joins: Gets the joins it needs.
        binder: Binds values.
    """
    if campaign.channel in (Channel.PUSH, Channel.WEB_PUSH):
        newest = "select user_id, arg_max(token, (updated_at, token)) as address from devices"
        of = f"channel = $channel {_environment(settings, campaign, binder)}"
        more.append(("devices_alive", f"{newest} where {of} group by user_id"))
        joins.append("left join devices_alive on devices_alive.user_id = everyone.user_id")
    if campaign.channel == Channel.SMS:  # by itself, so that each number is looked at once
        more.append(("numbers", "select user_id, sms_address(phone, country) as address from profiles"))
        joins.append("left join numbers on numbers.user_id = everyone.user_id")
    return _ADDRESSES[Channel(campaign.channel)]


def written_sql(channel: str, address: str) -> str:
    """SQL of an address on the suppression list as it is compared; numbers were not always kept in E.164."""
    return f"sms_address({address}, null)" if channel == Channel.SMS else address


def _environment(settings: Settings, campaign: Campaign, binder: Binder) -> str:
    """SQL that a token is one the provider may be asked for: Apple's, of the environment it is called in.

    A token of the sandbox is a bad one in production and the other way round; one that says neither is tried.
    """
    options = settings.channel(campaign.channel)
    if campaign.provider and campaign.provider != options.get("provider"):
        options = {**options.get(campaign.provider, {}), "provider": campaign.provider}
    if options.get("provider") != "apns":
        return ""
    environment = binder.bind(str(options.get("environment", "production")))
    return f"and coalesce(platform, 'ios') = 'ios' and coalesce(environment, {environment}) = {environment}"
