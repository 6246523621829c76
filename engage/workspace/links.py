"""The addresses of the workspace's server in a run's messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engage.content.links import Links
from engage.content.tracking import Rendering, Tracked
from engage.lake.runs import Run

__all__ = ["tracked"]


def tracked(run: Run) -> Callable[[str, Rendering], Rendering] | None:
    """What puts a run's links and pixel into its messages; None where it was planned without.

    Args:
        run: As planned; its options say what is tracked and under which public address.

    Raises:
        ConfigurationError: Links are wanted and ENGAGE_SECRET_KEY is not set.
    """
    tracking: Mapping[str, Any] | None = run.options.get("tracking")
    if not tracking:
        return None
    links = Links(tracking["url"]) if tracking["url"] else None

    def through(variant: str, rendering: Rendering) -> Rendering:
        return Tracked(rendering, links, channel=run.channel, run_id=run.run_id, variant=variant, tracking=tracking)

    return through
