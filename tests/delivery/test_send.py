from __future__ import annotations

import email
import email.policy
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import engage
from engage.errors import ChannelError, ConfigurationError, PlanError
from tests.examples import times
from tests.ports import free_port

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Endpoint:
    """A real endpoint that logs every webhook-id it accepts, answering as it is told to."""

    def __init__(self) -> None:
        self.accepted: list[str] = []
        self.answers: list[int] = []
        self.retry_after = "0"
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                with lock:
                    status = outer.answers.pop(0) if outer.answers else 204
                    if 0 < status < 300:
                        outer.accepted.append(self.headers["webhook-id"])
                if status == 0:  # accepted, and never answered
                    outer.accepted.append(self.headers["webhook-id"])
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("retry-after", outer.retry_after)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a sender that was killed hangs up

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    found = Endpoint()
    yield found
    found.close()


def configure(workspace: engage.Workspace, text: str) -> engage.Workspace:
    file = workspace.root / "pyproject.toml"
    file.write_text(file.read_text() + "\n" + text)
    return engage.Workspace.open(workspace.root)


def people(workspace: engage.Workspace, count: int) -> None:
    workspace.land_profiles([{"user_id": f"u{i:05}", "email": f"u{i}@example.com"} for i in range(count)], now=NOON)


def make(workspace: engage.Workspace, channel: str = "email", **values: object) -> None:
    content = {"email": {"subject": "Hi", "text": "Hello {{ user_id }}"}, "webhook": {}}[channel]
    base = {"title": "News", "channel": channel, "everyone": True, "labels": ["Onboarding"], "content": content}
    workspace.create_campaign("news", base | values)


def hook(workspace: engage.Workspace, url: str, more: str = "") -> engage.Workspace:
    settings = f'[tool.engage.channels.webhook]\nprovider = "webhook"\nurl = "{url}"\nallow_private = true\n'
    return configure(workspace, settings + f"[tool.engage.delivery]\nbackoff_base = 0.01\n{more}\n")


def test_a_send_writes_mail_records_it_with_its_label_and_is_not_repeated(workspace: engage.Workspace) -> None:
    people(workspace, 200)
    make(workspace, control_percent=20)
    first = workspace.campaign("news").send(as_of="2026-03-02", now="2026-03-02")
    assert first.state == "completed"
    assert first.audience == 200
    assert first.sent + first.held_out == 200
    again = workspace.campaign("news").send(as_of="2026-03-05")
    assert again.counts() == first.counts()
    files = list((workspace.settings.outbox / "email").iterdir())
    assert len(files) == first.sent
    sent = workspace.sql("select * from notifications where event_name = 'Notification Sent'")
    assert sent.height == sent["message_id"].n_unique() == first.sent
    assert sent["labels"].to_list() == [["Onboarding"]] * first.sent
    assert set(sent["event_time"]) == {datetime(2026, 3, 2, tzinfo=UTC)}
    assert {file.stem for file in files} == set(sent["message_id"])
    mail = email.message_from_bytes(files[0].read_bytes(), policy=email.policy.default)
    user = sent.filter(sent["message_id"] == files[0].stem)["user_id"].item()
    assert mail.get_content().strip() == f"Hello {user}"
    [row] = workspace.campaign_report().filter(campaign_id="news").to_dicts()
    assert (row["sent"], row["held_out"], row["status"], row["labels"]) == (
        first.sent, first.held_out, "completed", ["Onboarding"],
    )  # fmt: skip


def test_a_plan_is_made_anew_until_sending_has_begun(workspace: engage.Workspace) -> None:
    for user, day in (("a", "2026-01-05"), ("b", "2026-02-05")):
        workspace.land_events([{"user_id": user, "event_name": "Charged", "event_time": day}])
        workspace.land_profiles([{"user_id": user, "email": f"{user}@example.com"}])
    make(workspace, everyone=False, sql="select distinct user_id from activity")
    news = workspace.campaign("news")
    assert [news.plan(as_of=day).run.counts.send for day in ("2026-01-01", "2026-03-01", "2026-02-01")] == [0, 2, 1]
    assert news.send(as_of="2026-02-01").counts() == {"sent": 1}
    assert news.plan(as_of="2026-03-01").run.counts.send == 1, "what was sent stays what it was"


def test_the_ledger_is_empty_once_everything_has_landed(workspace: engage.Workspace) -> None:
    import sqlite3

    people(workspace, 50)
    make(workspace)
    workspace.campaign("news").send(as_of="2026-03-02")
    with sqlite3.connect(workspace.settings.ledger) as ledger:
        assert ledger.execute("select count(*) from message").fetchone() == (0,)
    ledger.close()


def test_a_person_whose_message_cannot_be_rendered_fails_alone(workspace: engage.Workspace) -> None:
    people(workspace, 3)
    workspace.land_profiles([{"user_id": "u00001", "nick": "Ada"}], now=NOON)
    make(workspace, content={"subject": "Hi {{ profile.nick }}", "text": "x"})
    summary = workspace.campaign("news").send(as_of="2026-03-02")
    assert summary.counts() == {"sent": 1, "failed:content_rejected": 2}
    failed = workspace.sql("select user_id, reason from notifications where event_name = 'Notification Failed'")
    assert set(failed.rows()) == {("u00000", "content_rejected"), ("u00002", "content_rejected")}


def test_only_the_outbox_sends_as_of_the_past(workspace: engage.Workspace, endpoint: Endpoint) -> None:
    ready = hook(workspace, endpoint.url)
    people(ready, 3)
    make(ready, "webhook")
    with pytest.raises(PlanError, match=r"webhook cannot send as of the past; .*outbox"):
        ready.campaign("news").send(as_of="2026-03-02")
    assert not ready.sql("select * from audiences").height
    assert not endpoint.accepted


def test_a_mail_server_that_is_down_keeps_everybody_pending(workspace: engage.Workspace) -> None:
    port = free_port()
    ready = configure(
        workspace,
        f'[tool.engage.channels.email]\nprovider = "smtp"\nhost = "127.0.0.1"\nport = {port}\ntls = "none"\n'
        "[tool.engage.delivery]\nbackoff_base = 0.02\nunreachable = 0.3\nbreaker = 2\n",
    )
    people(ready, 3)
    make(ready)
    with pytest.raises(ChannelError, match=rf"127\.0\.0\.1:{port}: the mail server cannot be reached"):
        ready.campaign("news").send()
    assert ready.runs()[0].counts() == {"pending": 3}
    assert not ready.sql("select * from notifications").height


def test_passing_faults_are_tried_again_and_nobody_is_sent_twice(
    workspace: engage.Workspace, endpoint: Endpoint
) -> None:
    ready = hook(workspace, endpoint.url)
    people(ready, 60)
    make(ready, "webhook")
    endpoint.answers = [429, 500, 204, 503, 400, 502, 204, 429]
    summary = ready.campaign("news").send()
    assert summary.counts() == {"sent": 59, "failed:content_rejected": 1}
    assert len(endpoint.accepted) == len(set(endpoint.accepted)) == 59


def test_an_answer_that_never_came_is_asked_again_with_the_same_key(
    workspace: engage.Workspace, endpoint: Endpoint
) -> None:
    ready = hook(workspace, endpoint.url)
    people(ready, 5)
    make(ready, "webhook")
    endpoint.answers = [0]
    summary = ready.campaign("news").send()
    assert summary.counts() == {"sent": 5}
    assert len(set(endpoint.accepted)) == 5
    assert len(endpoint.accepted) == 6, "the lost one came again, under the same webhook-id"


def test_a_wrong_key_stops_the_run_and_suppresses_nobody(workspace: engage.Workspace, endpoint: Endpoint) -> None:
    ready = hook(workspace, endpoint.url)
    people(ready, 100)
    make(ready, "webhook")
    endpoint.answers = [401] * 1000
    with pytest.raises(ConfigurationError, match="refuses the key, sender or account"):
        ready.campaign("news").send()
    [run] = ready.runs()
    assert (run.state, run.counts()) == ("failed", {"pending": 100})
    endpoint.answers = []
    assert ready.campaign("news").send().counts() == {"sent": 100}
    assert len(endpoint.accepted) == len(set(endpoint.accepted)) == 100


SEND = "import sys, engage; print('ready', flush=True); engage.Workspace.open(sys.argv[1]).campaign('news').send()"


@pytest.mark.chance
def test_killed_again_and_again_everyone_is_sent_once(workspace: engage.Workspace, endpoint: Endpoint) -> None:
    ready = hook(workspace, endpoint.url, "concurrency = 8")
    people(ready, 1500)
    make(ready, "webhook", control_percent=10)
    environment = {**os.environ, "PYTHONPATH": str(Path(engage.__file__).parent.parent)}
    chance = random.Random(11)
    for _ in range(times(3)):
        process = subprocess.Popen(
            [sys.executable, "-c", SEND, str(ready.root)], stdout=subprocess.PIPE, env=environment
        )
        assert process.stdout is not None
        process.stdout.readline()
        wanted, deadline = len(endpoint.accepted) + chance.randrange(5, 150), time.monotonic() + 30
        while len(endpoint.accepted) < wanted and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(chance.uniform(0.0, 0.03))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    killed_at = len(endpoint.accepted)
    summary = ready.campaign("news").send()
    assert summary.state == "completed"
    assert summary.in_doubt == 0, "the endpoint knows our key, so nothing is in doubt"
    assert summary.sent + summary.held_out == summary.audience == 1500
    repeats = {key: n for key, n in Counter(endpoint.accepted).items() if n > 1}
    assert len(set(endpoint.accepted)) == summary.sent
    assert len(repeats) <= times(3) * 3 * 8, "only what was under way, next or just answered is repeated, with its key"
    landed = ready.sql(
        "select count(*), count(distinct message_id) from notifications where event_name = 'Notification Sent'"
    )
    assert landed.row(0) == (summary.sent, summary.sent)
    assert killed_at > 0, "the kills came while it was sending"


def test_the_sum_holds(workspace: engage.Workspace) -> None:
    people(workspace, 40)
    workspace.land_profiles([{"user_id": "nobody"}, {"user_id": "u00001", "nick": "Ada"}], now=NOON)
    make(workspace, control_percent=20, content={"subject": "Hi {{ profile.nick }}", "text": "x"})
    planned = workspace.campaign("news").plan(as_of="2026-03-02").run
    query = "select outcome, count(*) as n from outcomes group by 1"
    before = dict(workspace.sql(query).rows())
    assert before.get("pending") == planned.counts.send
    summary = workspace.campaign("news").send(as_of="2026-03-02")
    assert dict(workspace.sql(query).rows()) == summary.counts()
    assert sum(before.values()) == summary.audience == planned.counts.audience
