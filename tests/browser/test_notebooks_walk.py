"""A new user's first hour, in a real Chromium: from an audience to the cohort that came of it."""

from __future__ import annotations

import csv
import email
import email.policy
import io
from collections.abc import Callable

from playwright.sync_api import Page, expect

import engage

PICKED = "People who fill carts"
CAMPAIGN = "Your cart is waiting"


def test_a_new_user_gets_from_an_audience_to_its_cohort(
    demo: engage.Workspace, notebooks: str, page: Page, screen: Callable[[str], None]
) -> None:
    def fill(label: str, words: str) -> None:
        field = page.get_by_label(label, exact=True)
        field.fill(words)
        field.press("Tab")

    def button(name: str) -> None:
        page.get_by_role("button", name=name, exact=True).click()

    # An audience, built by hand and kept.
    page.goto(f"{notebooks}/?file=audiences.py")
    page.get_by_role("radio", name="Build a new one").check()
    button("event")
    page.get_by_role("option", name="Added To Cart", exact=True).click()
    page.get_by_text("Who can be reached").wait_for()
    times = page.locator("marimo-number", has=page.get_by_text("times", exact=True)).get_by_role("textbox")
    times.fill("2")
    times.press("Enter")
    page.get_by_text(">= 2").first.wait_for()
    fill("Name", "cart_fillers")
    fill("Title", PICKED)
    screen("audience-builder")
    button("Save the segment")
    page.get_by_text("Kept as").wait_for()
    size = demo.segment("cart_fillers").count()
    assert 100 < size < demo.segment("everyone").count()

    # A campaign for them, with a label.
    page.get_by_role("link", name="Send them a campaign").click()
    page.get_by_role("heading", name="Campaigns", exact=True).wait_for()
    expect(page.get_by_label("Whom")).to_have_value("cart_fillers")
    fill("Title", CAMPAIGN)
    fill("Name (its folder)", "cart_waiting")
    button("Labels")
    page.get_by_role("option", name="Onboarding", exact=True).click()
    page.keyboard.press("Escape")
    page.get_by_label("Subject:").first.fill("Your cart, {{ profile.first_name | default('friend') }}")
    page.get_by_label("Text:").first.fill("It is still there.")
    page.get_by_label("Text:").first.press("Tab")
    page.frame_locator("iframe").get_by_text("It is still there.").wait_for()
    button("Goal, caps, quiet hours, consent")
    fill("Quiet from", "")
    screen("composer")
    button("Make the campaign")
    page.get_by_text("a draft until it is sent or launched").wait_for()
    assert demo.campaign("cart_waiting").definition.labels == ("Onboarding",)

    # Planned, refused until it is approved, approved, sent to the outbox.
    page.get_by_role("radio", name="Plan and send").check()
    page.get_by_label("As of", exact=True).select_option(index=0)  # the last event
    button("Plan")
    page.get_by_text("needs approval").wait_for()
    plan = page.locator(".paragraph", has=page.get_by_text("needs approval")).locator("code").inner_text()
    button("Send")
    page.get_by_text("approve").last.wait_for()
    fill("Approve plan", plan)
    screen("plan")
    button("Send")
    page.get_by_role("link", name="See it in the report").wait_for()
    screen("sent")
    sent = demo.report_view(text=CAMPAIGN)
    assert sent["sent"].item() + sent["held_out"].item() + sent["left_out"].item() == size

    # In the report: filtered, looked into, mailed.
    page.get_by_role("link", name="See it in the report").click()
    page.get_by_placeholder("name contains …").fill("cart")
    page.get_by_placeholder("name contains …").press("Enter")
    page.get_by_role("heading", name=CAMPAIGN).wait_for()
    page.get_by_text("Onboarding: welcome").first.wait_for(state="detached")
    page.get_by_role("tab", name="Variants").click()
    page.get_by_text("held out", exact=True).first.wait_for()
    page.get_by_placeholder("ada@example.com, bob@example.com").fill("ada@example.com; wrong")
    button("Send")
    page.get_by_text("Sent to ada@example.com.").wait_for()
    page.get_by_text("wrong was not sent it").wait_for()
    screen("reports")
    page.get_by_placeholder("ada@example.com, bob@example.com").fill("ada@example.com")
    page.get_by_label("When", exact=True).select_option("every Monday at 8")
    button("Send")
    page.get_by_text("every Monday at 8.").wait_for()
    page.get_by_text("Mailed on a schedule").wait_for()
    # What was sent is not sent again because another table is looked at.
    page.get_by_placeholder("name contains …").fill("your cart")
    page.get_by_placeholder("name contains …").press("Enter")
    page.get_by_role("button", name="Search").or_(page.get_by_role("heading", name=CAMPAIGN)).first.wait_for()
    assert len(demo.scheduled_reports()) == 1
    [file] = (demo.settings.outbox / "email").glob("report-*.eml")
    mail = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    [attached] = mail.iter_attachments()  # type: ignore[attr-defined]
    content = attached.get_payload(decode=True).decode("utf-8-sig")
    [row] = csv.DictReader(io.StringIO(content, newline=""))
    assert row["campaign"] == CAMPAIGN
    assert int(row["sent"]) == sent["sent"].item()

    # One click to the retention of those sent the label, kept as a segment.
    page.get_by_role("link", name="Onboarding", exact=True).first.click()
    page.get_by_role("heading", name="Retention", exact=True).wait_for()
    page.get_by_text("people sent Onboarding").wait_for()
    page.get_by_text("Sent Onboarding, by the").wait_for()
    screen("retention")
    button("Save those sent Onboarding")
    page.get_by_text("sent_onboarding.sql").wait_for()
    assert demo.segment("sent_onboarding").count() >= sent["sent"].item()


def test_cohorts_are_set_beside_everyone_else(
    demo: engage.Workspace, notebooks: str, page: Page, screen: Callable[[str], None]
) -> None:
    page.goto(f"{notebooks}/?file=cohorts.py")
    page.get_by_text("All cohorts together").first.wait_for()
    page.get_by_label("In the segment").select_option(label="repeat_buyers")
    page.get_by_text("beside everyone else").click()
    page.get_by_text("All cohorts together, repeat_buyers and everyone else").wait_for()
    page.get_by_placeholder("1, 3, 7").fill("1, 3")
    page.get_by_placeholder("1, 3, 7").press("Tab")
    page.get_by_text("that bracket is yet to come").wait_for()
    page.get_by_label("Only events with").fill("amount >")
    page.get_by_label("Only events with").press("Tab")
    page.get_by_text("'amount >' is not understood").wait_for()
    page.get_by_label("Only events with").fill("amount >= 20")
    page.get_by_label("Only events with").press("Tab")
    page.get_by_text("As a table").click()
    wanted = demo.retention(
        start_event=demo.suggest_funnel()[-1], kind="first_time", period="week", cohorts=12, mode="bracket",
        brackets=[1, 3], where={"amount": {"gte": 20}}, segment="repeat_buyers", against_rest=True,
    ).filter(period=1, breakdown="repeat_buyers").row(0, named=True)  # fmt: skip
    row = page.get_by_role("row").filter(has_text=str(wanted["cohort"]))
    row.get_by_text(f"{wanted['rate']:.1%}", exact=True).first.wait_for()
    screen("cohorts")


def test_home_and_settings_show_what_there_is(
    demo: engage.Workspace, notebooks: str, page: Page, screen: Callable[[str], None]
) -> None:
    page.goto(f"{notebooks}/?file=home.py")
    page.get_by_text("people active").first.wait_for()
    page.get_by_role("link", name="Campaign reports").first.wait_for()
    page.get_by_text("People active a day").wait_for()
    screen("home")
    page.goto(f"{notebooks}/?file=message_settings.py")
    page.get_by_placeholder("Onboarding").fill("Walked")
    page.get_by_role("button", name="Make label").click()
    page.get_by_text("Walked is there.").wait_for()
    page.get_by_role("cell", name="Walked").first.wait_for()
    screen("message_settings")
    assert "Walked" in [label.name for label in demo.labels()]
