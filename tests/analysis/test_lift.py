"""What campaigns caused: published experiments, hand-made corner cases, and a plain-Python reference."""

import math
import random
from datetime import UTC, datetime, timedelta
from statistics import fmean, variance

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engage.analysis.charts.lift import lift_chart
from engage.analysis.lift import lift, lift_table
from engage.analysis.lift_result import lift_from_counts, lift_from_moments, sample_ratio_p
from engage.errors import QueryError, UnknownCampaignError

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
LATER = START + timedelta(days=60)

# Hillstrom's e-mail test (MineThatData, 2008): people, mean spend, its variance, visits, conversions
MENS = (21_307, 1.422617, 315.211799, 3_894, 267)
WOMENS = (21_387, 1.077202, 228.496675, 3_238, 189)
NONE = (21_306, 0.652789, 134.286372, 2_262, 122)


@pytest.mark.parametrize(
    ("treated", "difference", "error", "low", "high"),
    [(MENS, 0.769827, 0.145247, 0.48514, 1.05451), (WOMENS, 0.424412, 0.130333, 0.16896, 0.67987)],
)
def test_revenue_lift_of_the_published_experiment(treated, difference, error, low, high):
    found = lift_from_moments(*treated[:3], *NONE[:3])
    assert found.difference == pytest.approx(difference, abs=2e-6)  # the published means have six decimals
    assert found.standard_error == pytest.approx(error, abs=5e-7)
    assert (round(found.ci_low, 4), round(found.ci_high, 4)) == pytest.approx((low, high), abs=6e-5)
    assert (found.treated_n, found.control_n) == (treated[0], NONE[0])
    assert found.relative == pytest.approx(difference / NONE[1], rel=1e-5)
    assert found.relative_ci_low < found.relative < found.relative_ci_high
    assert found.p_value == pytest.approx(math.erfc(difference / error / math.sqrt(2)), rel=1e-2)


@pytest.mark.parametrize(
    ("treated", "column", "difference", "low", "high"),
    [
        (MENS, 3, 0.076590, 0.069954, 0.083226),
        (WOMENS, 3, 0.045233, 0.038894, 0.051572),
        (MENS, 4, 0.006805, 0.005000, 0.008610),
        (WOMENS, 4, 0.003111, 0.001499, 0.004723),
    ],
)
def test_proportion_lift_of_the_published_experiment(treated, column, difference, low, high):
    found = lift_from_counts(treated[0], treated[column], NONE[0], NONE[column])
    assert found.difference == pytest.approx(difference, abs=5e-7)
    assert found.ci_low == pytest.approx(low, abs=6e-7)
    assert found.ci_high == pytest.approx(high, abs=6e-7)


def test_sample_ratio_mismatch_of_a_published_example():
    """Fabijan et al., KDD 2019: 821,588 against 815,482 where half and half was planned has p = 1.8e-6."""
    assert sample_ratio_p(821_588, 815_482, 0.5) == pytest.approx(1.8e-6, rel=0.02)
    assert sample_ratio_p(900, 100, 0.1) == 1.0


def message(user, name="Notification Sent", days=0.0, campaign="welcome"):
    return {
        "user_id": user,
        "event_name": name,
        "event_time": START + timedelta(days=days),
        "properties": {"campaign_id": campaign, "channel": "email"},
    }


def event(user, days, name="Charged", **properties):
    return {
        "user_id": user,
        "event_name": name,
        "event_time": START + timedelta(days=days),
        "properties": properties,
    }


HELD = "Notification Held Out"


def test_published_visits_through_the_lake(workspace):
    """The published counts as rows: 42,613 people, 6,156 visits, through landing, SQL and statistics."""
    people = pl.concat(
        [
            pl.DataFrame(
                {
                    "user_id": [f"{group}{i}" for i in range(n)],
                    "event_name": [name] * n,
                    "event_time": [START] * n,
                    "properties": ['{"campaign_id": "mens_email"}'] * n,
                }
            )
            for group, name, n in (("m", "Notification Sent", MENS[0]), ("n", HELD, NONE[0]))
        ]
    )
    visits = pl.concat(
        [
            people.filter(pl.col("user_id").str.starts_with(group)).head(count)
            for group, count in (("m", MENS[3]), ("n", NONE[3]))
        ]
    ).with_columns(
        event_name=pl.lit("Site Visited"), event_time=pl.lit(START + timedelta(days=4)), properties=pl.lit(None, str)
    )
    workspace.land_events(people)
    workspace.land_events(visits)
    found = lift(workspace.engine, "mens_email", metric="Site Visited", control_share=0.5, as_of=LATER)
    assert (found.treated_n, found.control_n) == (21_307, 21_306)
    assert found.difference == pytest.approx(0.076590, abs=5e-7)
    assert (found.ci_low, found.ci_high) == pytest.approx((0.069954, 0.083226), abs=6e-7)
    assert found.warnings == ()


def test_counts_from_each_persons_own_start_and_not_at_the_windows_end(workspace):
    workspace.land_events(
        [
            message("early"),
            message("late", days=10),
            message("held", HELD, days=5),
            event("early", -0.5, amount=1000),  # before
            event("early", 0, amount=1),  # at the very start: counts
            event("early", 13.9, amount=2),
            event("early", 14, amount=1000),  # at the end: does not
            event("late", 9, amount=1000),
            event("late", 20, amount=4),
            event("held", 5, amount=8),
            event("held", 18.9, amount="16"),
            event("held", 6, amount="no number"),
            event("held", 6),
            event("stranger", 1, amount=1000),
        ]
    )
    found = lift(workspace.engine, "welcome", as_of=LATER)
    assert (found.treated_n, found.treated_mean, found.control_n, found.control_mean) == (2, 3.5, 1, 24.0)
    assert found.difference == -20.5
    assert found.standard_error is None
    assert "only 1 people in the control group" in " ".join(found.warnings)
    assert lift(workspace.engine, "welcome", within="1 day", as_of=LATER).treated_mean == 0.5


def test_people_stay_where_they_were_assigned(workspace):
    workspace.land_events(
        [
            message("failed", "Notification Failed"),
            message("doubt", "Notification In Doubt"),
            message("bounced"),
            message("bounced", "Notification Failed", days=0.1),
            message("sent_first"),
            message("sent_first", HELD, days=1),
            message("held_first", HELD),
            message("held_first", days=1),
            message("other", campaign="another"),
            message("viewer", "Notification Viewed"),
        ]
    )
    found = lift(workspace.engine, "welcome", as_of=LATER)
    assert (found.treated_n, found.control_n) == (4, 1)
    assert "2 people were both sent to and held out; they count where they came first" in found.warnings
    assert any("1 of the treated were never reached" in warning for warning in found.warnings)


def test_tells_what_a_reader_must_know(workspace):
    rows = [message(f"t{i}") for i in range(500)] + [message(f"c{i}", HELD) for i in range(100)]
    rows += [message("alone", campaign="uncontrolled"), event("t1", 1, amount=5)]
    workspace.land_events(rows)
    found = lift(workspace.engine, "welcome", "conversion", control_share=0.1, as_of=START + timedelta(days=3))
    told = " | ".join(found.warnings)
    assert "only 1 of 500 people in the treated group differ" in told
    assert "sample ratio mismatch: 16.67% were held out where 10.00% was planned" in told
    assert "the window of 600 people is not over yet" in told
    alone = lift(workspace.engine, "uncontrolled", as_of=LATER)
    assert alone.warnings == ("no control group, so nothing to compare with",)
    assert alone.difference is None
    with pytest.raises(UnknownCampaignError, match="never_sent: nobody was sent or held out of this campaign"):
        lift(workspace.engine, "never_sent")
    with pytest.raises(QueryError, match="not a length of time"):
        lift(workspace.engine, "welcome", within="a while")


def test_conversion_is_the_campaigns_goal(workspace):
    workspace.land_events(
        [
            message("a"),
            message("b"),
            message("c", HELD),
            event("a", 1, "Booked"),
            event("a", 2, "Booked"),
            event("b", 1, amount=3),
            message("z", campaign="plain"),
            event("z", 1, amount=0),
        ]
    )
    assert lift(workspace.engine, "welcome", "conversion", goal="Booked", as_of=LATER).treated_mean == 0.5
    assert lift(workspace.engine, "welcome", "conversion", as_of=LATER).treated_mean == 0.5
    table = lift_table(workspace.engine, "conversion", goals={"welcome": "Booked"}, within="36 hours", as_of=LATER)
    assert table["campaign"].to_list() == ["plain", "welcome"]
    assert table["treated_mean"].to_list() == [1.0, 0.5]


def test_agrees_with_a_plain_reference_and_the_table_with_each_lift(workspace):
    rng = random.Random(7)
    rows = []
    for campaign in ("one", "two"):
        for i in range(150):
            name = "Notification Sent" if rng.random() < 0.7 else HELD
            rows.append(message(f"u{i}", name, days=rng.uniform(0, 5), campaign=campaign))
    rows += [
        event(f"u{rng.randrange(150)}", rng.uniform(-2, 12), amount=rng.choice([5, 9.99, 1e6])) for _ in range(400)
    ]
    workspace.land_events(rows)
    table = lift_table(workspace.engine, within="3 days", as_of=LATER)
    for campaign in ("one", "two"):
        groups = {"Notification Sent": [], HELD: []}
        for row in rows:
            if row["properties"].get("campaign_id") == campaign:
                end = row["event_time"] + timedelta(days=3)
                groups[row["event_name"]].append(
                    sum(
                        other["properties"]["amount"]
                        for other in rows
                        if other["event_name"] == "Charged"
                        and other["user_id"] == row["user_id"]
                        and row["event_time"] <= other["event_time"] < end
                    )
                )
        treated, control = groups.values()
        expected = lift_from_moments(
            len(treated), fmean(treated), variance(treated), len(control), fmean(control), variance(control)
        )
        found = lift(workspace.engine, campaign, within="3 days", as_of=LATER)
        for name in ("treated_n", "control_n", "difference", "standard_error", "ci_low", "relative_ci_high", "p_value"):
            assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9), name
        assert_frame_equal(found.frame(), table.filter(campaign=campaign))


def test_an_empty_lake_has_an_empty_table_of_the_same_columns(workspace):
    table = lift_table(workspace.engine)
    assert table.is_empty()
    assert table.columns == lift_from_counts(2, 1, 2, 1).frame().columns


def test_prints_for_people():
    text = str(lift_from_moments(*MENS[:3], *NONE[:3]))
    assert "difference  +0.769828 (95 % interval 0.485141 to 1.05452" in text
    assert "+117.9%" in text
    assert "no bound" in str(lift_from_counts(100, 20, 100, 1))


def test_chart_shows_what_can_be_compared(workspace):
    workspace.land_events(
        [message("a"), message("b"), message("c", HELD), message("d", HELD), message("e", campaign="x")]
    )
    chart = lift_chart(lift_table(workspace.engine, as_of=LATER)).to_dict()
    data = [row for rows in chart["datasets"].values() for row in rows if "campaign" in row]
    assert [row["campaign"] for row in data] == ["welcome"]
    assert "Difference in revenue" in str(chart["layer"])
