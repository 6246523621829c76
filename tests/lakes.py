"""A lake that one example after another is landed in, since to make a workspace takes longer than most examples."""

from __future__ import annotations

import engage
from engage.lake.schema import SEED_NAME

__all__ = ["empty"]


def empty(workspace: engage.Workspace, *datasets: str) -> None:
    """Take every row out of datasets."""
    for dataset in datasets:
        for file in workspace.lake.folder(dataset).glob("*/*.parquet"):
            if file.name != SEED_NAME:
                file.unlink()
