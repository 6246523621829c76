"""Charts of the analyses, in altair and one theme; every function takes a frame of `engage.analysis` and no engine.

Altair comes with the extra ``notebooks``.
"""

from importlib.util import find_spec

from engage.errors import ConfigurationError

if find_spec("altair") is None:
    raise ConfigurationError("charts need altair", hint="pip install 'engage[notebooks]'")
