"""An e-mail as it goes over the wire (RFC 5322), with nothing in it that its writer did not put there."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Mapping, Sequence
from email.encoders import encode_base64
from email.header import Header
from email.message import Message as Mail
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import Compat32
from email.utils import formataddr, formatdate, parseaddr
from hashlib import blake2b
from html.parser import HTMLParser
from typing import Any

from engage.channels.message import Message
from engage.errors import ContentError, InvalidAddressError

__all__ = ["build_email", "mailbox", "parts_of", "plain_text", "read_attachment", "sender_of", "unsubscribe_headers"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}")
_DOMAIN = re.compile(r"[\w](?:[\w.-]{0,252}[\w])?")


def build_email(message: Message, *, sender: str) -> Mail:
    """Build the message to send.

    Args:
        message: One rendered e-mail: `subject`, `html`, `text`, and optionally `from`, `reply_to`, `preheader`,
            `attachments` (``{"name", "content"}``, bytes), `unsubscribe_url`, `transactional`.
        sender: The From header where the content has none.

    Returns:
        A message with a plain-text part (made from the HTML when there is none), one-click unsubscribe headers
        (RFC 8058) where there is an `unsubscribe_url` and it is not transactional, and a Message-ID of our own, the
        same however often it is built.

    Raises:
        ContentError: A header has a line break, or an address or attachment cannot be used.
    """
    content = message.content
    sender = str(content.get("from") or sender)
    text, html = parts_of(content)
    mark = blake2b(message.message_id.encode(), digest_size=15).hexdigest()
    mail = _body(text, html, content.get("attachments") or (), mark)
    mail["From"] = _address(sender, "from")
    mail["To"] = _address(message.address, "address")
    mail["Subject"] = _text(_line(content.get("subject") or "", "subject"))
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{message.message_id}@{sender_of(sender).rpartition('@')[2] or 'localhost'}>"
    if content.get("reply_to"):
        mail["Reply-To"] = _address(str(content["reply_to"]), "reply_to")
    for name, value in unsubscribe_headers(content).items():
        mail[name] = value
    return mail


def unsubscribe_headers(content: Mapping[str, Any]) -> dict[str, str]:
    """The headers of one-click unsubscription; none on transactional mail, or without an `unsubscribe_url`.

    Raises:
        ContentError: The address has a line break.

    Source: RFC 8058, 3.1
    """
    if not content.get("unsubscribe_url") or content.get("transactional"):
        return {}
    url = _line(content["unsubscribe_url"], "unsubscribe_url")
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def parts_of(content: Mapping[str, Any]) -> tuple[str, str]:
    """The plain-text and the HTML part of an e-mail's content.

    Args:
        content: `html`, `text` and `preheader`, as rendered.

    Returns:
        The text, made from the HTML where there is none, and the HTML with the preheader and inlined styles; empty
        where there is no HTML.
    """
    html = str(content.get("html") or "")
    if html and content.get("preheader"):
        html = _with_preheader(html, str(content["preheader"]))
    return str(content.get("text") or plain_text(html)), _inlined(html) if html else ""


class _Policy(Compat32):
    """Writes a header that fits on its line as it is, without the search for where to fold it."""

    def fold_binary(self, name: str, value: Any) -> bytes:
        if type(value) is str and len(name) + len(value) < 76 and value.isascii() and not _CONTROL.search(value):
            return f"{name}: {value}{self.linesep}".encode("ascii")
        return super().fold_binary(name, value)


_POLICY = _Policy()


def _body(text: str, html: str, attachments: Sequence[Any], mark: str) -> Mail:
    """The parts, nested as RFC 2046 has it: what shows the same thing is alternative, what is added is mixed.

    Built from the classes of the standard library that do not parse each header anew: five times as fast. With a
    boundary of our own no text is searched for one: a line of "=_" is in no encoded part, and nobody who writes a text
    knows the ``mark`` of the message it will be in.
    """
    body: Mail = _part(text, "plain")
    if html:
        body = MIMEMultipart("alternative", f"=_a{mark}", [body, _part(html, "html")], policy=_POLICY)
    if attachments:
        body = MIMEMultipart("mixed", f"=_m{mark}", [body, *map(_attachment, attachments)], policy=_POLICY)
    return body


def _part(text: str, kind: str) -> MIMEText:
    # Lines beyond 998 octets may not be sent as they are (RFC 5322, 2.1.1); other text is easier to read bare.
    bare = text.isascii() and max(map(len, text.splitlines()), default=0) < 990
    return MIMEText(text, kind, "us-ascii" if bare else "utf-8", policy=_POLICY)


def _text(value: str) -> str:
    return value if value.isascii() else Header(value, "utf-8").encode()


def sender_of(header: str) -> str:
    """The bare address of a From header, for the envelope."""
    return parseaddr(header)[1]


def _line(value: object, field: str) -> str:
    text = str(value)
    if _CONTROL.search(text):
        raise ContentError(f"{field} has a line break or control character", where="e-mail", hint="keep it on one line")
    return text


def mailbox(value: str, field: str) -> tuple[str, str]:
    """The name and the address of a header such as ``Ada <ada@example.com>``; a domain beyond ASCII in Punycode.

    Raises:
        ContentError: It has a line break, or is no e-mail address; an InvalidAddressError where it is the person's.
    """
    wrong = InvalidAddressError if field == "address" else ContentError
    if _CONTROL.search(value):
        raise wrong(f"{field} has a line break or control character", where="e-mail", hint="keep it on one line")
    name, address = parseaddr(value)
    user, at, domain = address.rpartition("@")
    if not _LOCAL.fullmatch(user) or not _DOMAIN.fullmatch(domain) or not at:
        raise wrong(f"{field} is not an e-mail address", where="e-mail", hint="write name@example.com")
    if not domain.isascii():
        address = f"{user}@{domain.encode('idna').decode()}"
    return name, address


def _address(value: str, field: str) -> str:
    return formataddr(mailbox(value, field))


def _with_preheader(html: str, preheader: str) -> str:
    escaped = preheader.replace("&", "&amp;").replace("<", "&lt;")
    hidden = f'<div style="display:none;max-height:0;overflow:hidden">{escaped}</div>'
    opened, count = re.subn(r"(<body[^>]*>)", lambda match: match[1] + hidden, html, count=1, flags=re.IGNORECASE)
    return opened if count else hidden + html


def _inlined(html: str) -> str:
    try:
        import css_inline
    except ImportError:  # an extra: without it the mail keeps its <style> block
        return html
    inliner = css_inline.CSSInliner(load_remote_stylesheets=False, keep_style_tags=True)
    try:
        return str(inliner.inline(html)) if "<style" in html.lower() else html
    except css_inline.InlineError as error:
        raise ContentError(f"the style sheet cannot be inlined: {error}", where="e-mail html") from error


def read_attachment(attachment: Mapping[str, Any]) -> tuple[str, str, bytes]:
    """An attachment's file name, media type and content.

    Args:
        attachment: ``{"name", "content"}``, the content as bytes.

    Raises:
        ContentError: Its name is no line, or its content is not there.
    """
    name, content = _line(attachment["name"], "attachment"), attachment.get("content")
    if not isinstance(content, bytes):
        raise ContentError(f"attachment {name} was not read", where="e-mail", hint="put it beside campaign.toml")
    return name, mimetypes.guess_type(name)[0] or "application/octet-stream", content


def _attachment(attachment: Mapping[str, Any]) -> Mail:
    name, kind, content = read_attachment(attachment)
    part = MIMEBase(*kind.split("/", 1), policy=_POLICY)
    part.set_payload(content)
    encode_base64(part)
    part.add_header("Content-Disposition", "attachment", filename=name)
    return part


class _Text(HTMLParser):
    """Collects what a reader would see."""

    _BLOCKS = frozenset(["p", "div", "br", "tr", "h1", "h2", "h3", "h4", "li", "table", "ul", "ol", "hr"])

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._silent = 0
        self._links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("style", "script", "title", "head"):
            self._silent += 1
        if tag in self._BLOCKS:
            self.parts.append("\n")
        if tag == "li":
            self.parts.append("- ")
        if tag == "a":
            self._links.append(dict(attrs).get("href") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "script", "title", "head"):
            self._silent = max(0, self._silent - 1)
        if tag in self._BLOCKS:
            self.parts.append("\n")
        if tag == "a" and self._links and (link := self._links.pop()):
            self.parts.append(f" ({link})")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(re.sub(r"\s+", " ", data))


def plain_text(html: str) -> str:
    """The plain-text part of an HTML mail: its text, with link targets behind their words."""
    parser = _Text()
    parser.feed(html)
    parser.close()
    lines = (line.strip() for line in "".join(parser.parts).splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"
