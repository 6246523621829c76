"""Pages the site's builder makes itself: the list of how-tos, and the reference of the SQL files."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from engage.query.files import read_sql

_ROOT = Path(__file__).resolve().parents[2]

_FOLDERS = {
    "lake": (
        "Relations",
        "What any SQL may select from. `from events` reads `sql/lake/events.sql`: edit it to map your own files.",
    ),
    "segments": (
        "Segments",
        "Lists of people. Any SQL may say `from segments.NAME`, with the defaults of its parameters.",
    ),
    "reports": ("Reports", "One question each."),
    "imports": ("Imports", "How a file's rows become events and profiles: `engage import FILE --mapping NAME`."),
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every page under ``docs/how-to/`` into the navigation, by title."""
    folder = Path(config.docs_dir) / "how-to"
    pages = sorted(folder.glob("*.md"), key=_title)
    for section in config.nav or []:
        if "How to" in section:
            section["How to"] = [f"how-to/{page.name}" for page in pages]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the reference of the SQL files, made from their headers."""
    files.append(File.generated(config, "reference/sql.md", content=sql_reference(_ROOT / "sql")))
    return files


def on_page_content(html: str, **_: object) -> str:
    """Take out Sphinx's roles, and what click gives options without a default."""
    html = re.sub(r":(?:meth|func|class|data|mod|attr|exc):(?=<code>)", "", html)
    return html.replace("<code>Sentinel.UNSET</code>", "")


def sql_reference(sql: Path) -> str:
    """A page that tells title, grain and parameters of every SQL file, folder by folder."""
    lines = [
        "# SQL files",
        "",
        "What a workspace begins with. Every file is one select with a header; all of them are yours to edit.",
    ]
    for folder, (title, what) in _FOLDERS.items():
        lines += ["", f"## {title}", "", what, "", "| file | what | one row | parameters |", "|---|---|---|---|"]
        for path in sorted((sql / folder).glob("*.sql")):
            file = read_sql(path)
            params = ", ".join(f"`{name}` = {value!r}" for name, value in file.params.items())
            lines.append(f"| `{path.stem}` | {_cell(file.title)} | {_cell(file.grain)} | {_cell(params)} |")
    return "\n".join(lines) + "\n"


def _title(page: Path) -> str:
    return next(line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("# "))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
