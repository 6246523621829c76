"""What a page offers as a file arrives, in a real Chromium."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from playwright.sync_api import Page

import engage
from tests.browser.serving import served


def taken(page: Page, button: str) -> Path:
    """The file that a button brings."""
    with page.expect_download(timeout=30_000) as waited:
        page.get_by_text(button, exact=True).first.click()
    return Path(waited.value.path())


def rows(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig"), newline="")))


def test_who_said_yes_to_ads(tmp_path: Path, page: Page, screen: Callable[[str], None]) -> None:
    shop, now = engage.Workspace.create(tmp_path / "shop"), datetime.now(UTC)
    shop.land_profiles([{"user_id": name, "email": f"{name}@example.com"} for name in ("ada", "bob", "eve")], now=now)
    yes = {"event_name": "Channel Subscribed", "event_time": now.isoformat()}
    shop.land_events(
        [{"user_id": name, **yes, "properties": {"channel": "facebook_audience"}} for name in ("ada", "bob")], now=now
    )
    mails = ["ada@example.com", "bob@example.com"]
    hashes = sorted(hashlib.sha256(mail.encode()).hexdigest() for mail in mails)
    with served(shop) as address:
        page.goto(f"{address}/?file=facebook_audiences.py")
        page.get_by_text("people opted in to ads and can be matched by").wait_for()
        assert sorted(row["email"] for row in rows(taken(page, "Hashed, .csv"))) == hashes
        assert sorted(row["email"] for row in rows(taken(page, "In the clear, .csv"))) == mails
        assert sorted(pl.read_parquet(taken(page, "Hashed, .parquet"))["email"]) == hashes
        page.get_by_role("button", name="Bring it into step").click()
        page.get_by_text("account").last.wait_for()
        screen("facebook_audiences")


def test_a_segments_people(demo: engage.Workspace, notebooks: str, page: Page) -> None:
    page.goto(f"{notebooks}/?file=audiences.py")
    page.get_by_role("heading", name="Export").wait_for()
    people = rows(taken(page, ".csv"))
    assert people
    assert [row["user_id"] for row in people] == pl.read_parquet(taken(page, ".parquet"))["user_id"].to_list()
    asked = demo.sql("select count(*) as n from profiles")["n"].item()
    assert len(people) <= asked


def test_the_report_as_shown(demo: engage.Workspace, notebooks: str, page: Page) -> None:
    page.goto(f"{notebooks}/?file=reports.py")
    page.get_by_role("heading", name="E-mail this table").wait_for()
    report = demo.report_view()
    for file in (rows(taken(page, ".csv")), pl.read_parquet(taken(page, ".parquet")).to_dicts()):
        assert sorted(str(row["campaign"]) for row in file) == sorted(report["campaign"])
    assert taken(page, ".xlsx").read_bytes().startswith(b"PK")


def test_the_people_of_a_funnels_step(demo: engage.Workspace, notebooks: str, page: Page) -> None:
    page.goto(f"{notebooks}/?file=funnels.py")
    page.get_by_text("Download as CSV").wait_for()
    listed = rows(taken(page, "Download as CSV"))
    page.get_by_placeholder("reached_step_2").fill("came_so_far")
    page.get_by_placeholder("reached_step_2").press("Tab")
    page.get_by_role("button", name="Keep them as a segment").click()
    page.get_by_text("came_so_far.sql").wait_for()
    assert set(demo.segment("came_so_far").users()["user_id"]) == {row["user_id"] for row in listed}
