"""Personal details as Meta wants them: normalised, then hashed with SHA-256, so that none leaves in the clear.

Source: https://developers.facebook.com/docs/marketing-api/audiences/guides/custom-audiences#hash
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence

__all__ = ["KEYS", "hashed_row", "normalised"]

_PLAIN = frozenset({"EXTERN_ID", "MADID"})


def _email(text: str) -> str:
    return text if re.fullmatch(r"[^@\s]+@[^@\s]+", text := text.lower()) else ""


def _phone(text: str) -> str:
    """Digits with the country code; symbols, letters and leading zeros go."""
    digits = re.sub(r"[^0-9]", "", unicodedata.normalize("NFKC", text)).lstrip("0")
    return digits if 5 <= len(digits) <= 15 else ""


def _letters(text: str) -> str:
    """Lower case without punctuation or blanks; accents and other scripts stay."""
    return "".join(c for c in text.lower() if unicodedata.category(c)[0] in "LMN")


def _name(text: str) -> str:
    return "".join(c for c in text.lower() if unicodedata.category(c)[0] in "LMNZ").strip()


def _gender(text: str) -> str:
    return {"m": "m", "male": "m", "man": "m", "f": "f", "female": "f", "woman": "f"}.get(text.lower(), "")


def _number(width: int, least: int, most: int) -> Callable[[str], str]:
    def read(text: str) -> str:
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
    "PHONE": _phone,
    "GEN": _gender,
    "DOBY": _number(4, 1900, 2100),
    "DOBM": _number(2, 1, 12),
    "DOBD": _number(2, 1, 31),
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


def normalised(key: str, value: object) -> str:
    """A value by Meta's rule for its key; empty where it is none."""
    return KEYS[key](str(value if value is not None else "").strip())


def hashed_row(schema: Sequence[str], values: Mapping[str, object]) -> list[str]:
    """One person's row.

    Args:
        schema: Keys of :data:`KEYS`, in the order of the columns.
        values: By key.

    Returns:
        A cell a key: SHA-256 in lower-case hex, "" where there is no value; EXTERN_ID and MADID as they are, which
        Meta wants unhashed.
    """
    cells = []
    for key in schema:
        text = normalised(key, values.get(key))
        cells.append(text if key in _PLAIN or not text else hashlib.sha256(text.encode()).hexdigest())
    return cells
