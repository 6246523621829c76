"""Filters for people, against values worked out by hand."""

from __future__ import annotations

import pytest

from engage.content.renderer import Renderer
from engage.errors import ContentError


def shown(expression: str, **profile: object) -> str:
    return str(Renderer("sms", {"body": f"[{{{{ {expression} }}}}]"}).render({"profile": profile})["body"])[1:-1]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1234.5 | money", "$1,234.50"),
        ("1234.5 | money('EUR')", "€1,234.50"),
        ("1234567.895 | money('EUR', 'de')", "1.234.567,90\u00a0€"),
        ("1234.5 | money('EUR', 'fr-FR')", "1\u202f234,50\u00a0€"),
        ("1234.5 | money('EUR', 'nl')", "€\u00a01.234,50"),
        ("1234 | money('JPY')", "¥1,234"),
        ("12 | money('SEK')", "SEK\u00a012.00"),
        ("-5 | money", "-$5.00"),
        ("'19.99' | money('GBP')", "£19.99"),
        ("0.125 | money(decimals=3)", "$0.125"),
        ("2.675 | money", "$2.68"),
        ("1234567 | number", "1,234,567"),
        ("1234.56 | number(1, 'de')", "1.234,6"),
        ("-0.4 | number", "0"),
        ("1 | plural('item', 'items')", "1 item"),
        ("0 | plural('item', 'items')", "0 items"),
        ("12345 | plural('item', 'items')", "12,345 items"),
        ("1.5 | plural('hour', 'hours')", "1.5 hours"),
        ("'2026-03-01' | date", "1 March 2026"),
        ("'2026-03-01' | date('%d.%m.%Y')", "01.03.2026"),
        ("'2026-03-01T23:30:00Z' | date('%a %H:%M', 'Europe/Berlin')", "Mon 00:30"),
        ("1772409600 | date('%Y-%m-%d')", "2026-03-02"),
        ("'a' | default('b')", "a"),
        ("0 | default('b')", "0"),
        ("'abc' | replace('b', 'xx')", "axxc"),
        ("[1, 2] | join('-')", "1-2"),
        ("'a b' | urlencode", "a%20b"),
    ],
)
def test_shows_values_as_people_write_them(expression, expected):
    assert shown(expression) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "'x' | money",
        "true | date",
        "'x' | date",
        "1 | date('%Q')",
        "'2026-03-01T00:00Z' | date('%H', 'Mars/Base')",
        "'inf' | number",
        "1e30 | money",
        "1 | money(decimals=99)",
        "[[1]] | join",
        "1e18 | date",
        "'x' | plural('a', 'b')",
    ],
)
def test_refuses_what_it_cannot_show(expression):
    with pytest.raises(ContentError, match=r"sms.txt.jinja line 1"):
        shown(expression)


def test_joining_in_html_escapes_the_parts():
    content = {"subject": "s", "html": "{{ profile.tags | join('<br>' | safe) }}"}
    html = Renderer("email", content).render({"profile": {"tags": ["<i>", "b"]}})["html"]
    assert html == "&lt;i&gt;<br>b"
