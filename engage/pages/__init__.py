"""What the notebooks share, so that they look and behave alike: navigation, links, words, tables, drafts, previews."""

from engage.pages.drafts import Draft
from engage.pages.frames import framed
from engage.pages.navigation import PAGES, header, link, moments, opened, origin, user_name
from engage.pages.shown import FAULTS, chart, done, facts, fault, label_links, lasting, nothing, table, tried

__all__ = [
    "FAULTS",
    "PAGES",
    "Draft",
    "chart",
    "done",
    "facts",
    "fault",
    "framed",
    "header",
    "label_links",
    "lasting",
    "link",
    "moments",
    "nothing",
    "opened",
    "origin",
    "table",
    "tried",
    "user_name",
]
