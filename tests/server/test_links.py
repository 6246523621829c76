"""Mail from a campaign to a real mail server, and what its reader then does with the links in it."""

from __future__ import annotations

import email
import email.policy
import re
import socket
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiosmtpd.controller import Controller

import engage
from engage.content.links import Links, Who

PERSON = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
HTML = """<html><body><p>Hi {{ profile.name }}</p>
<a class="x" href='https://shop.example/a?b=1&amp;c=2'>Shop</a> <a data-track="off" href="https://plain.example/">P</a>
<a href="mailto:hi@example.com">Mail</a> <a href="{{ unsubscribe_url }}">Unsubscribe</a></body></html>"""


TOPICS = """
[tool.engage.topics.news]
en = "News <b>"
de = "Neues"
channels = ["email"]
"""


@pytest.fixture
def workspace(tmp_path: Path) -> engage.Workspace:
    """A workspace with a topic."""
    space = engage.Workspace.create(tmp_path / "workspace")
    file = space.root / "pyproject.toml"
    file.write_text(file.read_text() + TOPICS)
    return engage.Workspace.open(space.root)


class Mails:
    """A mail server's handler that keeps what it took."""

    def __init__(self) -> None:
        self.taken: list[EmailMessage] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.taken.append(email.message_from_bytes(envelope.content, policy=email.policy.default))  # type: ignore[arg-type]
        return "250 taken"


@pytest.fixture
def mails() -> Iterator[tuple[Mails, int]]:
    handler = Mails()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield handler, port
    finally:
        controller.stop()


@pytest.fixture
def sent(client: httpx.Client, workspace: engage.Workspace, mails: tuple[Mails, int]) -> Callable[..., EmailMessage]:
    """Sends a campaign to Ada and gives the mail she gets."""
    handler, port = mails
    options = f"""
[tool.engage.server]
public_url = "{str(client.base_url).rstrip("/")}"
[tool.engage.channels.email]
provider = "smtp"
host = "127.0.0.1"
port = {port}
tls = "none"
from = "Shop <shop@example.com>"
"""
    file = workspace.root / "pyproject.toml"
    file.write_text(file.read_text() + options)
    workspace.land_profiles([{"user_id": "ada", "email": "Ada@example.com", "name": "Ada", "language": "de"}])

    def send(name: str = "hello", **values: Any) -> EmailMessage:
        space = engage.Workspace.open(workspace.root)
        content = {"subject": "Hello", "html": HTML}
        campaign = {"title": "Hello", "channel": "email", "everyone": True, "content": content, **values}
        summary = space.create_campaign(name, campaign).send()
        assert summary.counts() == {"sent": 1}, summary
        return handler.taken[-1]

    return send


def html_of(mail: EmailMessage) -> str:
    part = mail.get_body(("html",))
    assert part is not None
    return str(part.get_content())


def links_of(mail: EmailMessage) -> list[str]:
    return re.findall(r"""href=["']([^"']*)["']""", html_of(mail))


def pixel_of(mail: EmailMessage) -> str:
    return re.findall(r'<img src="([^"]*)"', html_of(mail))[0]


def report(workspace: engage.Workspace, name: str = "hello") -> dict[str, Any]:
    return next(row for row in workspace.campaign_report().to_dicts() if row["campaign_id"] == name)


def test_a_reader_opens_clicks_and_leaves(
    sent: Any, client: httpx.Client, workspace: engage.Workspace, eventually: Any
) -> None:
    mail = sent(tracking={"utm": {"source": "mail"}})
    shop, plain, mailto, unsubscribe = links_of(mail)
    base = str(client.base_url).rstrip("/")
    assert (plain, mailto) == ("https://plain.example/", "mailto:hi@example.com")
    assert mail["List-Unsubscribe"].strip() == f"<{unsubscribe}>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert shop.startswith(f"{base}/c/")

    picture = httpx.get(pixel_of(mail), headers=PERSON)
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/gif")
    answer = httpx.get(shop, headers=PERSON)
    assert answer.status_code == 302
    where = "https://shop.example/a?b=1&c=2&utm_source=mail&utm_medium=email&utm_campaign=hello"
    assert answer.headers["location"] == where
    assert answer.headers["referrer-policy"] == "no-referrer"

    # Looking at the page changes nothing: scanners follow links.
    page = httpx.get(unsubscribe)
    assert page.status_code == 200
    assert 'lang="de"' in page.text
    told = httpx.post(unsubscribe, data={"List-Unsubscribe": "One-Click"})
    assert told.status_code == 200
    eventually(lambda: workspace.suppressions("email").height == 1)

    (suppression,) = workspace.suppressions("email").to_dicts()
    assert (suppression["address"], suppression["user_id"], suppression["reason"]) == (
        "ada@example.com",
        "ada",
        "unsubscribed",
    )
    assert workspace.sql("select subscribed from consents where user_id = 'ada' and topic = ''").rows() == [(False,)]
    row = report(workspace)
    assert [row[name] for name in ("sent", "viewed", "viewed_by_people", "clicked", "unsubscribed")] == [1] * 5
    links = workspace.sql(
        "select properties->>'$.url' as url, labels from notifications where event_name like '%Clicked'"
    )
    assert links["url"].to_list() == [where]
    again = engage.Workspace.open(workspace.root)
    again.create_campaign("more", {"channel": "email", "everyone": True, "content": {"subject": "x", "text": "y"}})
    assert again.campaign("more").plan().run.counts.excluded == {"unsubscribed": 1}


def test_what_machines_look_at_is_told_apart(
    sent: Any, client: httpx.Client, workspace: engage.Workspace, eventually: Any
) -> None:
    mail = sent()
    shop = links_of(mail)[0]
    agents = [
        "Mozilla/5.0",
        "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    ]
    httpx.get(pixel_of(mail), headers={"user-agent": agents[0]})
    assert httpx.head(shop, headers=PERSON).status_code == 302
    assert httpx.get(shop, headers={"user-agent": "Barracuda Sentinel (EE)"}).status_code == 302
    eventually(
        lambda: workspace.sql("select 1 from notifications where event_name = 'Notification Clicked'").height > 0
    )
    row = report(workspace)
    assert (row["viewed"], row["viewed_by_people"], row["clicked"], row["clicked_by_people"]) == (1, 0, 1, 0)

    httpx.get(pixel_of(mail), headers={"user-agent": agents[1]})
    httpx.get(shop, headers=PERSON)
    eventually(lambda: report(workspace)["clicked_by_people"] == 1)
    told = "select properties->>'$.machine' as m, properties->>'$.proxy' as p from notifications where "
    views = workspace.sql(told + "event_name = 'Notification Viewed' order by event_time").rows()
    assert views == [("apple", None), (None, "gmail")]
    assert report(workspace)["viewed_by_people"] == 1


def test_one_says_on_a_page_what_one_wants(sent: Any, client: httpx.Client, workspace: engage.Workspace) -> None:
    mail = sent(topic="news")
    preferences = links_of(mail)[-1].replace("/u/", "/p/")

    def boxes(page: httpx.Response) -> dict[str, bool]:
        assert page.status_code == 200, page.text
        found = re.findall(r'<input type="checkbox" name="want" value="([^"]*)"( checked)?>', page.text)
        return {name: bool(checked) for name, checked in found}

    shown = ["email/", "email/news"]

    def want(*names: str) -> dict[str, bool]:
        answer = httpx.post(preferences, data={"shown": shown, "want": list(names)})
        assert 'role="status"' in answer.text
        return boxes(answer)

    def left_out(**values: Any) -> dict[str, int]:
        space = engage.Workspace.open(workspace.root)
        name = f"ask-{len(space.campaigns())}"
        content = {"subject": "x", "text": "y"}
        space.create_campaign(name, {"channel": "email", "everyone": True, "content": content, **values})
        return dict(space.campaign(name).plan().run.counts.excluded)

    page = httpx.get(preferences)
    assert boxes(page) == {"email/": True, "email/news": True}
    assert "Neues" in page.text
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]

    assert want("email/") == {"email/": True, "email/news": False}
    assert (left_out(), left_out(topic="news")) == ({}, {"unsubscribed_topic": 1})
    assert want("email/news") == {"email/": False, "email/news": True}
    assert (left_out(), left_out(topic="news")) == ({"unsubscribed": 1}, {})
    assert want() == {"email/": False, "email/news": False}
    assert workspace.suppressions("email").height == 1
    assert (left_out(), left_out(topic="news")) == ({"unsubscribed": 1}, {"unsubscribed": 1})
    assert want("email/", "email/news") == {"email/": True, "email/news": True}
    assert workspace.suppressions("email").is_empty()
    assert (left_out(), left_out(topic="news")) == ({}, {})
    answer = httpx.post(preferences, data={"shown": shown, "want": shown, "none": "1"})
    assert boxes(answer) == {"email/": False, "email/news": False}
    assert want("email/") == {"email/": True, "email/news": False}
    httpx.post(preferences.replace("/p/", "/u/"), data={"List-Unsubscribe": "One-Click"})
    assert want("email/") == {"email/": True, "email/news": False}
    assert (left_out(), left_out(topic="news")) == ({}, {"unsubscribed_topic": 1})


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("fr-CH, fr;q=0.9, en;q=0.8", "fr"),
        ("nl, es;q=0.5", "es"),
        ("xx", "en"),
        ("en;q=0.1, de", "de"),
        (";q=x,,", "en"),
    ],
)
def test_a_page_speaks_the_readers_language(client: httpx.Client, accept: str, language: str) -> None:
    _, preferences = Links(str(client.base_url)).subscriptions(Who("gone", "m1", "nobody"))
    page = httpx.get(preferences, headers={"accept-language": accept})
    assert page.status_code == 200
    assert f'<html lang="{language}">' in page.text


def test_tracking_can_be_switched_off(sent: Any) -> None:
    mail = sent(tracking=False)
    shop, _, _, unsubscribe = links_of(mail)
    assert shop == "https://shop.example/a?b=1&amp;c=2"
    assert "<img" not in html_of(mail)
    assert mail["List-Unsubscribe"].strip() == f"<{unsubscribe}>"


def test_links_that_were_not_made_here_lead_nowhere(client: httpx.Client) -> None:
    links = Links(str(client.base_url).rstrip("/"))
    who = Who("hello-once", "m1", "ada")
    good = links.click(who, "https://shop.example/")
    token = good.rpartition("/")[2]
    elsewhere = Links("")._signers["subscriptions"].sign([*who, "https://evil.example/"])
    tampered = [
        token[:-2] + ("AA" if token[-2:] != "AA" else "BB"),
        "x" + token,
        "https://evil.example",
        "%2F%2Fevil.example",
        "..%2F..%2Fetc%2Fpasswd",
        "A" * 9000,
        "é.ü",
    ]
    assert client.get(f"/c/{elsewhere}").status_code == 404
    for path in [f"/{kind}/{text}" for kind in "cup" for text in tampered]:
        for ask in (client.get, client.post):
            answer = ask(path)
            assert answer.status_code in (404, 405), (path, answer.status_code)
            assert "evil.example" not in answer.text + answer.headers.get("location", "")
    assert client.get(f"/o/{token}.gif").status_code == 200  # a picture, which notes nothing
    assert client.get(good.removeprefix(str(client.base_url)) + "?url=https://evil.example").headers["location"] == (
        "https://shop.example/"
    )


def test_a_link_cannot_add_headers_to_the_answer(client: httpx.Client) -> None:
    who = Who("hello-once", "m1", "ada")
    link = Links(str(client.base_url).rstrip("/")).click(
        who, "https://shop.example/\r\nSet-Cookie: a=b\r\n\r\n<script>"
    )
    answer = httpx.get(link)
    assert answer.status_code == 302
    assert "set-cookie" not in answer.headers
    assert answer.headers["location"].startswith("https://shop.example/%0D%0A")


def test_a_post_without_the_words_of_rfc_8058_unsubscribes_nobody(
    client: httpx.Client, workspace: engage.Workspace
) -> None:
    unsubscribe, _ = Links(str(client.base_url).rstrip("/")).subscriptions(Who("gone", "m1", "ada"))
    assert httpx.post(unsubscribe).status_code == 404
    assert httpx.post(unsubscribe, content=b"x" * 100_000).status_code == 413
    parts = {"List-Unsubscribe": (None, "One-Click")}
    assert httpx.post(unsubscribe, files=parts).status_code == 200
    _, preferences = Links(str(client.base_url).rstrip("/")).subscriptions(Who("gone", "m1", "ada"))
    httpx.get(preferences)  # lands what was said
    assert workspace.sql("select user_id, subscribed from consents").rows() == [("ada", False)]
