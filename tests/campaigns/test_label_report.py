from __future__ import annotations

from datetime import UTC, datetime, timedelta

import engage
from engage.campaigns.editing import create_campaign

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_labels_as_sent_and_as_now(workspace: engage.Workspace) -> None:
    people = [{"user_id": f"u{n}", "email": f"u{n}@example.com"} for n in range(5)]
    workspace.land_profiles(people, now=NOON - timedelta(days=1))
    content = {"subject": "Hi", "text": "Hello"}
    for name, labels in (("one", ["Onboarding"]), ("two", [])):
        values = {"channel": "email", "everyone": True, "labels": labels, "content": content}
        create_campaign(workspace.settings, name, values, {})
        workspace.campaign(name).send(NOON)
    workspace.create_label("Spring")
    workspace.set_labels("two", "Spring", "Onboarding")
    workspace.set_labels("one")

    def told(as_now: bool) -> list[tuple[str, int, int]]:
        return workspace.label_report(as_now=as_now).select("label", "campaigns", "sent").rows()

    assert told(False) == [("", 1, 5), ("Onboarding", 1, 5)]
    assert told(True) == [("", 1, 5), ("Onboarding", 1, 5), ("Spring", 1, 5)]
    assert workspace.label_report(as_of=NOON).is_empty()
