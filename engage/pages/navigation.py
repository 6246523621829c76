"""The head of every notebook: where one is, the way to the others, one look."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import quote, urlencode

import marimo as mo

from engage.pages.typed import take_all_that_is_typed
from engage.settings import find_root
from engage.workspace import Workspace

__all__ = ["PAGES", "Page", "header", "link", "moments", "opened", "origin", "user_name"]


@dataclass(frozen=True, slots=True)
class Page:
    """A notebook as the navigation shows it.

    Args:
        name: Its file's name without ``.py``.
        title: What people read.
        group: Under which heading.
        about: What it is for, in a phrase.
    """

    name: str
    title: str
    group: str
    about: str


PAGES = (
    Page("home", "Home", "", "what ran, what is running, the week at a glance"),
    Page("audiences", "Audiences", "Who", "build segments, see sizes, reach and overlap"),
    Page("people", "People", "Who", "one person: what they did and what they were sent"),
    Page("campaigns", "Campaigns", "What they get", "compose, preview, plan, test, approve and send"),
    Page("journeys", "Journeys", "What they get", "draw what happens to people over weeks"),
    Page("clever_campaigns", "Clever Campaigns", "What they get", "start from a campaign that is known to work"),
    Page("facebook_audiences", "Facebook audiences", "What they get", "segments as Facebook audiences"),
    Page("reports", "Campaign reports", "What came of it", "what every campaign did; the table by e-mail"),
    Page("retention", "Retention", "What came of it", "who came back, of those sent a message label"),
    Page("cohorts", "Cohorts", "What came of it", "who came back, by what they did and when"),
    Page("funnels", "Funnels", "What came of it", "how far people get, and where they stop"),
    Page("trends", "Trends", "What came of it", "how much, day by day; paths, customers, uninstalls"),
    Page("message_settings", "Message settings", "Set up", "labels, senders, consent, limits, channels' health"),
    Page("access", "Access", "Set up", "who may sign in and do what; who did what"),
)
"""The notebooks in reading order."""

_LOOK = """
<style>
.engage-nav { display: flex; flex-direction: column; gap: 1px; font-size: 14px; line-height: 1.35; }
.engage-nav .brand { font-weight: 650; font-size: 17px; letter-spacing: -0.01em; padding: 0 8px 10px; }
.engage-nav h2 { font: inherit; font-size: 11px; font-weight: 600; letter-spacing: 0.06em; text-transform: uppercase;
  color: var(--slate-11); margin: 14px 0 3px; padding: 0 8px; }
.engage-nav a, .engage-nav .off { display: block; padding: 5px 8px; border-radius: 6px; color: inherit;
  text-decoration: none; }
.engage-nav a:hover { background: var(--slate-4); text-decoration: none; }
.engage-nav a:focus-visible { outline: 2px solid var(--blue-9); outline-offset: -2px; }
.engage-nav a[aria-current] { background: var(--blue-4); color: var(--blue-12); font-weight: 600; }
.engage-nav .off { color: var(--slate-11); }
.engage-nav .who { margin-top: 18px; padding: 10px 8px 0; border-top: 1px solid var(--slate-6); font-size: 12px;
  color: var(--slate-11); overflow-wrap: anywhere; }
.engage-nav .who .out { padding: 4px 0; text-decoration: underline; text-underline-offset: 2px; }
.engage-head h1 { font-family: var(--text-font, sans-serif); font-size: 26px; font-weight: 650;
  letter-spacing: -0.015em; line-height: 1.2; margin: 0 0 6px; }
.engage-head p { margin: 0; max-width: 75ch; color: var(--slate-11); font-size: 15px; line-height: 1.5; }
.engage-head code { font-size: 0.9em; }
@media (min-width: 640px) { #App.config-width-full > div { padding-left: 40px; padding-right: 40px; } }
@media (max-width: 767px) { .engage-head { padding-top: 32px; } }
#App a[aria-label="Back to gallery"] { display: none; }
.markdown.prose :is(h1, h2, h3, h4) { font-family: var(--text-font, sans-serif); letter-spacing: -0.01em; }
</style>
"""

_lock = threading.Lock()


def opened(path: str | Path | None = None) -> Workspace:
    """The workspace a notebook lies in, opened once a process and shared by all who look.

    Args:
        path: A folder in it; the notebook's own by default.

    Raises:
        ConfigurationError: There is none, or its settings are wrong.
    """
    take_all_that_is_typed()
    root = find_root(path or mo.notebook_dir() or ".")
    stamp = (root / "pyproject.toml").stat().st_mtime_ns
    with _lock:
        return _opened(root, stamp)


@cache
def _opened(root: Path, stamp: int) -> Workspace:
    return Workspace.open(root)


def link(page: str, **given: str) -> str | None:
    """The address of another notebook, wherever this one is served.

    Args:
        page: Its file's name without ``.py``.
        given: What it is to start with, e.g. ``label="Onboarding"``.

    Returns:
        An address relative to this page; None in an editor that has one file open and no others to go to.
    """
    query = mo.query_params()
    if file := query.get("file"):  # marimo, on a folder
        folder, slash, _ = str(file).rpartition("/")
        return "?" + urlencode({"file": f"{folder}{slash}{page}.py", **given})
    if mo.app_meta().mode == "edit":
        return None
    return f"../{quote(page)}/" + (f"?{urlencode(given)}" if given else "")


def moments(ws: Workspace) -> dict[str, datetime | str | None]:
    """The times a page may be asked as of, in words: now, the last event where that is long past, or a day to choose.

    Returns:
        By word a time; None for now, ``"day"`` for one to be chosen. The first is what a reader wants by default: now
        where the lake is alive, else the moment after its last event, so that old data is not all gone quiet.
    """
    latest = ws.latest_event()
    now: dict[str, datetime | str | None] = {"now": None}
    day: dict[str, datetime | str | None] = {"a day …": "day"}
    if latest is None:
        return now | day
    last: dict[str, datetime | str | None] = {
        f"the last event, {latest:%d %b %Y}": latest + timedelta(seconds=1),
    }
    return last | now | day if datetime.now(UTC) - latest > timedelta(days=7) else now | last | day


def user_name() -> str:
    """Who looks, where there is a login; empty otherwise."""
    request = mo.app_meta().request
    user = getattr(request, "user", None)
    if isinstance(user, dict):
        name = user.get("username") or user.get("name") or user.get("display_name")
    else:
        name = getattr(user, "display_name", "")
    return "" if name in (None, "", "user") else str(name)  # marimo calls whoever has no login "user"


def origin(ws: Workspace) -> str:
    """Where people reach this server, as far as it is known: ``https://engage.example.com``."""
    url = getattr(mo.app_meta().request, "url", None) or {}
    secure = url.get("scheme") in ("https", "wss")
    here = f"{'https' if secure else 'http'}://{url['netloc']}" if url.get("netloc") else ""
    return ws.settings.public_url or here


def header(ws: Workspace, page: str, lead: str = "") -> mo.Html:
    """The navigation beside a notebook, and its title and what it is for above it.

    Args:
        ws: The workspace, whose name stands in the navigation.
        page: The notebook's name in :data:`PAGES`.
        lead: A sentence or two of Markdown.
    """
    here = next(one for one in PAGES if one.name == page)
    there = {file.stem for file in ws.settings.notebooks.glob("*.py")}
    rows, group = [], ""
    for one in PAGES:
        if one.name not in there:
            continue
        if one.group != group:
            group = one.group
            rows.append(f"<h2>{escape(group)}</h2>")
        to = link(one.name)
        current = ' aria-current="page"' if one.name == page else ""
        rows.append(
            f'<a href="{escape(to)}" title="{escape(one.about)}"{current}>{escape(one.title)}</a>'
            if to
            else f'<span class="off">{escape(one.title)}</span>'
        )
    who = user_name()
    foot = escape(ws.root.name) + (f"<br>{escape(who)}" if who else "")
    if isinstance(user := getattr(mo.app_meta().request, "user", None), dict) and user.get("account"):
        foot += f" · {escape(str(user['role']))}" + '<br><a class="out" href="/sign-out">Sign out</a>'
    menu = (
        '<nav class="engage-nav" aria-label="Notebooks"><div class="brand">Engage</div>'
        f'{"".join(rows)}<div class="who">{foot}</div></nav>'
    )
    words = f"<h1>{escape(here.title)}</h1>" + (mo.md(lead).text if lead else "")
    head = mo.Html(f'{_LOOK}<div class="engage-head">{words}</div>')
    return mo.vstack([mo.sidebar(mo.Html(menu), width="232px"), head])
