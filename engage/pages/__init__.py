"""What the notebooks share, so that they look and behave alike: navigation, links, words, tables, drafts, previews."""

from engage.pages.drafts import Draft
from engage.pages.frames import framed
from engage.pages.navigation import PAGES, header, link, moments, opened, user_name
from engage.pages.shown import FAULTS, chart, done, facts, fault, label_links, nothing, table, tried

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
    "link",
    "moments",
    "nothing",
    "opened",
    "table",
    "tried",
    "user_name",
]
