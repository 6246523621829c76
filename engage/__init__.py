"""Engagement campaigns without a vendor: events in a Parquet lake, segments in SQL, messages on ten channels.

>>> import engage
>>> engage.__version__.count(".")
2
"""

from typing import TYPE_CHECKING, Any

from engage.errors import ConfigurationError, EngageError

if TYPE_CHECKING:
    from engage.workspace import Workspace

__all__ = ["ConfigurationError", "EngageError", "Workspace", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Imported when it is asked for (PEP 562): the command line starts before all that it needs is there.
    if name == "Workspace":
        from engage.workspace import Workspace

        return Workspace
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
