"""JSON from outside and into the journal, quickly; what the quick way cannot read, the slow one can.

Clients send what is not quite JSON: Python's write ``NaN`` and half of a surrogate pair. That must cost them one
message, not the batch it is in.
"""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec

__all__ = ["NotANumber", "decode", "encode"]

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class NotANumber:
    """A number that is infinite or none, in place of which JSON has nothing."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def decode(data: bytes | bytearray) -> Any:
    """The value of a JSON text, or of what Python calls one.

    Args:
        data: UTF-8.

    Returns:
        What it says; numbers that JSON does not have as :class:`NotANumber`, so that :func:`encode` refuses them.

    Raises:
        ValueError: It is no JSON.
        RecursionError: It is nested too deeply.
    """
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeError):
        return json.loads(data, parse_constant=NotANumber, parse_float=_float)


def encode(value: Any) -> bytes:
    """A value as compact JSON in UTF-8.

    Raises:
        ValueError: It holds what JSON cannot: a number that is none, half of a surrogate pair.
        RecursionError: It is nested too deeply.
    """
    try:
        return _encode(value)
    except TypeError as error:
        raise ValueError(str(error)) from error


def _float(text: str) -> float | NotANumber:
    number = float(text)
    return number if math.isfinite(number) else NotANumber(text)
