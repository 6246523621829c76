"""Engagement campaigns without a vendor: events in a Parquet lake, segments in SQL, messages on ten channels.

>>> import engage
>>> engage.__version__.count(".")
2
"""

__version__ = "0.1.0"
