"""What there is to choose from: events, and what messages were sent as."""

from __future__ import annotations

from typing import Any

import marimo as mo

from engage.analysis import written_conditions
from engage.pages.shown import empty_lake, tried
from engage.workspace import Workspace

__all__ = ["event_names", "read_conditions", "sent_values"]


def event_names(ws: Workspace, missing: str) -> list[str]:
    """The names of events, the most frequent first; where there is none, the cell ends with what to do.

    Args:
        ws: The workspace.
        missing: What there is not without events, as for :func:`engage.pages.shown.empty_lake`.
    """
    names: list[str] = tried(ws.event_counts)["event_name"].to_list()
    mo.stop(not names, empty_lake(missing))
    return names


def read_conditions(text: str) -> dict[str, Any] | None:
    """Conditions on properties as somebody wrote them, None for none; where they are wrong, the cell ends with why.

    Args:
        text: As for :func:`engage.analysis.written_conditions.read_conditions`.
    """
    return tried(lambda: written_conditions.read_conditions(text)) if text.strip() else None


def sent_values(ws: Workspace, *columns: str) -> list[list[str]]:
    """The values that messages sent have in columns, each sorted.

    Args:
        ws: The workspace.
        columns: Columns of notifications: `campaign_id`, `channel`.
    """
    query = f"select distinct {', '.join(columns)} from notifications where event_name = 'Notification Sent'"
    found = ws.sql(query)
    return [found[column].drop_nulls().unique().sort().to_list() for column in columns]
