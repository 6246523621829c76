"""One message to one address, to see how it looks: past plans, ledger and lake."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from engage.channels.addresses import checked_address
from engage.channels.message import Message, Outcome
from engage.channels.provider import HttpProvider, Provider
from engage.delivery.transport import Caller

__all__ = ["send_trial"]


def send_trial(provider: Provider, message: Message, *, country: str | None = None, timeout: float = 30.0) -> Outcome:
    """Send one message now; nothing of it is recorded.

    Args:
        provider: Who sends.
        message: What; its address is that of whoever tests.
        country: Whose a phone number without its country's code is.
        timeout: Seconds the provider has to answer.

    Returns:
        What the provider's answer means.

    Raises:
        InvalidAddressError: The address is none.
        ContentError: The provider cannot express it.
        ChannelError: The provider cannot be reached.
    """

    async def send() -> Outcome:
        known = replace(message, address=checked_address(message.channel, message.address, country))
        request = provider.request([known]) if isinstance(provider, HttpProvider) else None
        async with Caller(provider, concurrency=1, timeout=timeout) as caller:
            return (await caller([known], request))[0]

    return asyncio.run(send())
