"""Whether a workspace's relations are the ones shipped: what is known of them holds only then."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from engage.lake.derived.manifest import stamp
from engage.settings import Settings
from engage.template import template_root

__all__ = ["is_shipped"]


def is_shipped(settings: Settings, names: Sequence[str]) -> bool:
    """Whether files of ``sql/lake/`` are as they were shipped.

    Args:
        settings: The workspace.
        names: The relations.
    """
    own, shipped = settings.sql / "lake", template_root() / "sql" / "lake"
    try:
        return own == shipped or all(
            _is_same(shipped, path, *stamp(path)) for path in (own / f"{name}.sql" for name in names)
        )
    except OSError:
        return False


@lru_cache(256)
def _is_same(shipped: Path, path: Path, size: int, changed: int) -> bool:
    """Whether a file, at a time of change, is that of the same name among those shipped."""
    return path.read_bytes() == (shipped / path.name).read_bytes()
