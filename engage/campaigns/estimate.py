"""What a plan will take: messages, time and money, told before anything is sent."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import Any

from engage.campaigns.planning import Plan
from engage.errors import ConfigurationError
from engage.lake.runs import Run
from engage.settings import Settings

__all__ = ["Estimate", "approval_above", "estimate", "read_prices"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What sending a plan will take.

    Args:
        messages: How many are to be sent.
        seconds: How long it will take at the rate limits; None where none is set.
        cost: What it will cost; None where the channel has no price.
        currency: Of the cost.
        needs_approval: It is above the size that is sent without the plan's id.
    """

    messages: int
    seconds: float | None
    cost: float | None
    currency: str
    needs_approval: bool


_APPROVAL_ABOVE = 10_000  # people


def approval_above(settings: Settings, *, real: bool) -> int | None:
    """The size above which a send needs the plan's id: ``[tool.engage] approval_above``, 10,000 by default.

    Args:
        settings: The workspace.
        real: The provider reaches real people; the outbox needs an approval only where the setting is given.

    Returns:
        The size; None for never.

    Raises:
        ConfigurationError: It is not a number.
    """
    value = settings.options.get("approval_above", _APPROVAL_ABOVE if real else None)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigurationError(f"approval_above = {value!r} is not a number of people", where="[tool.engage]")
    return value


def estimate(settings: Settings, planned: Plan, *, real: bool) -> Estimate:
    """Work out what sending a plan will take.

    Args:
        settings: Has the rate limits, and the prices in ``data/prices.toml``.
        planned: The plan.
        real: Its provider reaches real people.

    Raises:
        ConfigurationError: A price or limit cannot be read.
    """
    prices, currency = read_prices(settings)
    seconds: list[float | None] = []
    costs: list[float | None] = []
    for run in planned.runs:
        price, rate = prices.get(run.channel), _rate(settings, run)
        seconds.append(run.counts.send / rate if rate else None)
        costs.append(run.counts.send * price if price is not None else None)
    limit, messages = approval_above(settings, real=real), planned.counts.send
    return Estimate(
        messages=messages,
        seconds=_sum(seconds),
        cost=_sum(costs),
        currency=currency,
        needs_approval=limit is not None and messages > limit,
    )


def _rate(settings: Settings, run: Run) -> float | None:
    """The most messages a second."""
    pace: dict[str, Any] = dict(settings.options.get("delivery", {}))
    rates = [rate for rate in (run.throttle_per_second, pace.get("per_second")) if rate]
    rate = settings.channel(run.channel).get("rate")
    if isinstance(rate, (int, float)) and rate > 0:
        rates.append(rate)
    return min(rates, default=None)


def _sum(parts: list[float | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def read_prices(settings: Settings) -> tuple[dict[str, float], str]:
    """What one message costs, by channel, and in which currency; from ``data/prices.toml``.

    Raises:
        ConfigurationError: The file cannot be read, or a price is none.
    """
    file = settings.data / "prices.toml"
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, ""
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"not valid TOML: {error}", where=str(file), hint="mend the file") from error
    prices = dict(values.get("channels", {}))
    for channel, price in prices.items():
        if isinstance(price, bool) or not isinstance(price, (int, float)) or price < 0:
            raise ConfigurationError(
                f"{channel} = {price!r} is not a price", where=str(file), hint="e.g. email = 0.001"
            )
    return prices, str(values.get("currency", ""))
