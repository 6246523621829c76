"""``engage demo providers``: every channel works without an account, and every error means what its table says."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import engage
from engage.channels.facebook.graph import Graph
from engage.cli import main
from engage.errors import ConfigurationError
from engage.sample.providers.app import CHANNELS, ROWS
from engage.sample.providers.configure import configuration, write_configuration
from engage.sample.providers.received import Row, answered
from engage.sample.providers.smtp import mail_server
from engage.sample.providers.web import subscription
from engage.vocabulary import OutcomeStatus
from tests.channels.stand_ins import StandIns, stand_ins

_CHANNEL_OF = {name: channel for channel, (_, names) in CHANNELS.items() for name in names}


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[StandIns, int]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    with stand_ins() as made, mail_server(made.received, port) as smtp_port:
        assert smtp_port == port
        yield made, port


@pytest.fixture(scope="module")
def shop(running: tuple[StandIns, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[engage.Workspace]:
    """A workspace that was told of them, and its environment."""
    made, port = running
    root = tmp_path_factory.mktemp("providers") / "shop"
    told = configuration(made.url, smtp_port=port)
    write_configuration(engage.Workspace.create(root).settings, told)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in told.environment.items():
            patch.setenv(name, value)
        yield engage.Workspace.open(root)


def chosen(shop: engage.Workspace, url: str, provider: str, port: int, folder: Path) -> engage.Workspace:
    """A workspace whose channel is served by one provider."""
    if provider in ("sendgrid", "twilio", "fcm", "web_push", "webhook"):
        return shop
    other = engage.Workspace.create(folder / provider)
    write_configuration(other.settings, configuration(url, smtp_port=port, use=[provider]))
    return engage.Workspace.open(other.root)


@pytest.mark.parametrize("provider", [name for name in ROWS if name != "facebook"])
def test_every_row_of_a_providers_errors_means_what_it_says(
    running: tuple[StandIns, int], shop: engage.Workspace, provider: str, tmp_path: Path
) -> None:
    made, port = running
    space, channel = chosen(shop, made.url, provider, port, tmp_path), _CHANNEL_OF[provider]

    def address(row: Row) -> str:
        if channel == "web_push":
            return subscription(made.url, row.to)
        return f"{made.url}/webhook/{row.to}" if channel == "webhook" else row.to

    for row in ROWS[provider]:
        outcome = space.test_channel(channel, address(row))
        assert (outcome.status, outcome.reason) == (row.meaning, row.reason), row
        if "retry-after" in row.headers or "x-ratelimit-reset" in row.headers:
            assert outcome.retry_after is not None
            assert outcome.retry_after <= 2
        if row.once:
            assert space.test_channel(channel, address(row)).status == OutcomeStatus.SENT


def test_every_row_of_facebooks_errors_means_what_it_says() -> None:
    for row in ROWS["facebook"]:
        told = answered(row.status, row.body, row.headers)
        answer = Graph.answer(httpx.Response(told.status_code, content=bytes(told.body), headers=dict(told.headers)))
        assert answer.status == row.meaning, row


def test_each_channel_works_and_is_seen(running: tuple[StandIns, int], shop: engage.Workspace) -> None:
    made, port = running
    made.received.forget()
    ready = dict(shop.channels().select("channel", "state").iter_rows())
    assert {channel for channel, state in ready.items() if state == "ready"} == set(CHANNELS)
    told = configuration(made.url, smtp_port=port)
    for n, (channel, to) in enumerate(told.examples.items(), 1):
        assert shop.test_channel(channel, to, f"Hello {n}").status == OutcomeStatus.SENT
    texts = {_CHANNEL_OF[one.provider]: (one.title, one.text) for one in made.received.seen()}
    assert texts["email"] == ("Hello 1", "Hello 1")
    assert texts["sms"] == ("", "Hello 2")
    assert texts["push"] == ("Hello 3", "Hello 3")
    assert texts["web_push"] == ("Hello 4", "Hello 4")  # decrypted as the browser would
    assert "Hello 5" in texts["webhook"][1]
    page = httpx.get(made.url).text
    assert all(f"Hello {n}" in page for n in range(1, 6))
    assert len(httpx.get(f"{made.url}/received").json()) == 5


def test_the_page_shows_what_was_sent_and_runs_none_of_it(
    running: tuple[StandIns, int], shop: engage.Workspace
) -> None:
    made, _ = running
    shop.test_channel("email", "ada@example.com", '<script>alert(1)</script> & "more"')
    answer = httpx.get(f"{made.url}/?channel=email")
    assert "<script" not in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp;" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "Text messages</h2>" not in answer.text
    assert httpx.post(f"{made.url}/forget").status_code == 303
    assert "Nothing yet" in httpx.get(made.url).text


def test_it_keeps_off_a_workspace_that_reaches_people(workspace: engage.Workspace) -> None:
    file = workspace.root / "pyproject.toml"
    file.write_text(file.read_text() + '\n[tool.engage.channels.sms]\nprovider = "twilio"\naccount = "AC1"\n')
    before = file.read_text()
    with pytest.raises(ConfigurationError, match="sms has a provider already"):
        write_configuration(workspace.settings, configuration("http://127.0.0.1:1"))
    assert file.read_text() == before
    with pytest.raises(ConfigurationError, match="there is no provider 'pigeon'"):
        configuration("http://127.0.0.1:1", use=["pigeon"])


def test_written_twice_it_is_there_once(workspace: engage.Workspace) -> None:
    file = workspace.root / "pyproject.toml"
    for base in ("http://127.0.0.1:1", "http://127.0.0.1:2"):
        write_configuration(workspace.settings, configuration(base, use=["postmark"]))
    assert file.read_text().count("\n[tool.engage.channels.email]") == 1
    options = engage.Workspace.open(workspace.root).settings.channel("email")
    assert (options["provider"], options["base_url"]) == ("postmark", "http://127.0.0.1:2/postmark")
    assert (workspace.settings.data / "providers.env").stat().st_mode & 0o077 == 0


def test_the_command_serves_until_it_is_stopped(
    workspace: engage.Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            ports.append(probe.getsockname()[1])
    command = [sys.executable, "-m", "engage", "-w", str(workspace.root), "demo", "providers", "--write"]
    command += ["--port", str(ports[0]), "--smtp-port", str(ports[1])]
    environment = {**os.environ, "PYTHONPATH": str(Path(engage.__file__).parent.parent)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            base, deadline = f"http://127.0.0.1:{ports[0]}", time.monotonic() + 60
            while True:
                try:
                    httpx.get(f"{base}/health").raise_for_status()
                    break
                except httpx.HTTPError:
                    assert process.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            text = (workspace.settings.data / "providers.env").read_text()
            for name, value in re.findall(r"export (\w+)=('[^']*'|\S+)", text):
                monkeypatch.setenv(name, shlex.split(value)[0])
            main(["-w", str(workspace.root), "channel", "test", "sms", "+15005550006"])
            assert "sms: sent as SM" in capsys.readouterr().out
            [seen] = httpx.get(f"{base}/received").json()
            assert (seen["provider"], seen["text"]) == ("twilio", "A test message of engage")
        finally:
            process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=30)
    assert "engage channel test email ada@example.com" in told
    assert f"shown at {base}/" in told
