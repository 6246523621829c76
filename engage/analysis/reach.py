"""How many of some people can be reached on each channel."""

from __future__ import annotations

import polars as pl

from engage.analysis.ad_people import ad_people_query
from engage.analysis.segments import Segment
from engage.query.files import literal
from engage.vocabulary import Channel

__all__ = ["reach"]

_ADDRESSED = (Channel.EMAIL, Channel.SMS, Channel.PUSH, Channel.WEB_PUSH, Channel.FACEBOOK_AUDIENCE)
_QUERY = """
, channels as (
    select unnest({channels}) as channel, unnest({addressed}) as addressed,
        unnest({opt_in}) as opt_in
),
counted as (
    select channel, count(*) as n, count(*) filter (where is_opted_in) as joined
    from reachable
    where user_id in (select user_id from people)
    group by channel
    union all
    select {ads} as channel, count(*) as n, count(*) as joined from ({ad_people})
),
told as (
    select channel, user_id, subscribed, false as suppressed from consents where topic = ''
    union all
    select channel, address, false, true from suppressions
),
words as (
    select channel, user_id, bool_and(subscribed) as subscribed
    from told
    where user_id in (select user_id from people)
    group by channel, user_id
),
spoken as (
    select channel, count(*) filter (where not subscribed) as left_it, count(*) filter (where subscribed) as joined
    from words
    group by channel
)
select
    channels.channel,
    (select count(*) from people)::bigint as users,
    case
        when channels.addressed then coalesce(case when channels.opt_in then counted.joined else counted.n end, 0)
        when channels.opt_in then coalesce(spoken.joined, 0)
        else (select count(*) from people) - coalesce(spoken.left_it, 0)
    end::bigint as reachable,
from channels
left join counted on counted.channel = channels.channel
left join spoken on spoken.channel = channels.channel
order by list_position({channels}, channels.channel)
"""


def reach(segment: Segment) -> pl.DataFrame:
    """Count the people of a segment, and those of them who can be reached on each channel.

    Someone can be reached who has a live address or device there (on-site channels and webhooks need none), has not
    left the channel, has joined it where ``[tool.engage] opt_in`` names it, and whose address is not suppressed. Ads
    reach only those who said yes to them and have what Facebook may match them by. A campaign without a topic leaves
    out the same people for want of an address or consent; its own caps, quiet hours and control groups come on top.

    Args:
        segment: Who, kept or a draft.

    Returns:
        `channel`, `users` (all of them), `reachable`, `rate` (null without users); one row a channel.

    Raises:
        QueryError: The SQL is wrong or not reproducible.
        ConfigurationError: ``opt_in`` in the settings is no list of channels.
    """
    settings = segment.engine.settings
    counts = segment.ask(
        _QUERY.format(
            channels=literal([str(channel) for channel in Channel]),
            ads=literal(Channel.FACEBOOK_AUDIENCE.value),
            ad_people=ad_people_query(settings),
            addressed=literal([channel in _ADDRESSED for channel in Channel]),
            opt_in=literal([channel in settings.opt_in for channel in Channel]),
        )
    )
    rate = pl.when(pl.col("users") > 0).then(pl.col("reachable") / pl.col("users"))
    return counts.with_columns(rate=rate)
