from datetime import timedelta

import pytest

from engage.errors import QueryError
from engage.windows import parse_window


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7 days", 604_800), ("1 day", 86_400), ("90 minutes", 5_400), ("1.5 hours", 5_400), ("2 Weeks", 1_209_600),
     ("10 second", 10)],
)  # fmt: skip
def test_reads_lengths_of_time(text, seconds):
    assert parse_window(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "7", "days", "-1 day", "0 days", "7 months", "1e3 days", "9" * 400 + " days", None]
)
def test_says_what_is_no_length_of_time(text):
    with pytest.raises(QueryError, match="is not a length of time; write a number and a unit"):
        parse_window(text)


def test_takes_a_timedelta():
    assert parse_window(timedelta(hours=3)) == timedelta(hours=3)
    with pytest.raises(QueryError):
        parse_window(timedelta(0))
