"""Files beside campaign.toml: frozen with the plan, in every mail, and only a campaign's own."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

import engage
from engage.campaigns.attachments import LARGEST
from engage.errors import ConfigurationError, PlanError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FILES: dict[str, str | bytes] = {"terms.pdf": b"%PDF one\x00", "email.html.jinja": "<p>Hi {{ user_id }}</p>"}


@pytest.fixture
def shop(workspace: engage.Workspace) -> engage.Workspace:
    rows = [{"user_id": f"u{n}", "email": f"u{n}@example.com", "language": "de" if n else "en"} for n in range(3)]
    workspace.land_profiles(rows, now=NOON - timedelta(days=2))
    return workspace


def values(*names: str, **more: Any) -> dict[str, Any]:
    content = {"subject": "Hi", "attachments": list(names)}
    return {"channel": "email", "everyone": True, "content": content, **more}


def attached(folder: Path) -> dict[str, list[tuple[str | None, bytes]]]:
    """Of each mail in the outbox, to whom it is and what is attached to it."""
    found = {}
    for path in folder.rglob("*.eml"):
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        files = [(one.get_filename(), one.get_payload(decode=True)) for one in mail.iter_attachments()]
        found[str(mail["to"])] = files
    return found  # type: ignore[return-value]


def test_a_planned_run_has_the_files_as_they_were(shop: engage.Workspace) -> None:
    opened = shop.create_campaign("terms", values("terms.pdf"), FILES)
    assert opened.preview(NOON)[0]["attachments"][0]["name"] == "terms.pdf"
    opened.plan(NOON)
    file = opened.definition.folder / "terms.pdf"
    file.write_bytes(b"%PDF two")
    planned = shop.campaign("terms").plan(NOON)
    assert shop.campaign("terms").send(NOON, approve=planned.plan_id).counts() == {"sent": 3}
    own = [("terms.pdf", b"%PDF two")]
    assert attached(shop.settings.outbox) == {f"u{n}@example.com": own for n in range(3)}
    file.unlink()
    with pytest.raises(ConfigurationError, match=r"attachment terms\.pdf is not there"):
        shop.campaign("terms")
    assert shop.send_run(planned.run.run_id).counts() == {"sent": 3}, "what was planned is there to be sent"


def test_a_test_mail_has_them_and_so_has_each_language(shop: engage.Workspace) -> None:
    texts = {"de": {"attachments": ["agb.pdf"]}}
    more = {"localise": {"by": "language", "texts": texts}}
    opened = shop.create_campaign("terms", values("terms.pdf", **more), {**FILES, "agb.pdf": b"%PDF de"})
    assert opened.test_send("me@example.com", user="u0").status == "sent"
    assert attached(shop.settings.outbox) == {"me@example.com": [("terms.pdf", FILES["terms.pdf"])]}
    opened.send(NOON)
    found = attached(shop.settings.outbox)
    assert [found[f"u{n}@example.com"][0][0] for n in range(3)] == ["terms.pdf", "agb.pdf", "agb.pdf"]
    kept = list((shop.settings.lake / "attachments").iterdir())
    assert len(kept) == 2, "each file once, however many are sent"


def test_a_file_that_is_gone_or_changed_is_told_before_anybody_is_sent(shop: engage.Workspace) -> None:
    opened = shop.create_campaign("terms", values("terms.pdf"), FILES)
    planned = opened.plan(NOON)
    [kept] = (shop.settings.lake / "attachments").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(b"something else")
    with pytest.raises(PlanError, match=r"the attachment terms\.pdf is not what was planned"):
        shop.campaign("terms").send(NOON, approve=planned.plan_id)
    assert attached(shop.settings.outbox) == {}
    kept.write_bytes(whole)
    assert shop.campaign("terms").send(NOON, approve=planned.plan_id).counts() == {"sent": 3}


@pytest.mark.parametrize(
    "name", ["/etc/hostname", "../terms/terms.pdf", "sub/terms.pdf", ".hidden", "a\nb", "", "link"]
)
def test_only_a_campaigns_own_files_go_along(shop: engage.Workspace, name: str, tmp_path: Path) -> None:
    opened = shop.create_campaign("terms", values("terms.pdf"), FILES)
    (tmp_path / "secret").write_text("secret")
    (opened.definition.folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(ConfigurationError, match="attachment"):
        shop.edit_campaign("terms", {"content": {"attachments": [name]}})
    assert shop.campaign("terms").definition.variants[0].content["attachments"] == ["terms.pdf"]


def test_what_no_mail_server_would_take_is_refused(shop: engage.Workspace) -> None:
    large = {**FILES, "terms.pdf": b"x" * (LARGEST + 1)}
    with pytest.raises(ConfigurationError, match=r"attachments have 7\.0 MB, more than 7"):
        shop.create_campaign("terms", values("terms.pdf"), large)
    with pytest.raises(ConfigurationError, match="is not a list of files"):
        shop.create_campaign("terms", {**values(), "content": {"subject": "Hi", "attachments": "terms.pdf"}}, FILES)
