"""Rendering: what comes out, what is refused, and how it is told."""

from __future__ import annotations

from html import unescape
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.content.renderer import Renderer
from engage.errors import ContentError
from engage.message_fields import CONTENT
from engage.vocabulary import Channel


def body(template: str, **context: object) -> str:
    return str(Renderer("sms", {"body": template}).render({"profile": {}, **context})["body"])


def fault(template: str, **context: object) -> ContentError:
    with pytest.raises(ContentError) as caught:
        body(template, **context)
    return caught.value


def test_renders_every_field_and_keeps_those_that_are_no_templates():
    content = {
        "subject": " Hello {{ profile.name }}\n",
        "html": "<b>{{ profile.name }}</b>",
        "text": "{{ profile.name }}",
        "from": "Ada <ada@example.com>",
    }
    assert Renderer("email", content).render({"profile": {"name": "Tom & Co"}}) == {
        "subject": "Hello Tom & Co",
        "html": "<b>Tom &amp; Co</b>",
        "text": "Tom & Co",
        "from": "Ada <ada@example.com>",
    }


@pytest.mark.parametrize("profile", [{}, {"first_name": None}, {"first_name": ""}, {"first_name": "  "}])
def test_a_default_stands_in_for_what_is_missing_null_or_blank(profile):
    assert body("Hi {{ profile.first_name | default('there') }}", profile=profile) == "Hi there"


def test_a_default_also_covers_what_lies_below_something_missing():
    assert body("{{ profile.address.city.name | default('-') }}") == "-"


def test_a_missing_property_is_false_and_equals_nothing():
    template = "{% if profile.vip %}a{% elif profile.country == 'DE' %}b{% elif not profile.x %}c{% endif %}"
    assert body(template) == "c"


def test_a_missing_property_without_default_names_template_line_and_variable():
    error = fault("Hi\n\n{{ profile.first_name }}")
    assert error.where == "sms.txt.jinja line 3"
    assert "'first_name' is missing" in error.what
    assert "default(" in error.hint


def test_a_null_is_missing_rather_than_the_word_none():
    assert "missing" in fault("{{ data.points }}", data={"points": None}).what


def test_an_unknown_variable_is_found_before_anybody_is_written_to():
    content = {"subject": "s", "html": "<p>\n\n{{ profle.first_name }}"}
    with pytest.raises(ContentError, match=r"email\.html\.jinja line 3: unknown variable 'profle'; known: .*profile"):
        Renderer("email", content)
    with pytest.raises(ContentError, match="did you mean 'profile'"):
        Renderer("email", content)


def test_a_property_written_without_profile_is_explained():
    with pytest.raises(ContentError, match=r"written profile\.first_name"):
        Renderer("sms", {"body": "{{ first_name }}"})


def test_only_the_names_given_are_known():
    with pytest.raises(ContentError, match="unknown variable 'event'"):
        Renderer("sms", {"body": "{{ event.amount }}"}, names={"profile"})


@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("a\n{{ profile.x | defalt }}", "line 2: unknown filter 'defalt'; did you mean 'default'"),
        ("a\n{% if profile.x is defned %}{% endif %}", "line 2: unknown test 'defned'"),
        ("a\n\n{% for x in profile.list %}", "line 3: "),
        ("{% include '/etc/passwd' %}", "include is not available"),
        ("{% import 'x' as x %}", "import is not available"),
        ("{% extends 'x' %}", "extends is not available"),
        ("{% autoescape false %}{% endautoescape %}", "autoescape is not available"),
        ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "cannot be read"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_at_once(template, what):
    with pytest.raises(ContentError, match=what.replace("(", r"\(")):
        Renderer("sms", {"body": template})


def test_unknown_and_missing_fields_are_told():
    with pytest.raises(ContentError, match="email has no field 'subjet'; did you mean 'subject'"):
        Renderer("email", {"subjet": "x", "text": "x"})
    with pytest.raises(ContentError, match="email needs subject"):
        Renderer("email", {"text": "x"})
    with pytest.raises(ContentError, match="email needs html or text"):
        Renderer("email", {"subject": "x"})
    with pytest.raises(ContentError, match="subject is empty"):
        Renderer("email", {"subject": "{{ profile.x | default }}", "text": "x"}).render({"profile": {}})


def test_errors_hold_nobodys_data():
    secret = "ada.lovelace"
    for template in (
        "{{ profile.name | date }}",
        "{{ profile.name + 1 }}",
        "{{ profile.name | money }}",
        "{{ profile }}",
    ):
        assert secret not in str(fault(template, profile={"name": secret}))


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=40))
def test_no_value_becomes_markup(value):
    renderer = Renderer("email", {"subject": "s", "html": '<p title="{{ profile.v }}">{{ profile.v }}</p>'})
    html = renderer.render({"profile": {"v": f"{value}!"}})["html"]
    assert html.count("<") == html.count(">") == html.count('"') == 2
    assert unescape(html) == f'<p title="{value}!">{value}!</p>'


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=40))
def test_no_value_becomes_a_second_header(value):
    renderer = Renderer("email", {"subject": "A {{ profile.v }} B", "text": "t"})
    if any(category(character) in ("Cc", "Zl", "Zp") for character in value):
        with pytest.raises(ContentError, match="line break"):
            renderer.render({"profile": {"v": value}})
    else:
        assert len(renderer.render({"profile": {"v": value}})["subject"].splitlines()) == 1


@pytest.mark.parametrize("value", ["a\r\nBcc: x@example.com", "a\nb", "a\rb", "a\0b", "a\u2028b", "a\x85b", "a\x0bb"])
def test_a_line_break_never_reaches_a_header_or_address(value):
    renderer = Renderer("email", {"subject": "Hi {{ profile.v }}!", "text": "x"})
    with pytest.raises(ContentError, match="subject: would hold a line break"):
        renderer.render({"profile": {"v": value}})
    for field in ("from", "reply_to"):
        with pytest.raises(ContentError, match="line break"):
            Renderer("email", {"subject": "s", "text": "t", field: f"x{value}"})


def test_tells_which_properties_everyone_must_have():
    template = (
        "{{ profile.name }} {{ profile['city'] | upper }} {{ profile.nick | default('x') }}"
        "{% if profile.vip %}{{ profile.level }}{% endif %}{{ event.amount ~ '' }}"
        "{{ profile.a if profile.b else 'c' }}{{ profile.c or 'd' }}"
    )
    assert Renderer("sms", {"body": template}).needs == {
        "profile": frozenset({"name", "city"}),
        "event": frozenset({"amount"}),
    }


def test_every_channel_that_has_fields_renders():
    for channel in Channel:
        content = {field.name: "x" for field in CONTENT[channel] if field.template}
        assert Renderer(channel, content).render({}) == content
