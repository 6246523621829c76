"""Facebook custom audiences: all users or a segment, kept in step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import polars as pl

from engage.analysis.segments import find_segment
from engage.channels.facebook.graph import Graph
from engage.channels.facebook.hashing import KEYS, hashed_row
from engage.delivery.audiences import AudienceSync, MetaAudiences
from engage.errors import ConfigurationError
from engage.settings import secret
from engage.workspace.base import Base

__all__ = ["FacebookFace"]

_WHERE = "[tool.engage.channels.facebook_audience]"
_FIELDS = {"EMAIL": "email", "PHONE": "phone"}


class FacebookFace(Base):
    """What keeps Facebook audiences."""

    def audience_people(self, segment: str | None = None) -> pl.DataFrame:
        """The people an audience may hold: of a segment or all, opted in to ads, with something to match them by.

        Consent is a ``Channel Subscribed`` on the channel ``facebook_audience``; with ``consent = "opt_out"`` in its
        settings everyone counts who has not said no.

        Args:
            segment: A segment; None for everyone.

        Returns:
            `user_id`, and a column a key of Meta's (`EMAIL`, …) in the clear; one row a person.

        Raises:
            UnknownSegmentError: There is no such segment.
            ConfigurationError: A field is not one of Meta's keys.
        """
        fields = self._fields()
        consent = str(self.settings.channel("facebook_audience").get("consent", "opt_in"))
        if consent not in ("opt_in", "opt_out"):
            raise ConfigurationError(
                f"consent {consent!r} is not known", where=_WHERE, hint='write "opt_in" or "opt_out"'
            )
        columns = ", ".join(f"json_extract_string(properties, $p{n}) as f{n}" for n in range(len(fields)))
        paths = {f"p{n}": f'$."{name}"' for n, name in enumerate(fields.values())}
        frame = self.engine.frame(
            f"select profiles.user_id, {columns} from profiles left join consents "
            "on consents.user_id = profiles.user_id and consents.channel = 'facebook_audience' and consents.topic = '' "
            "where coalesce(consents.subscribed, $default) order by profiles.user_id",
            {**paths, "default": consent == "opt_out"},
        )
        if segment is not None:
            frame = frame.join(find_segment(self.engine, segment).users(), on="user_id", how="semi")
        frame = frame.rename({f"f{n}": key for n, key in enumerate(fields)})
        return frame.filter(pl.any_horizontal(pl.col(key).fill_null("") != "" for key in fields))

    def sync_audience(
        self,
        name: str,
        segment: str | None = None,
        *,
        replace: bool = False,
        transport: httpx.BaseTransport | None = None,
    ) -> AudienceSync:
        """Bring a Facebook custom audience into step with a segment; make it if there is none.

        Only the difference to what Meta last confirmed is sent, hashed. Interrupted, it goes on where it was.

        Args:
            name: The audience's name at Facebook.
            segment: A segment; None for everyone.
            replace: Send everything anew.
            transport: Another network.

        Raises:
            ConfigurationError: The account, token or a field is missing or wrong.
            ChannelError: Meta cannot be asked.
        """
        fields = list(self._fields())
        people = self.audience_people(segment)
        rows = [hashed_row(fields, person) for person in people.iter_rows(named=True)]
        with self._meta(transport) as meta:
            return meta.sync(name, fields, rows, replace_all=replace)

    def facebook_audiences(self, *, transport: httpx.BaseTransport | None = None) -> pl.DataFrame:
        """The ad account's audiences.

        Returns:
            `name`, `audience_id`, `at_least`, `at_most` (Meta's estimate of its size), `confirmed` (rows it has of us).
        """
        with self._meta(transport) as meta:
            found = meta.list()
        ours = dict(
            self.engine.frame("select audience_id, count(*) as n from ad_audience_members group by 1").iter_rows()
        )
        rows = [
            {
                "name": str(one.get("name") or ""),
                "audience_id": str(one.get("id") or ""),
                "at_least": one.get("approximate_count_lower_bound"),
                "at_most": one.get("approximate_count_upper_bound"),
                "confirmed": ours.get(str(one.get("id") or ""), 0),
            }
            for one in found
        ]
        numbers = ("at_least", "at_most", "confirmed")
        schema = {"name": pl.String, "audience_id": pl.String, **dict.fromkeys(numbers, pl.Int64)}
        return pl.DataFrame(rows, schema=schema, strict=False)

    def delete_audience(self, name: str, *, transport: httpx.BaseTransport | None = None) -> bool:
        """Delete a Facebook custom audience.

        Returns:
            Whether there was one.
        """
        with self._meta(transport) as meta:
            return meta.delete(name)

    def _fields(self) -> dict[str, str]:
        given = self.settings.channel("facebook_audience").get("fields") or _FIELDS
        if not isinstance(given, dict) or (unknown := sorted(set(given) - set(KEYS))):
            what = f"{unknown[0]!r} is not a key of Meta's" if isinstance(given, dict) else "fields is not a table"
            raise ConfigurationError(what, where=f"{_WHERE} fields", hint=f"there are: {', '.join(KEYS)}")
        return {key: str(name).replace('"', "") for key, name in given.items()}

    @contextmanager
    def _meta(self, transport: httpx.BaseTransport | None) -> Iterator[MetaAudiences]:
        options = self.settings.channel("facebook_audience")
        if not options.get("account"):
            raise ConfigurationError("there is no ad account", where=_WHERE, hint='write account = "1234567890"')
        token = secret(str(options.get("access_token_env", "FACEBOOK_ACCESS_TOKEN")), needed_for=_WHERE)
        app_secret = ""
        if "app_secret_env" in options:
            app_secret = secret(str(options["app_secret_env"]), needed_for=_WHERE)
        base = str(options.get("base_url", "https://graph.facebook.com"))
        version = str(options.get("version", "v25.0"))
        graph = Graph(str(options["account"]), token, app_secret=app_secret, base_url=base, version=version)
        self.lake.seed()
        with httpx.Client(timeout=60.0, transport=transport) as client:
            yield MetaAudiences(graph, self.lake, self.engine, client)
