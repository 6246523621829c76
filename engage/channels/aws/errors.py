"""What Amazon's services answer: JSON, or XML of the query protocol, and an error's name in either."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import httpx

__all__ = ["error_of", "xml_text"]


def error_of(response: httpx.Response) -> tuple[str, str, Mapping[str, Any]]:
    """The name and the text of an error, and the answer as a table.

    The name stands in a header or in the body, with a namespace before it or an address behind it:
    ``com.amazon.coral.service#ThrottlingException:http://…``.

    Args:
        response: A JSON answer.

    Returns:
        Name, text, table; empty where there is none.
    """
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        answer = {}
    answer = answer if isinstance(answer, dict) else {}
    said = response.headers.get("x-amzn-errortype") or str(answer.get("__type") or answer.get("code") or "")
    name = said.partition(":")[0].rpartition("#")[2]
    text = str(answer.get("message") or answer.get("Message") or "")
    return name if re.fullmatch(r"\w{1,80}", name) else "", text, answer


def xml_text(body: str, tag: str) -> str:
    """The text of the first element of that name in a flat answer of the query protocol; empty where there is none.

    Read with a pattern and not as XML, since an answer's entities and depth are nobody's friend.
    """
    found = re.search(rf"<{re.escape(tag)}>([^<>]{{0,2000}})</{re.escape(tag)}>", body)
    return found[1].strip() if found else ""
