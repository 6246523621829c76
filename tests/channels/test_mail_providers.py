"""What every e-mail provider makes of the same mail: parts, attachments, one-click unsubscription."""

from __future__ import annotations

import base64
import email
import email.policy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

import pytest

from engage.channels.email.mime import build_email
from engage.channels.message import Message
from engage.errors import ContentError
from tests.channels.contract import build

NAMES = ("sendgrid", "postmark", "mailgun", "ses", "smtp")
ALL = pytest.mark.parametrize("name", NAMES)
URL = "https://engage.example.com/u/token"
PDF = b"%PDF-1.7\x00\xff\n" * 50


@dataclass
class Read:
    """A mail as the person gets it."""

    headers: Mapping[str, str]
    text: str
    html: str
    files: list[tuple[str, str, bytes]]


def mail(**content: Any) -> Message:
    given = {"subject": "Hi", "text": "Hello", "unsubscribe_url": URL, **content}
    return Message("m1", "ada", "email", "ada@example.com", given, "news", "news-once")


def parsed(raw: bytes) -> Read:
    found = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    plain, page = found.get_body(("plain",)), found.get_body(("html",))
    files = [
        (part.get_filename() or "", part.get_content_type(), part.get_payload(decode=True))
        for part in found.iter_attachments()
    ]
    return Read(
        {name.lower(): str(value) for name, value in found.items()},
        plain.get_content() if plain else "",
        page.get_content() if page else "",
        files,  # type: ignore[arg-type]
    )


def read(name: str, message: Message, **options: Any) -> Read:
    """Read a provider's request back."""
    if name == "smtp":
        return parsed(build_email(message, sender="ada@example.com").as_bytes())
    request = build(name, **options).request([message])
    if name == "mailgun":
        kind = b"content-type: " + request.headers["content-type"].encode() + b"\r\n\r\n"
        form = email.message_from_bytes(kind + request.content, policy=email.policy.HTTP)
        [whole] = [part for part in form.iter_parts() if part.get_content_type() == "message/rfc822"]  # type: ignore[attr-defined]
        return parsed(whole.get_content().as_bytes())
    body = json.loads(request.content)
    if name == "ses":
        return parsed(base64.b64decode(body["Content"]["Raw"]["Data"]))
    if name == "sendgrid":
        parts = {part["type"]: part["value"] for part in body["content"]}
        headers = body["personalizations"][0].get("headers", {})
        files = [(f["filename"], f["type"], base64.b64decode(f["content"])) for f in body.get("attachments", ())]
        lower = {key.lower(): value for key, value in headers.items()}
        return Read({"subject": body["subject"], **lower}, parts["text/plain"], parts.get("text/html", ""), files)
    [one] = body
    headers = {header["Name"].lower(): header["Value"] for header in one.get("Headers", ())}
    files = [(f["Name"], f["ContentType"], base64.b64decode(f["Content"])) for f in one.get("Attachments", ())]
    return Read({"subject": one["Subject"], **headers}, one["TextBody"], one.get("HtmlBody", ""), files)


@ALL
def test_one_click_unsubscription_is_on_all_but_transactional_mail(name: str) -> None:
    headers = read(name, mail()).headers
    assert headers["list-unsubscribe"] == f"<{URL}>", "exactly one https address (RFC 8058, 3.1)"
    assert headers["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    for content in ({"transactional": True}, {"unsubscribe_url": ""}):
        assert not [key for key in read(name, mail(**content)).headers if key.startswith("list-")]
    with pytest.raises(ContentError):
        read(name, mail(unsubscribe_url=f"{URL}\r\nBcc: eve@example.com"))


@ALL
def test_attachments_arrive_whole(name: str) -> None:
    files = [
        {"name": "Übersicht.pdf", "content": PDF},
        {"name": "plan.csv", "content": "a,b\r\n1,ü\r\n".encode()},
        {"name": "unknown", "content": b""},
    ]
    found = read(name, mail(html="<p>Hi</p>", attachments=files))
    assert found.files == [
        ("Übersicht.pdf", "application/pdf", PDF),
        ("plan.csv", "text/csv", "a,b\r\n1,ü\r\n".encode()),
        ("unknown", "application/octet-stream", b""),
    ]
    assert "Hello" in found.text
    assert "<p>Hi</p>" in found.html
    with pytest.raises(ContentError):
        read(name, mail(attachments=[{"name": "a\r\nb.txt", "content": b""}]))
    with pytest.raises(ContentError):
        read(name, mail(attachments=[{"name": "never-read.txt"}]))


@ALL
def test_styles_are_inlined_and_there_is_always_a_plain_part(name: str) -> None:
    html = "<html><head><style>p { color: red }</style></head><body><p>Grüße</p></body></html>"
    found = read(name, mail(text="", html=html, preheader="Look inside"))
    assert 'style="color: red' in found.html
    assert "Look inside" in found.html
    assert "Grüße" in found.text
    assert "color" not in found.text
    assert read(name, mail()).html == ""


@pytest.mark.parametrize("track", [False, True])
def test_a_provider_tracks_only_where_it_is_told_to(track: bool) -> None:
    """Opens and clicks are counted by the links of the workspace's own server; a provider's would count them twice."""
    options = {"tracking": True} if track else {}
    sendgrid = json.loads(build("sendgrid", **options).request([mail()]).content)["tracking_settings"]
    assert sendgrid == {
        "click_tracking": {"enable": track, "enable_text": track},
        "open_tracking": {"enable": track},
        "subscription_tracking": {"enable": False},
    }
    [postmark] = json.loads(build("postmark", **options).request([mail()]).content)
    assert (postmark["TrackOpens"], postmark["TrackLinks"]) == (track, "HtmlAndText" if track else "None")
    mailgun = build("mailgun", **options).request([mail()]).content
    assert (b'name="o:tracking"\r\n\r\n' + (b"yes" if track else b"no")) in mailgun
    ses = json.loads(build("ses", **({"configuration_set": "tracked"} if track else {})).request([mail()]).content)
    assert ses.get("ConfigurationSetName") == ("tracked" if track else None), "it tracks by the set alone"
