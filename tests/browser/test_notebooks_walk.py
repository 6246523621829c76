from __future__ import annotations

import csv
import email
import email.policy
import io
from collections.abc import Callable

from playwright.sync_api import Page

import engage


def test_a_campaign_is_found_looked_into_and_mailed(
    demo: engage.Workspace, notebooks: str, page: Page, screen: Callable[[str], None]
) -> None:
    page.goto(f"{notebooks}/?file=reports.py")
    page.get_by_role("heading", name="Onboarding: first steps").wait_for()
    page.get_by_placeholder("name contains …").fill("offer")
    page.get_by_placeholder("name contains …").press("Enter")
    page.get_by_role("heading", name="Spring offer").wait_for()
    page.get_by_text("Onboarding: welcome").first.wait_for(state="detached")
    page.get_by_role("tab", name="Variants").click()
    page.get_by_text("held out", exact=True).first.wait_for()
    page.get_by_placeholder("ada@example.com, bob@example.com").fill("ada@example.com; wrong")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_text("Sent to ada@example.com.").wait_for()
    page.get_by_text("wrong was not sent it").wait_for()
    screen("reports")
    [file] = (demo.settings.outbox / "email").glob("report-*.eml")
    mail = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    [attached] = mail.iter_attachments()  # type: ignore[attr-defined]
    content = attached.get_payload(decode=True).decode("utf-8-sig")
    [row] = csv.DictReader(io.StringIO(content, newline=""))
    assert row["campaign"] == "Spring offer"
    assert int(row["sent"]) == demo.report_view(text="offer")["sent"].item()


def test_home_and_settings_show_what_there_is(
    demo: engage.Workspace, notebooks: str, page: Page, screen: Callable[[str], None]
) -> None:
    page.goto(f"{notebooks}/?file=home.py")
    page.get_by_text("people active").first.wait_for()
    page.get_by_role("link", name="Campaign reports").first.wait_for()
    page.wait_for_timeout(1_000)
    screen("home")
    page.goto(f"{notebooks}/?file=message_settings.py")
    page.get_by_placeholder("Onboarding").fill("Walked")
    page.get_by_role("button", name="Make label").click()
    page.get_by_text("Walked is there.").wait_for()
    page.get_by_role("cell", name="Walked").first.wait_for()
    screen("message_settings")
    assert "Walked" in [label.name for label in demo.labels()]
