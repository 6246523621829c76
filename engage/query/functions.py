"""What SQL cannot do by itself: phone numbers as they are dialled."""

from __future__ import annotations

import duckdb
import pyarrow as pa
from duckdb.func import FunctionNullHandling, PythonUDFType

from engage.channels.addresses import E164, e164, known_country
from engage.query.files import literal

__all__ = ["add_functions"]


def add_functions(connection: duckdb.DuckDBPyConnection, country: str | None) -> None:
    """Let SQL say ``sms_address(phone, country)``: the number in E.164, or as it is written where it is none.

    Args:
        connection: Where.
        country: Whose numbers are that have no country's code, where `country` is null or unknown.
    """

    def dialled(numbers: pa.ChunkedArray, countries: pa.ChunkedArray) -> pa.Array:
        pairs = zip(numbers.to_pylist(), countries.to_pylist(), strict=True)
        found = [e164(number, known_country(whose) or country) if number else None for number, whose in pairs]
        return pa.array(found, pa.string())

    connection.create_function(
        "e164",
        dialled,
        ["VARCHAR", "VARCHAR"],
        "VARCHAR",
        type=PythonUDFType.ARROW,
        null_handling=FunctionNullHandling.SPECIAL,
    )
    # Most numbers are written right: only the others are looked at one by one.
    connection.execute(
        f"create macro sms_address(phone, country) as case when regexp_full_match(trim(phone), {literal(E164)}) "
        "then trim(phone) else coalesce(e164(trim(phone), country), nullif(trim(phone), '')) end"
    )
