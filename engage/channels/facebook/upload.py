"""An audience as a file that somebody uploads by hand in Ads Manager.

Source: https://www.facebook.com/business/help/2082575038703844
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from engage.channels.facebook.hashing import hashed, normalised

__all__ = ["HEADERS", "upload_columns"]

HEADERS: Mapping[str, str] = {
    "EMAIL": "email",
    "PHONE": "phone",
    "MADID": "madid",
    "FN": "fn",
    "LN": "ln",
    "ZIP": "zip",
    "CT": "ct",
    "ST": "st",
    "COUNTRY": "country",
    "DOBY": "doby",
    "GEN": "gen",
}
"""Headers of a file by Meta's keys; EXTERN_ID, FI, DOBM and DOBD are known to its API alone."""
_FORMULA = re.compile(r"[=+\-@\t\r|]")


def upload_columns(
    columns: Mapping[str, Sequence[object]], countries: Sequence[object], *, plain: bool = False
) -> dict[str, list[str]]:
    """The columns of a file.

    Args:
        columns: What is known of each person, by Meta's keys.
        countries: Where each person is; of use for phone numbers.
        plain: Normalised and not hashed: Ads Manager hashes it in the browser then.

    Returns:
        A column a header, of the keys that a file may have. In the clear, a value that a spreadsheet would run as a
        formula is left empty.
    """
    made = {}
    for key, header in HEADERS.items():
        if key not in columns:
            continue
        pairs = zip(columns[key], countries, strict=True)
        values = [normalised(key, value, str(country or "")) for value, country in pairs]
        if plain:
            made[header] = ["" if _FORMULA.match(value) else value for value in values]
        else:
            made[header] = [hashed(key, value) for value in values]
    return made
