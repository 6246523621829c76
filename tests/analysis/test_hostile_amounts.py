"""What one visitor may send as an amount leaves everyone else's figures as they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import engage

START = datetime(2026, 3, 1, tzinfo=UTC)
EVENTS = [
    row
    for user in range(20)
    for row in (
        {
            "user_id": f"u{user}",
            "event_name": "Notification Sent" if user % 2 else "Notification Held Out",
            "event_time": START,
            "properties": {"channel": "email", "campaign_id": "c", "message_id": f"m{user}", "variant": "a"},
        },
        {
            "user_id": f"u{user}",
            "event_name": "Charged",
            "event_time": START + timedelta(days=1),
            "properties": {"amount": 10 + user % 3},
        },
    )
]


def rounded(row: tuple[object, ...]) -> list[object]:
    return [round(value, 9) if isinstance(value, float) else value for value in row]


def figures(workspace: engage.Workspace) -> list[object]:
    return [
        workspace.trends(["Charged"], measure="sum", amount="amount")["value"].sum(),
        workspace.rfm_users()["monetary"].sum(),
        workspace.campaign_report()["revenue"].to_list(),
        workspace.campaign_detail("c").variants.select("variant", "revenue").rows(),
        [rounded(row) for row in workspace.lift_table().rows()],
        workspace.people("big_spenders", amount=11).count(),
    ]


AMOUNTS = ("NaN", "-nan", "inf", "-Infinity", "abc", "", 1e308, -1e15, True, {"a": 1}, [9], None)


def test_amounts_that_are_none_count_for_nothing(workspace: engage.Workspace) -> None:
    workspace.land_events(EVENTS)
    before = figures(workspace)
    assert before[0] == sum(10 + user % 3 for user in range(20))
    for some in (AMOUNTS[:2], AMOUNTS[2:4], AMOUNTS[4:]):  # infinities of both signs would be NaN together
        workspace.land_events(
            [
                {
                    "user_id": f"u{user}",
                    "event_name": "Charged",
                    "event_time": START + timedelta(days=1, hours=hour),
                    "properties": {"amount": amount},
                }
                for hour, amount in enumerate(some)
                for user in (2, 2, 3)
            ]
        )
        assert figures(workspace) == before, some
