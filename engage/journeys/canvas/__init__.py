"""The canvas a journey is drawn on, for notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from engage.journeys.validation import Fault

__all__ = ["Canvas"]

_HERE = Path(__file__).parent


class Canvas(anywidget.AnyWidget):
    """An editor of a journey's graph, as plain JavaScript that is shipped with the package.

    Args:
        graph: The journey's file, as TOML values; changes appear here.
        counts: A number to show at each node.
        faults: What is wrong, by node.
    """

    _esm = _HERE / "canvas.js"
    _css = _HERE / "canvas.css"
    graph = traitlets.Dict().tag(sync=True)
    counts = traitlets.Dict().tag(sync=True)
    faults = traitlets.Dict().tag(sync=True)

    @classmethod
    def of(
        cls, values: Mapping[str, Any], counts: Mapping[str, int] | None = None, faults: Sequence[Fault] = ()
    ) -> Canvas:
        """A canvas of a journey's values, with counts and faults."""
        # The first fault of a node is shown; the rest shows once that is mended.
        told = {fault.node: fault.what for fault in reversed(faults)}
        return cls(graph=dict(values), counts=dict(counts or {}), faults=told)
