"""What a new workspace starts with: the SQL, notebooks, labels and sample campaign this package ships."""

from __future__ import annotations

import shutil
from pathlib import Path

from engage.errors import ConfigurationError
from engage.settings import Settings

__all__ = ["copy_template", "template_root"]

_PARTS = ("sql", "notebooks", "data/campaigns", "data/labels.toml", "data/prices.toml")

_PYPROJECT = """\
# An engage workspace. See `engage --help`.
[tool.engage]
timezone = "{timezone}"

# A channel's provider; without one, messages are written to data/outbox/.
# [tool.engage.channels.email]
# provider = "smtp"
# host = "localhost"
# from = "Ada at Example <ada@example.com>"

# Notebooks are light or dark as the reader's machine is.
[tool.marimo.display]
theme = "system"
"""


def template_root() -> Path:
    """The folder the template lies in: inside an installed package, or the source tree itself."""
    package = Path(__file__).resolve().parent
    shipped = package / "template"
    return shipped if shipped.is_dir() else package.parent


def copy_template(path: Path, *, timezone: str) -> Settings:
    """Make a workspace.

    Args:
        path: A folder, new or without a workspace in it.
        timezone: IANA name of the time zone its days are counted in.

    Returns:
        Its settings.

    Raises:
        ConfigurationError: There is a workspace already, or the time zone is not known.
    """
    root = path.resolve()
    if (root / "pyproject.toml").exists() or (root / "sql").exists():
        raise ConfigurationError("there is a workspace already", where=str(root), hint="choose another folder")
    root.mkdir(parents=True, exist_ok=True)
    try:
        (root / "pyproject.toml").write_text(_PYPROJECT.format(timezone=timezone), encoding="utf-8")
        settings = Settings.load(root)
    except ConfigurationError:
        (root / "pyproject.toml").unlink()
        raise
    source = template_root()
    for part in _PARTS:
        if (source / part).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "__marimo__", ".*")
            shutil.copytree(source / part, root / part, ignore=ignored)
        elif (source / part).exists():
            (root / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / part, root / part)
    (root / ".gitignore").write_text(
        "data/lake/\ndata/outbox/\ndata/ledger.sqlite*\ndata/mailbox.sqlite*\ndata/engage.lock\ndata/drafts/\n__marimo__/\n"
        "data/access.sqlite*\ndata/audit/\ndata/journal/\ndata/worker.lock\n"
    )
    return settings
