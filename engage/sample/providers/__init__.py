"""One local server that stands for every provider: what it is sent can be looked at, and nothing reaches anybody.

It speaks each provider's protocol and answers as the provider documents. A few recipients are magic: what is sent to
them gets one of the documented errors. Developers, analysts and the tests use the same server.
"""

from engage.sample.providers.app import create_providers
from engage.sample.providers.received import Received

__all__ = ["Received", "create_providers"]
