"""Filters that templates may use: a part of Jinja's own, made safe, and some for people.

A template can come from anyone who may write a campaign and its values from anyone at all, so nothing here can be
made to build a text or list out of proportion (``"x" | replace`` and ``join`` weigh their result beforehand).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, tzinfo
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Undefined, pass_eval_context
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.nodes import EvalContext
from markupsafe import Markup, escape

__all__ = ["FILTERS", "LIMIT", "TemplateLimitError", "TemplateValueError", "weigh"]

LIMIT = 1_000_000
"""The most characters a text, and the most characters and items a list, may have inside a template."""


class TemplateValueError(ValueError):
    """A filter was given a value it cannot use; the text names the filter, never the value."""


class TemplateLimitError(Exception):
    """A template tried to build or do more than it may."""


def weigh(value: object, left: int = LIMIT) -> int:
    """Count the characters and items in a value, nested ones each time they appear.

    Returns:
        What is left of `left`.

    Raises:
        TemplateLimitError: There is more in it than `left`.
    """
    if isinstance(value, str):
        left -= len(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            left = weigh(item, weigh(key, left - 1))
    elif isinstance(value, (list, tuple)):
        for item in value:
            left = weigh(item, left - 1)
    if left < 0:
        raise TemplateLimitError(f"a value grows beyond {LIMIT:,} characters")
    return left


def _default(value: object, instead: object = "", *_: object) -> object:
    """`instead` where a value is missing, null or blank."""
    if value is None or isinstance(value, Undefined) or (isinstance(value, str) and not value.strip()):
        return instead
    return value


def _number(value: object, name: str) -> Decimal:
    try:
        number = Decimal(str(value)) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite() or abs(number) >= 10**18:
        raise TemplateValueError(f"the filter {name!r} was given something that is not a number")
    return number


_STYLES = {  # group, point, template of an amount
    "en": (",", ".", "{sign}{symbol}{number}"),
    "de": (".", ",", "{sign}{number}\u00a0{symbol}"),
    "es": (".", ",", "{sign}{number}\u00a0{symbol}"),
    "fr": ("\u202f", ",", "{sign}{number}\u00a0{symbol}"),
    "it": (".", ",", "{sign}{number}\u00a0{symbol}"),
    "nl": (".", ",", "{symbol}\u00a0{sign}{number}"),
    "pt": (".", ",", "{sign}{symbol}\u00a0{number}"),
}
_SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹", "BRL": "R$", "KRW": "₩", "CHF": "CHF"}
_WHOLE = {"JPY", "KRW", "VND", "CLP", "ISK"}  # currencies without a minor unit (ISO 4217)


def _formatted(number: Decimal, decimals: object, group: str, point: str) -> tuple[str, str]:
    """A number's sign and its digits, rounded half up."""
    if not isinstance(decimals, int) or not 0 <= decimals <= 8:
        raise TemplateValueError("decimals lie between 0 and 8")
    rounded = number.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return "-" if rounded < 0 else "", f"{abs(rounded):,f}".translate({ord(","): group, ord("."): point})


def _style(language: object) -> tuple[str, str, str]:
    known = _STYLES.get(str(language).replace("_", "-").split("-")[0].lower())
    return known or _STYLES["en"]


def _format_number(value: object, decimals: int = 0, language: str = "en") -> str:
    """A number with thousands apart: ``{{ profile.points | number }}`` gives 12,345."""
    number = _number(value, "number")
    group, point, _ = _style(language)
    return "".join(_formatted(number, decimals, group, point))


def _money(value: object, currency: str = "USD", language: str = "en", decimals: int | None = None) -> str:
    """An amount of money: ``{{ event.amount | money("EUR") }}`` gives €1,234.50."""
    number = _number(value, "money")
    group, point, form = _style(language)
    code = str(currency).upper()[:8]
    places = decimals if decimals is not None else 0 if code in _WHOLE else 2
    symbol = _SYMBOLS.get(code, code)
    if symbol.isalpha() and form.endswith("{symbol}{number}"):
        symbol += "\u00a0"
    sign, digits = _formatted(number, places, group, point)
    return form.format(sign=sign, symbol=symbol, number=digits)


def _plural(value: object, one: str, many: str) -> str:
    """A count with its noun: ``{{ 3 | plural("item", "items") }}`` gives 3 items."""
    number = _number(value, "plural")
    count = f"{int(number):,}" if number == int(number) else str(number)
    return f"{count} {one if abs(number) == 1 else many}"


_CODES = re.compile(r"(?:[^%]|%-?[aAbBdHIjmMpSuwyYZ%])*")


@lru_cache(256)
def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise TemplateValueError("the filter 'date' was given a time zone that is not known") from None


def _date(value: object, form: str = "%-d %B %Y", zone: str | None = None) -> str:
    """A day or time as text: ``{{ profile.renews_on | date("%d.%m.%Y") }}``.

    The value is ISO 8601 text or seconds since 1970; `zone` is an IANA name.
    """
    if not isinstance(form, str) or len(form) > 100 or not _CODES.fullmatch(form):
        raise TemplateValueError("the filter 'date' does not know this format; write e.g. '%-d %B %Y'")
    moment: date | None = None
    try:
        if isinstance(value, str):
            moment = date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            moment = datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        moment = None
    if moment is None:
        raise TemplateValueError("the filter 'date' was given something that is not a date")
    if zone and isinstance(moment, datetime):
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(_zone(str(zone)))
    try:
        return moment.strftime(form)
    except ValueError:
        raise TemplateValueError("the filter 'date' was given a date it cannot write") from None


def _replace(value: object, old: str, new: str) -> str:
    text, old, new = (Markup(value) if isinstance(value, Markup) else str(value)), str(old), str(new)
    if len(text) + (text.count(old) + 1) * len(new) > LIMIT:
        raise TemplateLimitError(f"a value grows beyond {LIMIT:,} characters")
    return text.replace(old, new)


@pass_eval_context
def _join(context: EvalContext, value: Iterable[object], between: str = "", attribute: str | None = None) -> str:
    items = list(value if attribute is None else _map(context, value, attribute))
    if any(isinstance(item, (list, tuple, dict)) for item in items):
        raise TemplateValueError("the filter 'join' was given a list of lists")
    if sum(len(str(item)) for item in items) + len(items) * len(str(between)) > LIMIT:
        raise TemplateLimitError(f"a value grows beyond {LIMIT:,} characters")
    if context.autoescape:
        return Markup(escape(between)).join(escape(item) for item in items)
    return str(between).join(str(item) for item in items)


def _map(context: EvalContext, value: Iterable[object], attribute: str) -> Iterable[object]:
    return (context.environment.getitem(item, attribute) for item in value)


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same filter, refusing what is too large before and after."""

    def guarded(*args: Any, **kwargs: Any) -> Any:
        for value in args:
            if isinstance(value, (list, tuple, dict)):
                weigh(value)
        result = function(*args, **kwargs)
        if isinstance(result, (str, list, dict)):
            weigh(result)
        return result

    if (passed := getattr(function, "jinja_pass_arg", None)) is not None:
        guarded.jinja_pass_arg = passed  # type: ignore[attr-defined]
    return guarded


_KEPT = frozenset(
    """
    abs capitalize count dictsort e escape first float groupby int items last length list lower map max min reject
    rejectattr reverse round safe select selectattr sort string striptags sum title tojson trim truncate unique upper
    urlencode wordcount
    """.split()
)

FILTERS: dict[str, Callable[..., Any]] = {
    name: _guarded(function)
    for name, function in (
        *((name, JINJA_FILTERS[name]) for name in sorted(_KEPT)),
        ("d", _default),
        ("date", _date),
        ("default", _default),
        ("join", _join),
        ("money", _money),
        ("number", _format_number),
        ("plural", _plural),
        ("replace", _replace),
    )
}
"""Filters by the name that templates know them by. What is random or formats at any width is left out."""
