"""What the notebooks share, so that they look and behave alike: navigation, links, words, tables, drafts, previews."""

from engage.pages.choices import event_names, read_conditions, sent_values
from engage.pages.drafts import Draft
from engage.pages.frames import framed
from engage.pages.navigation import PAGES, header, link, moments, opened, origin, user_name
from engage.pages.shown import (
    FAULTS,
    chart,
    done,
    empty_lake,
    facts,
    fault,
    kept_segment,
    label_links,
    lasting,
    nothing,
    table,
    tried,
)

__all__ = [
    "FAULTS",
    "PAGES",
    "Draft",
    "chart",
    "done",
    "empty_lake",
    "event_names",
    "facts",
    "fault",
    "framed",
    "header",
    "kept_segment",
    "label_links",
    "lasting",
    "link",
    "moments",
    "nothing",
    "opened",
    "origin",
    "read_conditions",
    "sent_values",
    "table",
    "tried",
    "user_name",
]
