"""Everything this package raises, in one tree.

::

    EngageError                     what went wrong, where, and what to do
    ├── QueryError                  SQL that cannot be run as written
    │   ├── ReadOnlyError           SQL that would write, attach or read outside the workspace
    │   ├── MissingParameterError   a ``$name`` without a value
    │   └── UnknownParameterError   a value without a ``$name``
    ├── UnknownSegmentError         no such file under sql/segments/
    ├── UnknownCampaignError        no such folder under data/campaigns/
    ├── UnknownJourneyError         no such file under data/journeys/
    ├── UnknownLabelError           a label not made in Message Settings
    ├── ImportFileError             a file that cannot be imported
    ├── LandingError                rows that cannot land
    ├── ContentError                a template or message that cannot be rendered
    │   ├── InvalidAddressError     an address no message can be sent to; the request is never made
    │   └── UnsupportedContentError content the channel or provider cannot express
    ├── PlanError                   a run that cannot be planned
    ├── AccessError                 what who acts may not do, or an account that will not do
    └── ChannelError                a provider that cannot be reached or refuses everything
    ConfigurationError              settings, secrets or senders that are wrong

``ConfigurationError`` stands outside the tree on purpose: code that tolerates failed sends by catching
``EngageError`` must never hide a wrong key or sender.
"""

from __future__ import annotations

__all__ = [
    "AccessError",
    "ChannelError",
    "ConfigurationError",
    "ContentError",
    "EngageError",
    "ImportFileError",
    "InvalidAddressError",
    "LandingError",
    "MissingParameterError",
    "PlanError",
    "QueryError",
    "ReadOnlyError",
    "UnknownCampaignError",
    "UnknownJourneyError",
    "UnknownLabelError",
    "UnknownParameterError",
    "UnknownSegmentError",
    "UnsupportedContentError",
]


class _Explained(Exception):
    """An error told in one line: ``where: what; hint``.

    Args:
        what: What happened, in one clause.
        where: The file, line, column, campaign or address concerned.
        hint: What to do about it.
    """

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what, self.where, self.hint = what, where, hint
        line = f"{where}: {what}" if where else what
        super().__init__(" ".join(f"{line}; {hint}".split()) if hint else " ".join(line.split()))


class EngageError(_Explained):
    """The root of what can go wrong while asking, planning and sending."""


class ConfigurationError(_Explained):
    """Settings, secrets or senders that are missing or wrong; no recipient is at fault."""


class QueryError(EngageError):
    """SQL that cannot be run as written."""


class ReadOnlyError(QueryError):
    """SQL that would write, attach, install, or read outside the workspace."""


class MissingParameterError(QueryError):
    """A ``$name`` in the SQL that was given no value and has no default."""


class UnknownParameterError(QueryError):
    """A value was given for a ``$name`` that the SQL does not have."""


class UnknownSegmentError(EngageError):
    """No such segment under ``sql/segments/``."""


class UnknownCampaignError(EngageError):
    """No such campaign under ``data/campaigns/``."""


class UnknownJourneyError(EngageError):
    """A journey that is not there."""


class UnknownLabelError(EngageError):
    """A message label that was never made in Message Settings."""


class ImportFileError(EngageError):
    """A file that cannot be imported; nothing of it has landed."""


class LandingError(EngageError):
    """Rows that cannot land in the lake; none of them has."""


class ContentError(EngageError):
    """A template or message that cannot be rendered."""


class InvalidAddressError(ContentError):
    """An address no message can be sent to, found before anything was asked of the provider."""


class UnsupportedContentError(ContentError):
    """Content that the channel or provider cannot express."""


class PlanError(EngageError):
    """A run that cannot be planned."""


class AccessError(EngageError):
    """Who acts may not do this, or an account, link or password will not do."""


class ChannelError(EngageError):
    """A provider that cannot be reached, or that refuses everything."""
