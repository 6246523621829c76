"""One message to one address, to see how it looks: past plans, ledger and lake."""

from __future__ import annotations

import asyncio

from engage.channels.message import Message, Outcome
from engage.channels.provider import HttpProvider, Provider
from engage.delivery.transport import Caller

__all__ = ["send_trial"]


def send_trial(provider: Provider, message: Message, *, timeout: float = 30.0) -> Outcome:
    """Send one message now; nothing of it is recorded.

    Args:
        provider: Who sends.
        message: What; its address is that of whoever tests.
        timeout: Seconds the provider has to answer.

    Returns:
        What the provider's answer means.

    Raises:
        ContentError: The provider cannot express it.
        ChannelError: The provider cannot be reached.
    """

    async def send() -> Outcome:
        request = provider.request([message]) if isinstance(provider, HttpProvider) else None
        async with Caller(provider, concurrency=1, timeout=timeout) as caller:
            return (await caller([message], request))[0]

    return asyncio.run(send())
