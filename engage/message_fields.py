"""The fields a message has on each channel, and which of them are templates.

A campaign's content is a mapping of these fields. Text fields are Jinja2 templates until they are rendered; after
rendering they are plain text (or HTML where `html` says so).
"""

from __future__ import annotations

from dataclasses import dataclass

from engage.vocabulary import Channel

__all__ = ["CONTENT", "Field"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a channel's message.

    Args:
        name: The key in ``[content]`` of ``campaign.toml``.
        required: The message makes no sense without it.
        html: Values put into it are HTML-escaped.
        template: It is a Jinja2 template; other fields are taken as they are.
        line: It becomes a header or an address, so it must stay on one line.
        file: The file beside ``campaign.toml`` that holds it, if it is not written inline.
        about: What it is, in a phrase.
    """

    name: str
    required: bool = False
    html: bool = False
    template: bool = True
    line: bool = False
    file: str = ""
    about: str = ""


_ON_SITE = (
    Field("title", line=True, about="heading"),
    Field("body", required=True, html=True, about="text; simple HTML is kept, the rest is sanitised"),
    Field("image", line=True, about="https address of a picture"),
    Field("deep_link", line=True, about="where a click on the message leads"),
    Field("actions", template=False, about="buttons: a list of {label, url, id}"),
    Field("style", template=False, about="{layout, position, close_button, backdrop, background, text, accent}"),
    Field("trigger", template=False, about="when to show it: {event, where, page, delay, scroll, exit_intent}"),
    Field("frequency", template=False, about="how often: {total, per_session, per_day, every}; once by default"),
    Field("priority", template=False, about="the higher is shown first"),
    Field("expires_after", template=False, about='how long it waits, e.g. "7 days"'),
)

CONTENT: dict[Channel, tuple[Field, ...]] = {
    Channel.EMAIL: (
        Field("subject", line=True, required=True, about="subject line"),
        Field("html", html=True, file="email.html.jinja", about="HTML part"),
        Field("text", file="email.txt.jinja", about="plain-text part"),
        Field("from", line=True, template=False, about="sender, as in a From header; the channel's `from` by default"),
        Field("reply_to", line=True, template=False, about="where answers go"),
        Field("preheader", line=True, about="the line mail clients show after the subject"),
        Field("attachments", template=False, about="files beside campaign.toml"),
        Field("transactional", template=False, about="true: no unsubscribe headers"),
    ),
    Channel.SMS: (
        Field("body", required=True, file="sms.txt.jinja", about="text"),
        Field("from", line=True, template=False, about="sender number or name"),
    ),
    Channel.PUSH: (
        Field("title", line=True, about="heading"),
        Field("body", required=True, file="push.txt.jinja", about="text"),
        Field("image", line=True, about="https address of a picture"),
        Field("deep_link", line=True, about="where a tap leads"),
        Field("data", template=False, about="key-value pairs for the app"),
        Field("ttl", template=False, about="seconds the push service keeps it"),
        Field("collapse_key", line=True, template=False, about="a later message with this key replaces it"),
        Field("sound", template=False, about="sound name"),
        Field("badge", template=False, about="number on the app's icon"),
    ),
    Channel.WEB_PUSH: (
        Field("title", line=True, required=True, about="heading"),
        Field("body", required=True, about="text"),
        Field("image", line=True, about="https address of a picture"),
        Field("icon", line=True, about="https address of the icon"),
        Field("deep_link", line=True, about="where a click leads"),
        Field("actions", template=False, about="buttons: a list of {action, title, url}"),
        Field("ttl", template=False, about="seconds the push service keeps it"),
        Field("urgency", template=False, about="very-low, low, normal or high"),
        Field("topic", line=True, template=False, about="a later message with this topic replaces it"),
    ),
    Channel.WEBHOOK: (
        Field("body", file="webhook.json.jinja", about="JSON text; the user's details by default"),
        Field("url", line=True, template=False, about="endpoint; the channel's `url` by default"),
        Field("method", line=True, template=False, about="POST, PUT or PATCH; the channel's `method` by default"),
        Field("headers", template=False, about="headers to add"),
        Field("type", line=True, template=False, about='event type in the payload, e.g. "campaign.user"'),
    ),
    Channel.IN_APP: _ON_SITE,
    Channel.APP_INBOX: (*_ON_SITE, Field("pinned", template=False, about="true: stays on top")),
    Channel.WEB_POPUP: _ON_SITE,
    Channel.WEB_EXIT_INTENT: _ON_SITE,
    Channel.FACEBOOK_AUDIENCE: (),
}
"""The fields of each channel's messages, in the order an editor shows them."""
