"""SMTP over TLS with a login, against aiosmtpd with a certificate of an authority of the tests."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from engage.channels.message import Message, Outcome
from engage.channels.registry import provider
from engage.errors import ChannelError, ConfigurationError
from engage.vocabulary import OutcomeStatus

PASSWORD = "correct horse"


class Mailbox:
    """Takes mail, and notes whether it came over TLS and who had logged in."""

    def __init__(self) -> None:
        self.taken: list[tuple[bool, bytes]] = []
        self.passwords: list[bytes] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.taken.append((server.transport.get_extra_info("sslcontext") is not None, session.auth_data))
        return "250 2.0.0 OK queued as Q1"

    def log_in(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.passwords.append(data.password)
        good = (data.login, data.password) == (b"ada", PASSWORD.encode())
        return AuthResult(success=good, handled=False, auth_data=data.login)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


@pytest.fixture(params=["starttls", "tls"])
def server(request: pytest.FixtureRequest, authority: trustme.CA) -> Iterator[tuple[Mailbox, dict[str, Any]]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    own: dict[str, Any] = {"tls_context": context, "require_starttls": True, "auth_required": True}
    if request.param == "tls":
        own = {"ssl_context": context, "auth_require_tls": False}  # it has been TLS from the first byte on
    mailbox = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, authenticator=mailbox.log_in, **own)
    controller.start()
    told = {"provider": "smtp", "host": "127.0.0.1", "port": port, "tls": request.param, "username": "ada"}
    yield mailbox, told
    controller.stop()


def deliver(options: dict[str, Any], password: str = PASSWORD) -> list[Outcome]:
    message = Message("m1", "ada", "email", "ada@example.com", {"subject": "Hi", "text": "Hello"})

    async def run() -> list[Outcome]:
        made: Any = provider("email", options, outbox=Path("/nowhere"), secret=lambda name, needed_for: password)
        try:
            return list(await made.deliver([message]))
        finally:
            await made.aclose()

    return asyncio.run(run())


@pytest.mark.usefixtures("trusted")
def test_mail_leaves_encrypted_for_who_may_log_in(server: tuple[Mailbox, dict[str, Any]]) -> None:
    mailbox, options = server
    [sent] = deliver(options)
    assert (sent.status, sent.provider_id) == (OutcomeStatus.SENT, "Q1")
    assert mailbox.taken == [(True, b"ada")]


@pytest.mark.usefixtures("trusted")
def test_a_wrong_password_stops_the_run_and_is_told_without_it(server: tuple[Mailbox, dict[str, Any]]) -> None:
    mailbox, options = server
    with pytest.raises(ConfigurationError, match=r"refuses the login \(535\); check username") as error:
        deliver(options, "wrong horse")
    assert "horse" not in str(error.value)
    assert mailbox.taken == []


def test_a_server_of_an_unknown_authority_gets_neither_mail_nor_password(
    server: tuple[Mailbox, dict[str, Any]],
) -> None:
    mailbox, options = server
    with pytest.raises(ChannelError, match="cannot be reached"):
        deliver(options)
    assert (mailbox.taken, mailbox.passwords) == ([], [])


def test_a_server_that_offers_no_tls_gets_neither(authority: trustme.CA) -> None:
    """Somebody in between could take STARTTLS out of what the server offers."""
    mailbox = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    controller = Controller(
        mailbox, hostname="127.0.0.1", port=port, authenticator=mailbox.log_in, auth_require_tls=False
    )
    controller.start()
    try:
        with pytest.raises(ChannelError, match="cannot be reached"):
            deliver({"provider": "smtp", "host": "127.0.0.1", "port": port, "tls": "starttls", "username": "ada"})
    finally:
        controller.stop()
    assert (mailbox.taken, mailbox.passwords) == ([], [])
