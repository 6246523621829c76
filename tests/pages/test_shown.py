from __future__ import annotations

import json
import re
from html import unescape

import altair as alt
import polars as pl
import pytest

from engage import pages
from engage.analysis.charts.theme import titled

ROWS = pl.DataFrame({"day": [1, 2], "people": [3, 4]})


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"),
        (0, "0 seconds"),
        (1, "1 second"),
        (59.94, "59.9 seconds"),
        (60, "1 minute"),
        (5_400, "1.5 hours"),
        (1_015_290, "11.8 days"),
        (400 * 86_400, "400 days"),
    ],
)
def test_a_time_is_said_in_the_unit_that_fits(seconds: float | None, said: str) -> None:
    assert pages.lasting(seconds) == said


def test_a_charts_title_is_text_above_it_and_says_what_the_picture_shows() -> None:
    bars = alt.Chart(ROWS, title=titled("How <many>", "People a day")).mark_bar().encode(x="day:Q", y="people:Q")
    for chart in (bars, alt.layer(bars, bars.mark_line())):
        before = chart.to_dict()
        above, _, picture = pages.chart(chart).text.partition("<marimo-vega")
        assert "How &lt;many&gt;" in above
        assert "People a day" in above
        found = re.search("data-spec='(.*?)'", picture)
        assert found is not None
        spec = json.loads(unescape(found[1]))
        assert spec["description"] == "How <many>. People a day"
        assert "title" not in spec
        assert all("title" not in layer for layer in spec.get("layer", []))
        assert chart.to_dict() == before


def test_a_tables_seconds_are_shown_as_times() -> None:
    frame = pl.DataFrame({"step": [1], "median_seconds": [7200.0], "seconds": [60]})
    assert list(pages.table(frame).data.columns) == ["Step", "Median time", "Time"]
