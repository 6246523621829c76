"""How a workspace is told to use the providers of this machine: lines for ``pyproject.toml``, and the environment."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tomlkit

from engage.errors import ConfigurationError
from engage.lake.storage import write_atomically
from engage.sample.providers.app import CHANNELS
from engage.sample.providers.web import subscription
from engage.settings import Settings

__all__ = ["Configuration", "configuration", "write_configuration"]

_OURS = ("127.0.0.1", "mailto:demo@example.com")  # what tells a table of ours from somebody's own


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a workspace is to be told.

    Args:
        tables: By channel, its table under ``[tool.engage.channels]``: the provider's options, and a table for each
            of the channel's other providers.
        environment: Variables that have to be set; the keys are made up.
        examples: For each channel, an address to send a test message to.
    """

    tables: Mapping[str, Mapping[str, Any]]
    environment: Mapping[str, str] = field(repr=False)
    examples: Mapping[str, str]

    @property
    def toml(self) -> str:
        """The tables as lines to paste."""
        document = tomlkit.document()
        channels = tomlkit.table(is_super_table=True)
        for channel, options in self.tables.items():
            channels[channel] = _table(options)
        document["tool"] = {"engage": {"channels": channels}}
        return tomlkit.dumps(document).strip() + "\n"

    @property
    def exports(self) -> str:
        """The environment as lines for a shell."""
        return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in self.environment.items())

    @property
    def commands(self) -> list[str]:
        """A test message for each channel."""
        return [f"engage channel test {channel} {shlex.quote(to)}" for channel, to in self.examples.items()]


def configuration(base: str, *, smtp_port: int | None = None, use: Sequence[str] = ()) -> Configuration:
    """What a workspace is to be told.

    Args:
        base: Where the providers are, ``http://127.0.0.1:8025``.
        smtp_port: Of the mail server; None where there is none.
        use: Providers to choose instead of a channel's first.

    Raises:
        ConfigurationError: There is no such provider.
    """
    options = _options(base, smtp_port)
    if unknown := sorted(set(use) - set(options)):
        hint = f"there are: {', '.join(options)}"
        raise ConfigurationError(f"there is no provider {unknown[0]!r}", where="demo providers", hint=hint)
    tables: dict[str, dict[str, Any]] = {}
    for channel, (_, names) in CHANNELS.items():
        there = [name for name in names if name in options]
        chosen = next((name for name in there if name in use), there[0])
        others = {name: options[name] for name in there if name != chosen}
        tables[channel] = {"provider": chosen, **options[chosen], **others}
    examples = {
        "email": "ada@example.com",
        "sms": "+15005550006",
        "push": "a" * 64,
        "web_push": subscription(base),
        "webhook": f"{base}/webhook",
    }
    return Configuration(tables, _environment(), examples)


def write_configuration(settings: Settings, told: Configuration) -> tuple[str, str]:
    """Write it into a workspace: the tables into ``pyproject.toml``, the environment into ``data/providers.env``.

    Returns:
        The two files.

    Raises:
        ConfigurationError: A channel has a provider of the outside world already; nothing was written.
    """
    file = settings.root / "pyproject.toml"
    text = file.read_text(encoding="utf-8")
    document = tomlkit.parse(text)
    engage: Any = document["tool"]["engage"]
    channels = engage.get("channels", {})
    for channel in told.tables:
        there = channels.get(channel, {})
        ours = any(mark in json.dumps(there, default=str) for mark in _OURS)
        if there.get("provider", "outbox") != "outbox" and not ours:
            raise ConfigurationError(
                f"{channel} has a provider already: {there.get('provider')}",
                where=str(file),
                hint="take a workspace of its own, `engage init demo`, or paste the lines by hand",
            )
    if channels:
        for channel, options in told.tables.items():
            channels[channel] = _table(options)
        text = tomlkit.dumps(document)
    else:
        about = "# Providers of this machine, by `engage demo providers`: nobody is reached."
        text = f"{text.rstrip()}\n\n{about}\n{told.toml}"
    environment = settings.data / "providers.env"
    write_atomically(environment, told.exports)
    environment.chmod(0o600)
    write_atomically(file, text)
    return str(file), str(environment)


def _table(options: Mapping[str, Any]) -> Any:
    table = tomlkit.table()
    for name, value in options.items():
        table[name] = _table(value) if isinstance(value, Mapping) else value
    return table


def _options(base: str, smtp_port: int | None) -> dict[str, dict[str, Any]]:
    sender = {"from": "Demo <demo@example.com>"}
    options: dict[str, dict[str, Any]] = {
        "sendgrid": {**sender, "base_url": f"{base}/sendgrid"},
        "postmark": {**sender, "base_url": f"{base}/postmark"},
        "mailgun": {**sender, "domain": "example.com", "base_url": f"{base}/mailgun"},
        "ses": {**sender, "region": "eu-central-1", "base_url": f"{base}/ses"},
        "twilio": {"account": "AC0123456789abcdef", "from": "+15005550006", "base_url": f"{base}/twilio"},
        "vonage": {"from": "Demo", "base_url": f"{base}/vonage"},
        "sns": {"region": "eu-central-1", "base_url": f"{base}/sns"},
        "fcm": {"project": "demo", "base_url": f"{base}/fcm", "token_url": f"{base}/fcm/token"},
        "apns": {"team_id": "TEAM000000", "key_id": "KEY0000000", "topic": "com.demo", "base_url": f"{base}/apns"},
        "web_push": {"subject": "mailto:demo@example.com", "allow_private": True},
        "webhook": {"url": f"{base}/webhook", "allow_private": True},
        "facebook": {"account": "1234567890", "base_url": f"{base}/facebook"},
    }  # fmt: skip
    if smtp_port is not None:
        options["smtp"] = {**sender, "host": "127.0.0.1", "port": smtp_port, "tls": "none"}
    return options


def _environment() -> dict[str, str]:
    """Keys that are keys, since they have to sign; made up anew each time."""
    try:
        from cryptography.hazmat.primitives.asymmetric import ec, rsa
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    except ImportError as error:
        raise ConfigurationError("making keys needs cryptography", hint="pip install 'engage[channels]'") from error

    def pem(key: Any) -> str:
        return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())

    account = {
        "project_id": "demo",
        "client_email": "demo@demo.iam.gserviceaccount.com",
        "private_key": pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
    }
    curve = pem(ec.generate_private_key(ec.SECP256R1()))
    return {
        "SENDGRID_API_KEY": "demo",
        "POSTMARK_SERVER_TOKEN": "demo",
        "MAILGUN_API_KEY": "demo",
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
        "TWILIO_AUTH_TOKEN": "demo",
        "VONAGE_API_KEY": "demo",
        "VONAGE_API_SECRET": "demo",
        "FCM_SERVICE_ACCOUNT": json.dumps(account),
        "APNS_PRIVATE_KEY": curve,
        "VAPID_PRIVATE_KEY": curve,
        "FACEBOOK_ACCESS_TOKEN": "demo",
    }
