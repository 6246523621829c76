"""Engagement campaigns without a vendor: events in a Parquet lake, segments in SQL, messages on ten channels.

>>> import engage
>>> engage.__version__.count(".")
2
"""

from engage.errors import ConfigurationError, EngageError
from engage.workspace import Workspace

__all__ = ["ConfigurationError", "EngageError", "Workspace", "__version__"]

__version__ = "0.1.0"
