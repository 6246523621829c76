"""What a hostile template cannot do, and how soon it is stopped."""

from __future__ import annotations

import time

import pytest

from engage.content.renderer import Renderer
from engage.errors import ContentError

PROFILE = {"name": "Ada", "items": [{"name": "Tea", "price": 3}, {"name": "Cup", "price": 8}], "tags": ["b", "a"]}


def body(template: str) -> str:
    return str(Renderer("sms", {"body": template}).render({"profile": PROFILE})["body"])


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ ''['__class__'] }}",
        "{{ profile.__class__.__init__.__globals__ }}",
        "{{ profile['__init__'] }}",
        "{{ [''] | map(attribute='__class__') | first }}",
        "{{ ('' | attr('__class__')) }}",
        "{{ self.__init__.__globals__ }}",
        "{{ range.__globals__ }}",
        "{{ loop }}",
        "{% for x in [1] %}{{ loop.__init__.__globals__ }}{% endfor %}",
        "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}",
        "{{ '{0.__class__}'.format(1) }}",
        "{{ profile.name.join }}",
        "{{ profile.tags.append(1) }}",
        "{{ profile.pop('name') }}",
        "{{ profile.update({}) }}",
        "{{ cycler.__init__ }}",
        "{{ lipsum.__globals__ }}",
        "{{ namespace.__init__ }}",
        "{{ environment }}",
        "{{ ' budget' | upper ~ budget }}",
    ],
)
def test_nothing_leads_out(template):
    with pytest.raises(ContentError):
        body(template)


def _doubling(start: str, step: str, times: int = 60) -> str:
    return start + step * times


_MACROS = "{% macro m0() %}x{% endmacro %}" + "".join(
    f"{{% macro m{i}() %}}{{{{ m{i - 1}() }}}}{{{{ m{i - 1}() }}}}{{% endmacro %}}" for i in range(1, 40)
)


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{{ profile.name }}" + "x" * 1000 + "{% endfor %}",
        "{{ range(10 ** 12) | list | length }}",
        "{{ 'a' * 10 ** 9 }}",
        "{{ [1] * 10 ** 9 }}",
        "{{ 9 ** 9999 }}",
        _doubling("{% set a = 7 %}", "{% set a = a * a %}") + "{{ a }}",
        _doubling("{% set a = 'aaaaaaaa' %}", "{% set a = a ~ a %}") + "{{ a }}",
        _doubling("{% set a = 'aaaaaaaa' %}", "{% set a = a + a %}") + "{{ a }}",
        _doubling("{% set a = 'aaaaaaaa' %}", "{% set a = a | replace('a', 'aaaaaaaaa') %}") + "{{ a }}",
        _doubling("{% set a %}aaaaaaaa{% endset %}", "{% set a %}{{ a }}{{ a }}{% endset %}") + "{{ a }}",
        _doubling("{% set a = [1] %}", "{% set a = [a, a] %}") + "{{ a | string | length }}",
        _doubling("{% set a = [1] %}", "{% set a = {'x': a, 'y': a} %}") + "{{ a | tojson | length }}",
        _doubling("{% set a = [1] %}", "{% set a = (a, a) %}") + "{{ 'x' if a == a }}",
        "{{ range(99999) | join('" + "a" * 1000 + "') }}",
        "{{ '%999999999d' % 1 }}",
        "{{ '%999999999d' | format(1) }}",
        "{{ '{:999999999}'.format(1) }}",
        "{{ 'a' | center(999999999) }}",
        "{{ 'a'.ljust(999999999) }}",
        "{{ 'a' | indent(999999999) }}",
        "{{ [1] | batch(999999999, 'x') | list }}",
        "{{ '2026-01-01' | date('%999999999d') }}",
        _MACROS + "{{ m39() }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for x in range(9) recursive %}{{ loop(range(9)) }}{% endfor %}",
        "{% macro m(t) %}{% for i in range(90000) %}{{ t }}{% endfor %}{% endmacro %}{{ m('"
        + "z" * 9000
        + "') | length }}",
    ],
)
def test_what_grows_without_end_is_stopped_soon(template):
    start = time.perf_counter()
    with pytest.raises(ContentError) as caught:
        body(template)
    assert time.perf_counter() - start < 5
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (
            "{% for i in profile.items %}{{ loop.index }} {{ i.name }} {{ i.price | money }};{% endfor %}",
            "1 Tea $3.00;2 Cup $8.00;",
        ),
        ("{{ profile.items | sum('price') }}", "11"),
        ("{{ profile.items | map(attribute='name') | join(', ') }}", "Tea, Cup"),
        ("{{ profile.tags | sort | first }}", "a"),
        ("{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}", "a1"),
        ("{% set n = profile.name.upper() %}{{ n }}{{ n[0] }}", "ADAA"),
        ("{% macro b(x) %}[{{ x }}]{% endmacro %}{{ b(1) }}{{ b(2) }}", "[1][2]"),
        ("{{ 'yes' if profile.name.startswith('A') else 'no' }}", "yes"),
        ("{{ 3 * 4 + 2 }} {{ 7 // 2 }} {{ 7 % 4 }} {{ 2 ** 8 }}", "14 3 3 256"),
        ("{% for row in profile.items if row.price > 5 %}{{ row.name }}{% else %}none{% endfor %}", "Cup"),
    ],
)
def test_what_a_message_needs_works(template, expected):
    assert body(template) == expected


def test_a_property_wins_over_a_method_of_that_name():
    assert body("{{ profile.items | length }}") == "2"
