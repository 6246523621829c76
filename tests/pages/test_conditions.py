from __future__ import annotations

import pytest

import engage
from engage.analysis.segment_conditions import All, Any, Did, InSegment, Not, Profile, Sent
from engage.errors import QueryError
from engage.pages.conditions import KINDS, OPERATORS, REACTIONS, condition_of, rows_condition, value_of


@pytest.mark.parametrize(
    ("kind", "row", "expected"),
    [
        ("did", {"event": "Charged", "times": "at_least", "count": 2}, Did("Charged", at_least=2)),
        ("did", {"event": "Charged", "times": "exactly", "count": 3, "since": "9 days ago"},
         Did("Charged", exactly=3, since="9 days ago")),
        ("did", {"event": "Charged", "count": 1, "property": "amount", "operator": "gt", "value": "20"},
         Did("Charged", {"amount": {"gt": 20}}, at_least=1)),
        ("did_not", {"event": "Charged", "count": 5}, Did("Charged", exactly=0)),
        ("did", {"event": "Charged", "count": 0, "times": "at_most"}, Did("Charged", at_most=0)),
        ("did", {"event": "Charged", "count": 1, "occurrence": "first", "before": "2026-03-01"},
         Did("Charged", at_least=1, before="2026-03-01", occurrence="first")),
        ("profile", {"property": "age", "operator": "between", "value": "5, 20"},
         Profile({"age": {"between": [5, 20]}})),
        ("profile", {"property": "zip", "operator": "starts_with", "value": "10"},
         Profile({"zip": {"starts_with": "10"}})),
        ("profile", {"property": "country", "operator": "in", "value": "DE, AT"},
         Profile({"country": {"in": ["DE", "AT"]}})),
        ("profile", {"property": "email", "operator": "is_not_set"}, Profile({"email": {"is_not_set": True}})),
        ("sent", {"label": "Spring"}, Sent(label="Spring")),
        ("sent", {"label": "Spring", "reaction": "not_converted"},
         Sent(label="Spring", reaction="converted", reacted=False)),
        ("sent", {"campaign": "hello", "channel": "sms", "before": "2026-03-01", "reaction": "clicked"},
         Sent(campaign="hello", channel="sms", before="2026-03-01", reaction="clicked")),
        ("not_sent", {"label": "Spring"}, Not(Sent(label="Spring"))),
        ("segment", {"segment": "everyone"}, InSegment("everyone")),
        ("not_segment", {"segment": "everyone"}, Not(InSegment("everyone"))),
        *((kind, {}, None) for kind in KINDS.values()),
    ],
)  # fmt: skip
def test_a_row_of_the_form_is_a_condition(kind: str, row: dict[str, object], expected: object) -> None:
    assert condition_of(kind, row) == expected


def test_rows_are_put_together_as_said() -> None:
    one, two = ("did", {"event": "Charged"}), ("segment", {"segment": "everyone"})
    did = Did("Charged", at_least=1)
    assert rows_condition([one, ("did", {})]) == did
    assert rows_condition([one, two]) == All(did, InSegment("everyone"))
    assert rows_condition([one, two], match="any") == Any(did, InSegment("everyone"))
    here = [(kind, {**row, "group": "A"}) for kind, row in (one, two)]
    third = ("segment", {"segment": "lapsed_buyers"})
    lapsed = InSegment("lapsed_buyers")
    assert rows_condition([here[0], third, here[1]]) == All(Any(did, InSegment("everyone")), lapsed)
    assert rows_condition([third, *here], match="any") == Any(lapsed, All(did, InSegment("everyone")))
    assert rows_condition(here) == Any(did, InSegment("everyone"))
    assert rows_condition([here[0], third]) == All(did, lapsed)
    with pytest.raises(QueryError, match="nothing is asked"):
        rows_condition([("did", {})])


@pytest.mark.parametrize(
    ("text", "value"), [(" 12 ", 12), ("-1.5", -1.5), ("nan", "nan"), ("1e9", "1e9"), ("true", True), ("a, b", "a, b")]
)
def test_what_is_typed_is_a_number_where_it_is_one(text: str, value: object) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize("operator", OPERATORS.values())
@pytest.mark.parametrize("reaction", REACTIONS.values())
def test_everything_the_form_offers_can_be_asked(workspace: engage.Workspace, operator: str, reaction: str) -> None:
    rows: list[tuple[str, dict[str, object]]] = [
        (
            "did",
            {
                "event": "Charged",
                "property": "amount",
                "operator": operator,
                "value": "5, 9" if operator == "between" else "5",
            },
        ),
        ("sent", {"label": "Spring", "reaction": reaction, "since": "30 days ago"}),
    ]
    assert workspace.count_preview(workspace.build_segment(rows_condition(rows))) == 0
