"""Personal details as Meta wants them: normalised, then hashed with SHA-256, so that none leaves in the clear.

Meta's own SDK departs from these rules (it drops accents, lower-cases EXTERN_ID, hashes MADID); this follows the
document.

Source: https://developers.facebook.com/docs/marketing-api/audiences/guides/custom-audiences#hash
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

__all__ = ["IDENTIFYING", "KEYS", "PLAIN", "hashed", "hashed_row", "normalised", "phone_digits"]

PLAIN = frozenset({"EXTERN_ID", "MADID"})
"""Keys that Meta wants as they are."""
IDENTIFYING = ("EMAIL", "PHONE", "EXTERN_ID", "MADID")
"""Keys that are one person's; a row that is removed takes with it whoever shares one of them."""
_E164 = re.compile(r"\+([1-9][0-9]{6,14})")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[T ].*)?")


def _email(text: str) -> str:
    return text if re.fullmatch(r"[^@\s]+@[^@\s]+", text := text.lower()) else ""


def phone_digits(text: str, country: str = "") -> str:
    """Digits with the country's code, without symbols, letters and leading zeros.

    Args:
        text: A phone number as somebody wrote it; its country's two letters may stand before it.
        country: Where a number is from that says no country's code, two letters.

    Returns:
        Digits; empty where it is no number, or one whose country is not known (Meta could not match it).
    """
    if found := _E164.fullmatch(text):
        return found[1]
    text = unicodedata.normalize("NFKC", text).strip()
    if found := re.match(r"([A-Z]{2})[\s(]", text):
        country, text = found[1], text[2:]
    digits = re.sub(r"[^0-9]", "", text)
    if digits.startswith("00") and not text.startswith("+"):
        text = "+" + digits.lstrip("0")
    if read := _international(text, country.upper()):
        return read
    if digits.startswith("0") and not digits.startswith("00"):
        return ""
    digits = digits.lstrip("0")
    return digits if 7 <= len(digits) <= 15 else ""


def _international(text: str, country: str) -> str:
    """E.164 without the plus: as a number of the country or, where it is none of its numbers, as one with a code."""
    library = _phonenumbers()
    if library is None or not (text.startswith("+") or len(country) == 2):
        return ""
    possible, ways = "", [text]
    if not text.startswith("+"):
        code = str(library.country_code_for_region(country))
        ways.insert(0 if re.sub(r"[^0-9]", "", text).startswith(code) else 1, "+" + text)
    for written in ways:
        try:
            number = library.parse(written, country or None)
        except library.NumberParseException:
            continue
        digits = str(library.format_number(number, library.PhoneNumberFormat.E164)).removeprefix("+")
        if library.is_valid_number(number):
            return digits
        if not possible and library.is_possible_number(number) and 7 <= len(digits) <= 15:
            possible = digits
    return possible


@lru_cache(maxsize=1)
def _phonenumbers() -> Any:
    try:
        import phonenumbers
    except ImportError:  # an extra; without it numbers are wanted with their country's code
        return None
    return phonenumbers


def _letters(text: str) -> str:
    """Lower case without punctuation or blanks; accents and other scripts stay."""
    return "".join(c for c in text.lower() if unicodedata.category(c)[0] in "LMN")


def _name(text: str) -> str:
    return "".join(c for c in text.lower() if unicodedata.category(c)[0] in "LMNZ").strip()


def _gender(text: str) -> str:
    return {"m": "m", "male": "m", "man": "m", "f": "f", "female": "f", "woman": "f"}.get(text.lower(), "")


def _part_of_date(part: int, width: int, least: int, most: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        if found := _DATE.fullmatch(text):
            text = found[part]
        return f"{int(text):0{width}}" if re.fullmatch(r"[0-9]{1,4}", text) and least <= int(text) <= most else ""

    return read


def _zip(text: str) -> str:
    """Lower case, no blanks; of a US code with its extension the first five digits."""
    code = re.sub(r"\s", "", text.lower())
    return code[:5] if re.fullmatch(r"[0-9]{5}-?[0-9]{4}", code) else code.replace("-", "")


def _code(text: str) -> str:
    return text.lower() if re.fullmatch(r"[A-Za-z]{2}", text) else ""


KEYS: Mapping[str, Callable[[str], str]] = {
    "EXTERN_ID": str,
    "EMAIL": _email,
    "PHONE": phone_digits,
    "GEN": _gender,
    "DOBY": _part_of_date(1, 4, 1900, 2100),
    "DOBM": _part_of_date(2, 2, 1, 12),
    "DOBD": _part_of_date(3, 2, 1, 31),
    "LN": _name,
    "FN": _name,
    "FI": lambda text: _letters(text)[:1],
    "CT": _letters,
    "ST": _letters,
    "ZIP": _zip,
    "MADID": str.lower,
    "COUNTRY": _code,
}
"""Meta's multi-key names, and what normalises each; empty where a value is none."""


def normalised(key: str, value: object, country: str = "") -> str:
    """A value by Meta's rule for its key; empty where it is none.

    Args:
        key: One of :data:`KEYS`.
        value: As it is known.
        country: Where the person is, two letters; of use for phone numbers alone.
    """
    text = unicodedata.normalize("NFC", str(value if value is not None else "").strip())
    return phone_digits(text, country) if key == "PHONE" else KEYS[key](text)


def hashed(key: str, text: str) -> str:
    """A normalised value as it leaves: SHA-256 in lower-case hex; "" stays, and so do :data:`PLAIN` keys."""
    return text if key in PLAIN or not text else hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def hashed_row(schema: Sequence[str], values: Mapping[str, object], country: str = "") -> list[str]:
    """One person's row.

    Args:
        schema: Keys of :data:`KEYS`, in the order of the columns.
        values: By key.
        country: Where the person is, two letters.

    Returns:
        A cell a key, as :func:`hashed` makes it.
    """
    return [hashed(key, normalised(key, values.get(key), country)) for key in schema]
