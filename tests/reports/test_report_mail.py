from __future__ import annotations

import csv
import email
import email.policy
import io
import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as Keep

import engage
from engage.errors import ConfigurationError
from engage.reports.files import to_csv, to_excel, to_parquet
from tests.ports import free_port

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a Monday


@pytest.fixture
def sent(workspace: engage.Workspace) -> engage.Workspace:
    """Two campaigns sent: one to 5 people with a hostile name and a label, one to 3."""
    people = [{"user_id": f"u{n}", "email": f"u{n}@example.com", "plan": "free" if n < 3 else "paid"} for n in range(5)]
    workspace.land_profiles(people, now=NOON - timedelta(days=1))
    workspace.create_label("Spring")
    content = {"subject": "Hi", "text": "Hello"}
    workspace.create_campaign(
        "one",
        {"title": '=cmd|"calc"!A1', "channel": "email", "everyone": True, "labels": ["Spring"], "content": content},
    )
    workspace.create_campaign("two", {"channel": "email", "everyone": True, "content": content})
    workspace.campaign("one").send(NOON - timedelta(days=20))
    workspace.campaign("two").send(NOON)
    for file in workspace.settings.outbox.glob("email/*"):
        file.unlink()
    return workspace


def _mails(workspace: engage.Workspace) -> list[email.message.EmailMessage]:
    files = sorted((workspace.settings.outbox / "email").glob("report-*.eml"))
    return [email.message_from_bytes(file.read_bytes(), policy=email.policy.default) for file in files]  # type: ignore[misc]


def test_views_filter_as_they_say(sent: engage.Workspace) -> None:
    def shown(**view: object) -> list[str]:
        return sent.report_view(NOON + timedelta(hours=1), **view)["campaign_id"].to_list()

    everything = shown()
    assert set(everything) >= {"one", "two"}
    assert shown(labels="Spring") == ["one"]
    assert "one" not in shown(last_days=7)
    assert "two" in shown(last_days=7)
    assert shown(last_days=1) == ["two"]
    assert "two" not in shown(date_to=date(2026, 3, 1))
    assert "one" in shown(date_to="2026-03-01")
    assert shown(text="TWO") == ["two"]
    assert shown(channels=["sms"]) == []
    assert shown(statuses=["completed"])
    assert set(shown(channels=["email"])) >= {"one", "two"}
    assert sent.report_view(NOON, columns=["campaign_id", "sent"], sort="campaign_id").columns == [
        "campaign_id",
        "sent",
    ]
    with pytest.raises(ConfigurationError, match="no column"):
        shown(sort="colour")
    with pytest.raises(ConfigurationError, match="no filter"):
        shown(colour="red")


def test_mailed_table_reads_back_as_the_table(sent: engage.Workspace) -> None:
    mailed = sent.mail_report(["ada@example.com", "not an address"], {"labels": "Spring"}, as_of=NOON)
    assert mailed.sent == ("ada@example.com",)
    assert [address for address, _ in mailed.failed] == ["not an address"]
    [mail] = _mails(sent)
    assert mail["To"] == "ada@example.com"
    assert mail["Subject"] == "Campaign report, 2026-03-02"
    html = mail.get_body(("html",)).get_content()
    assert "label: Spring" in html
    assert "5 sent" in html
    assert "=cmd|&quot;calc&quot;!A1" in html
    [attached] = mail.iter_attachments()
    assert attached.get_filename() == "campaign-report-2026-03-02.csv"
    raw = attached.get_payload(decode=True)
    assert isinstance(raw, bytes)
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline="")))
    assert [row["campaign_id"] for row in rows] == ["one"]
    assert rows[0]["campaign"] == """'=cmd|"calc"!A1"""
    assert (rows[0]["sent"], rows[0]["labels"]) == ("5", "Spring")
    assert list(rows[0]) == sent.campaign_report(NOON).columns


def test_csv_keeps_numbers_and_tames_formulas() -> None:
    table = pl.DataFrame(
        {
            "name": ["=1+1", "-2", "@x", "\t=1", "plain, with comma", 'quote "q"', "two\nlines", None],
            "n": [-1.5, 2, 3, 4, 5, 6, 7, None],
            "labels": [["+a", "b"], [], None, ["c"], [], [], [], []],
        }
    )
    content = to_csv(table)
    assert content.startswith(b"\xef\xbb\xbf")
    assert b"\r\n" in content
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert [row["name"] for row in rows] == [
        "'=1+1",
        "'-2",
        "'@x",
        "'\t=1",
        "plain, with comma",
        'quote "q"',
        "two\nlines",
        "",
    ]
    assert [row["n"] for row in rows] == ["-1.5", "2.0", "3.0", "4.0", "5.0", "6.0", "7.0", ""]
    assert rows[0]["labels"] == "'+a, b"
    assert pl.read_parquet(io.BytesIO(to_parquet(table))).equals(table)
    with zipfile.ZipFile(io.BytesIO(to_excel(table))) as book:
        cells = book.read("xl/worksheets/sheet1.xml").decode()
        assert "=1+1" in book.read("xl/sharedStrings.xml").decode()
    assert "<f>" not in cells
    assert "<v>-1.5</v>" in cells


def test_a_schedule_mails_once_a_due_time(sent: engage.Workspace) -> None:
    sent.schedule_report("weekly", ["ada@example.com"], "0 8 * * 1", {"last_days": 7}, now=NOON)
    [report] = sent.scheduled_reports()
    assert report.view.last_days == 7
    assert report.mailed_at is None
    assert sent.tick_reports(NOON + timedelta(days=6)) == []
    monday = datetime(2026, 3, 9, 8, tzinfo=UTC)
    [done] = sent.tick_reports(monday + timedelta(minutes=3))
    assert (done.due_at, done.mailed and done.mailed.sent, done.error) == (monday, ("ada@example.com",), "")
    assert sent.tick_reports(monday + timedelta(hours=3)) == []
    [later] = sent.tick_reports(monday + timedelta(days=30))
    assert later.due_at == datetime(2026, 4, 6, 8, tzinfo=UTC), "one mail for all that was missed"
    assert len(_mails(sent)) == 2
    sent.unschedule_report("weekly")
    assert sent.scheduled_reports() == []


def test_wrong_schedules_are_refused_before_anything_is_written(sent: engage.Workspace) -> None:
    for arguments in (
        ("../x", ["a@b.example"], "0 8 * * 1"),
        ("x", [], "0 8 * * 1"),
        ("x", ["a@b.example"], "nonsense"),
    ):
        with pytest.raises(ConfigurationError):
            sent.schedule_report(*arguments)  # type: ignore[arg-type]
    assert not list(sent.settings.data.glob("reports/*"))


def test_a_report_no_provider_took_is_due_again(sent: engage.Workspace) -> None:
    class Inbox(Keep):
        def handle_message(self, message: email.message.Message) -> None:
            inbox.append(message)

    inbox: list[email.message.Message] = []
    port = free_port()
    project = sent.root / "pyproject.toml"
    told = f'\n[tool.engage.channels.email]\nprovider = "smtp"\nhost = "127.0.0.1"\nport = {port}\ntls = "none"\n'
    project.write_text(project.read_text() + told + 'from = "Reports <reports@example.com>"\n')
    workspace = engage.Workspace.open(Path(sent.root))
    workspace.schedule_report("weekly", ["ada@example.com"], "0 8 * * 1", now=NOON)
    monday = datetime(2026, 3, 9, 8, tzinfo=UTC)
    [failed] = workspace.tick_reports(monday)
    assert failed.mailed is None
    assert "cannot be reached" in failed.error
    server = Controller(Inbox(), hostname="127.0.0.1", port=port)
    server.start()
    try:
        [done] = workspace.tick_reports(monday + timedelta(minutes=1))
    finally:
        server.stop()
    assert done.mailed
    assert done.mailed.sent == ("ada@example.com",)
    assert [message["Subject"] for message in inbox] == ["Weekly, 2026-03-09"]
    assert workspace.tick_reports(monday + timedelta(minutes=2)) == []
