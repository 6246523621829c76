"""The face of the package: a workspace, whose methods are each one call down."""

from __future__ import annotations

from pathlib import Path

from engage.lake.layout import record_layout, require_layout
from engage.settings import Settings, find_root
from engage.template import copy_template
from engage.workspace.access import AccessFace
from engage.workspace.base import Time
from engage.workspace.behaviour import BehaviourFace
from engage.workspace.callbacks import CallbackFace
from engage.workspace.channels import ChannelFace
from engage.workspace.cohorts import CohortFace
from engage.workspace.consent import ConsentFace
from engage.workspace.facebook import FacebookFace
from engage.workspace.landing import LandingFace
from engage.workspace.onsite import OnSiteFace
from engage.workspace.people import PeopleFace
from engage.workspace.playbooks import PlaybookFace
from engage.workspace.queries import QueryFace
from engage.workspace.reporting import ReportingFace
from engage.workspace.segments import SegmentFace
from engage.workspace.ticking import TickingFace

__all__ = ["Time", "Workspace"]


class Workspace(
    ChannelFace,
    CallbackFace,
    LandingFace,
    QueryFace,
    FacebookFace,
    SegmentFace,
    PeopleFace,
    CohortFace,
    BehaviourFace,
    ReportingFace,
    ConsentFace,
    TickingFace,
    PlaybookFace,
    OnSiteFace,
    AccessFace,
):
    """A lake of Parquet, a folder of SQL, a folder of notebooks and a folder of campaigns.

    Args:
        settings: Its folders and options; use :meth:`open` or :meth:`create`.
    """

    @classmethod
    def create(cls, path: str | Path, timezone: str = "UTC") -> Workspace:
        """Make a workspace in a folder: SQL, notebooks, settings, labels and a sample campaign.

        Args:
            path: A folder, new or without a workspace in it.
            timezone: IANA name of the time zone days, weeks and months are counted in.

        Raises:
            ConfigurationError: There is a workspace already, or the time zone is not known.
        """
        workspace = cls(copy_template(Path(path), timezone=timezone))
        workspace.lake.seed()
        record_layout(workspace.settings)
        return workspace

    @classmethod
    def open(cls, path: str | Path = ".") -> Workspace:
        """Open the workspace that holds a folder, looking upward.

        Raises:
            ConfigurationError: There is none, or a later version has written it.
        """
        settings = Settings.load(find_root(path))
        require_layout(settings)
        return cls(settings)

    def reopened(self) -> Workspace:
        """The same workspace, its settings read anew, for use in another thread; what rests here rests there too.

        Raises:
            ConfigurationError: The settings are wrong by now.
        """
        other = type(self).open(self.root)
        other.stop, other._resting, other._actor = self.stop, self._resting, self._actor
        return other
