"""Who fetched a picture or followed a link: a person, or a machine that looked before them.

What is told apart by its name only is told apart here; a scanner that calls itself a browser is not.

Sources: Apple, Mail Privacy Protection (fetches every picture of every mail through a proxy that calls itself
``Mozilla/5.0`` and nothing more); Google, images in Gmail (``GoogleImageProxy``, fetched when a person opens the
mail); the documentation of the scanners and previewers named below.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["fetched_by"]

_APPLE = re.compile(r"Mozilla/5\.0")
_PROXIES = (("gmail", re.compile(r"GoogleImageProxy")), ("yahoo", re.compile(r"YahooMailProxy")))
_SCANNERS = re.compile(
    r"barracuda|mimecast|proofpoint|symantec|messagelabs|trend ?micro|sophos|fireeye|ironport|cisco-?secure|forcepoint|"
    r"safelinks|office365|ms-office|msoffice-scan|urldefense|virustotal|zscaler|avast|"
    r"bot\b|bot/|crawl|spider|slurp|preview|facebookexternalhit|whatsapp|telegram|skypeuripreview|embedly|"
    r"curl/|wget/|python-|python/|java/|okhttp|go-http-client|libwww|httpclient|axios|node-fetch|headless",
    re.IGNORECASE,
)


def fetched_by(method: str, headers: Mapping[str, str], *, is_picture: bool) -> dict[str, str]:
    """Properties of a view or click that say what is known of who fetched it.

    Args:
        method: The request's method; people send GET.
        headers: Its headers.
        is_picture: It was the picture that tells of an opening, not a link.

    Returns:
        ``machine`` where no person need have looked: ``apple``, ``scanner`` or ``prefetch``. ``proxy`` where a person
        did, behind one: ``gmail`` or ``yahoo``. Empty for a person.
    """
    agent = headers.get("user-agent", "").strip()
    for name, pattern in _PROXIES:
        if pattern.search(agent):
            return {"proxy": name}
    machine = ""
    if is_picture and _APPLE.fullmatch(agent):
        machine = "apple"
    elif method != "GET" or not agent or _SCANNERS.search(agent):
        machine = "scanner"
    elif any("prefetch" in headers.get(name, "").lower() for name in ("purpose", "sec-purpose", "x-moz", "x-purpose")):
        machine = "prefetch"
    return {"machine": machine} if machine else {}
