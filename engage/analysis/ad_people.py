"""The people an ad network's audience may hold: those who said yes to ads and have something to match them by."""

from __future__ import annotations

import polars as pl

from engage.analysis.segments import Segment
from engage.channels.facebook.hashing import KEYS
from engage.errors import ConfigurationError
from engage.query.files import literal
from engage.settings import Settings
from engage.vocabulary import Channel

__all__ = ["COUNTRY", "ad_fields", "ad_people", "ad_people_query"]

COUNTRY = "country"
"""The profile property that says where a phone number without its country's code is from."""
_WHERE = "[tool.engage.channels.facebook_audience] fields"
_FIELDS = {"EMAIL": "email", "PHONE": "phone"}


def ad_fields(settings: Settings) -> dict[str, str]:
    """What people are matched by: a profile property for each of Meta's keys; ``user_id`` is the person's own id.

    Raises:
        ConfigurationError: ``fields`` names what is none of Meta's keys.
    """
    given = settings.channel(Channel.FACEBOOK_AUDIENCE).get("fields") or _FIELDS
    if not isinstance(given, dict):
        raise ConfigurationError("fields is not a table", where=_WHERE, hint='fields = { EMAIL = "email" }')
    if unknown := sorted(set(given) - set(KEYS)):
        what = f"{unknown[0]!r} is not a key of Meta's"
        raise ConfigurationError(what, where=_WHERE, hint=f"there are: {', '.join(KEYS)}")
    return {key: str(name) for key, name in given.items()}


def ad_people_query(settings: Settings) -> str:
    """A select over the relation ``people``: `user_id`, `country` and a column a key, in the clear.

    Only of those whose latest word on ads is yes, who are not suppressed there, and of whom one key at least is known.
    """
    fields = ad_fields(settings)
    channel = literal(Channel.FACEBOOK_AUDIENCE.value)

    def value(name: str) -> str:
        if name == "user_id":
            return "profiles.user_id"
        return f"nullif(trim(json_extract_string(profiles.properties, {literal(_path(name))})), '')"

    columns = ", ".join(f'{value(name)} as "{key}"' for key, name in fields.items())
    known = " or ".join(f"{value(name)} is not null" for name in fields.values())
    return (
        f'select profiles.user_id, profiles.country as "{COUNTRY}", {columns} from profiles '
        f"where user_id in (select user_id from people) and ({known}) "
        f"and user_id in (select user_id from consents where channel = {channel} and topic = '' and subscribed) "
        f"and user_id not in (select address from suppressions where channel = {channel}) "
    )


def ad_people(segment: Segment) -> pl.DataFrame:
    """The people of a segment whom an audience may hold.

    Args:
        segment: Who, kept or a draft.

    Returns:
        `user_id`, `country`, and a column a key of Meta's (`EMAIL`, …) in the clear; one row a person.

    Raises:
        QueryError: The SQL is wrong or not reproducible.
        ConfigurationError: A field is not one of Meta's keys.
    """
    return segment.ask(f"{ad_people_query(segment.engine.settings)} order by profiles.user_id")


def _path(name: str) -> str:
    return '$."' + name.replace('"', "") + '"'
