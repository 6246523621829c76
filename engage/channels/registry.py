"""Which providers there are, and how one is chosen: by configuration alone.

``[tool.engage.channels.email] provider = "smtp"`` and a few options choose it; secrets come from the environment. A
provider's libraries are imported only when it is built.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from engage import settings as environment
from engage.channels.provider import Provider
from engage.errors import ConfigurationError
from engage.vocabulary import PULLED_CHANNELS, Channel

__all__ = ["PROVIDERS", "Configured", "Setup", "provider", "setup"]


@dataclass(frozen=True, slots=True)
class Setup:
    """What a provider needs to be told.

    Args:
        name: The word in ``provider = "…"``.
        channels: The channels it serves.
        factory: ``module:class`` of it, built with a :class:`Configured`.
        options: Options with their defaults; one without a default (``...``) must be given.
        secrets: Environment variables by the name the provider calls them; ``<name>_env = "OTHER"`` names another.
        optional_secrets: Those it can do without.
        extra: The optional dependency it needs, as in ``pip install 'engage[channels]'``.
    """

    name: str
    channels: tuple[Channel, ...]
    factory: str
    options: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    optional_secrets: frozenset[str] = frozenset()
    extra: str = ""


@dataclass(frozen=True, slots=True)
class Configured:
    """A provider's options and secrets, complete.

    Args:
        channel: The channel it is to serve.
        options: Every option it has.
        secrets: Every secret it has.
        outbox: The folder that stands for the outside world while nothing is configured.
    """

    channel: str
    options: Mapping[str, Any]
    secrets: Mapping[str, str]
    outbox: Path


_MAIL = {"from": "engage@localhost"}
_AWS = {"access_key": "AWS_ACCESS_KEY_ID", "secret_key": "AWS_SECRET_ACCESS_KEY", "session_token": "AWS_SESSION_TOKEN"}

PROVIDERS: tuple[Setup, ...] = (
    Setup("outbox", tuple(Channel), "engage.channels.outbox:Outbox", _MAIL),
    Setup(
        "smtp",
        (Channel.EMAIL,),
        "engage.channels.email.smtp:Smtp",
        {**_MAIL, "host": "localhost", "port": 25, "tls": "starttls", "username": "", "timeout": 30, "verify": True},
        {"password": "SMTP_PASSWORD"},
        frozenset({"password"}),
    ),
    Setup(
        "sendgrid",
        (Channel.EMAIL,),
        "engage.channels.email.sendgrid:SendGrid",
        {**_MAIL, "base_url": "https://api.sendgrid.com", "sandbox": False, "tracking": False},
        {"api_key": "SENDGRID_API_KEY", "webhook_key": "SENDGRID_WEBHOOK_KEY"},
        frozenset({"webhook_key"}),
    ),
    Setup(
        "postmark",
        (Channel.EMAIL,),
        "engage.channels.email.postmark:Postmark",
        {
            **_MAIL,
            "base_url": "https://api.postmarkapp.com",
            "stream": "broadcast",
            "batch_size": 100,
            "tracking": False,
        },
        {"token": "POSTMARK_SERVER_TOKEN", "callback_login": "POSTMARK_CALLBACK_LOGIN"},
        frozenset({"callback_login"}),
    ),
    Setup(
        "mailgun",
        (Channel.EMAIL,),
        "engage.channels.email.mailgun:Mailgun",
        {**_MAIL, "domain": ..., "base_url": "https://api.mailgun.net", "test": False, "tracking": False},
        {"api_key": "MAILGUN_API_KEY", "signing_key": "MAILGUN_SIGNING_KEY"},
        frozenset({"signing_key"}),
    ),
    Setup(
        "ses",
        (Channel.EMAIL,),
        "engage.channels.email.ses:Ses",
        {**_MAIL, "region": ..., "configuration_set": "", "topic": "", "base_url": ""},
        _AWS,
        frozenset({"session_token"}),
    ),
    Setup(
        "twilio",
        (Channel.SMS,),
        "engage.channels.sms.twilio:Twilio",
        {"account": ..., "from": ..., "base_url": "https://api.twilio.com", "callback_url": "", "validity": 14_400},
        {"auth_token": "TWILIO_AUTH_TOKEN"},
    ),
    Setup(
        "vonage",
        (Channel.SMS,),
        "engage.channels.sms.vonage:Vonage",
        {"from": ..., "base_url": "https://rest.nexmo.com", "callback_url": ""},
        {"api_key": "VONAGE_API_KEY", "api_secret": "VONAGE_API_SECRET", "signature_secret": "VONAGE_SIGNATURE_SECRET"},
        frozenset({"signature_secret"}),
    ),
    Setup(
        "sns",
        (Channel.SMS,),
        "engage.channels.sms.sns:Sns",
        {"region": ..., "from": "", "kind": "Promotional", "base_url": ""},
        _AWS,
        frozenset({"session_token"}),
    ),
    Setup(
        "webhook",
        (Channel.WEBHOOK,),
        "engage.channels.webhook:Webhook",
        {"url": "", "method": "POST", "headers": {}, "batch_size": 1, "allow_private": False},
        {"secret": "WEBHOOK_SECRET"},
        frozenset({"secret"}),
    ),
    Setup(
        "web_push",
        (Channel.WEB_PUSH,),
        "engage.channels.web_push.webpush:WebPush",
        {"subject": ..., "ttl": 86_400, "allow_private": False},
        {"private_key": "VAPID_PRIVATE_KEY"},
    ),
    Setup("mailbox", tuple(sorted(PULLED_CHANNELS)), "engage.channels.in_app.provider:OnSite", {"keep": "30 days"}),
    Setup(
        "fcm",
        (Channel.PUSH,),
        "engage.channels.push.fcm:Fcm",
        {"project": "", "ttl": 2_419_200, "base_url": "https://fcm.googleapis.com", "token_url": ""},
        {"service_account": "FCM_SERVICE_ACCOUNT"},
    ),
    Setup(
        "apns",
        (Channel.PUSH,),
        "engage.channels.push.apns:Apns",
        {"team_id": ..., "key_id": ..., "topic": ..., "environment": "production", "ttl": 2_419_200, "base_url": ""},
        {"private_key": "APNS_PRIVATE_KEY"},
    ),
    Setup(
        "facebook",
        (Channel.FACEBOOK_AUDIENCE,),
        "engage.channels.facebook.provider:Facebook",
        {
            "account": ...,
            "audience_id": "",
            "fields": {"EMAIL": "email", "PHONE": "phone"},
            "base_url": "https://graph.facebook.com",
            "version": "v25.0",
        },
        {"access_token": "FACEBOOK_ACCESS_TOKEN", "app_secret": "FACEBOOK_APP_SECRET"},
        frozenset({"app_secret"}),
    ),
)
"""Every provider; the first that serves a channel is its default."""


def setup(channel: str, options: Mapping[str, Any]) -> Setup:
    """The provider that is configured for a channel.

    Args:
        channel: The channel.
        options: Its ``[tool.engage.channels.<channel>]`` table.

    Raises:
        ConfigurationError: There is no such provider for the channel.
    """
    serving = [item for item in PROVIDERS if channel in item.channels]
    name = str(options.get("provider", serving[0].name if serving else ""))
    for item in serving:
        if item.name == name:
            return item
    names = [item.name for item in serving]
    near = get_close_matches(name, names, n=1)
    raise ConfigurationError(
        f"there is no provider {name!r}",
        where=f"[tool.engage.channels.{channel}]",
        hint=f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}",
    )


def provider(
    channel: str,
    options: Mapping[str, Any],
    *,
    outbox: Path,
    secret: Callable[..., str] = environment.secret,
) -> Provider:
    """Build the provider that is configured for a channel.

    Args:
        channel: The channel.
        options: Its ``[tool.engage.channels.<channel>]`` table.
        outbox: Where the outbox writes.
        secret: Reads a secret by the name of its environment variable.

    Raises:
        ConfigurationError: The provider, an option, a secret or a library is unknown or missing.
    """
    chosen = setup(channel, options)
    where = f"[tool.engage.channels.{channel}]"
    given = {name: value for name, value in options.items() if name != "provider" and not name.endswith("_env")}
    if unknown := sorted(set(given) - set(chosen.options) - {"fallback", "rate", "concurrency"}):
        near = get_close_matches(unknown[0], chosen.options, n=1)
        hint = (
            f"did you mean {near[0]}?" if near else f"{chosen.name} has: {', '.join(sorted(chosen.options)) or 'none'}"
        )
        raise ConfigurationError(f"{chosen.name} has no option {unknown[0]!r}", where=where, hint=hint)
    complete = {**chosen.options, **given}
    if missing := sorted(name for name, value in complete.items() if value is ...):
        raise ConfigurationError(f"{chosen.name} needs the option {missing[0]!r}", where=where, hint="set it there")
    secrets = {}
    for name, variable in chosen.secrets.items():
        variable = str(options.get(f"{name}_env", variable))
        try:
            secrets[name] = secret(variable, needed_for=f"{where} provider {chosen.name}")
        except ConfigurationError:
            if name not in chosen.optional_secrets:
                raise
    module, _, attribute = chosen.factory.partition(":")
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        hint = f"pip install 'engage[{chosen.extra or 'channels'}]'"
        raise ConfigurationError(f"{chosen.name} needs {error.name}", where=where, hint=hint) from error
    built: Provider = factory(Configured(channel, complete, secrets, outbox))
    return built
