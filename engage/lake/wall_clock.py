"""What a clock on the wall says in a time zone, as SQL.

DuckDB asks ICU about every single time, which takes ten times as long as reading it. A zone's offset changes twice a
year at most in most places, so for a dozen years around now it is looked up among the few instants at which it
changes; DuckDB itself is asked for those, once a process, so that both ways always agree.
"""

from __future__ import annotations

from functools import cache

from engage.lake.scratch import scratch, text

__all__ = ["local_day", "wall_clock"]

_FIRST, _END = "2020-01-01", "2032-01-01"  # elsewhere ICU is asked
_CHANGES = """
with probes as (
    select unnest(generate_series(timestamptz '{first} 00:00:00+00', timestamptz '{end} 00:00:00+00',
        interval 6 hours)) as t
),
spaced as (select t, {offset} as microseconds from probes),
compared as (select t, microseconds, lag(microseconds) over (order by t) as before from spaced),
minutes as (
    select distinct t - to_minutes(minute) as t
    from (select t from compared where microseconds <> before), unnest(range(361)) as earlier(minute)
),
dense as (select t, {offset} as microseconds from minutes),
changes as (
    select t, microseconds, lag(microseconds) over (order by t) as before, lag(t) over (order by t) as previous
    from dense
)
select epoch_us(t) as begin, microseconds from changes
where microseconds <> before and t - previous <= interval 1 minute
union all
select epoch_us(min(t)), first(microseconds order by t) from spaced
union all
select epoch_us(max(t)), null from spaced
order by begin
"""


@cache
def wall_clock(time: str, timezone: str) -> str:
    """SQL of what the clock says at a time.

    Args:
        time: SQL of a TIMESTAMPTZ; it stands in the result several times.
        timezone: IANA name of the zone.

    Returns:
        SQL of a TIMESTAMP, always what ``time at time zone '…'`` gives.
    """
    if timezone == "UTC":
        return f"make_timestamp(epoch_us({time}))"
    begins, offsets = _changes(timezone)
    instant = f"epoch_us({time})"
    known = f"{instant} >= {begins[0]} and {instant} < {begins[-1]}"
    by_change = f"make_timestamp({instant} + {_looked_up(instant, begins[:-1], offsets)})"
    return f"(case when {known} then {by_change} else {_asked(time, timezone)} end)"


def local_day(time: str, timezone: str) -> str:
    """SQL of the day a time (TIMESTAMPTZ, see :func:`wall_clock`) is in, in a time zone."""
    return f"{wall_clock(time, timezone)}::date"


@cache
def _changes(timezone: str) -> tuple[list[int], list[int]]:
    """From when on, in microseconds since 1970, which offset holds; the last begin is the end of what is known."""
    offset = f"epoch_us({_asked('t', timezone)}) - epoch_us(t)"
    with scratch() as connection:
        rows = connection.execute(_CHANGES.format(first=_FIRST, end=_END, offset=offset)).fetchall()
    return [begin for begin, _ in rows], [microseconds for _, microseconds in rows[:-1]]


def _asked(time: str, timezone: str) -> str:
    return f"({time} at time zone {text(timezone)})"


def _looked_up(instant: str, begins: list[int], offsets: list[int]) -> str:
    if len(offsets) == 1:
        return str(offsets[0])
    middle = len(offsets) // 2
    before = _looked_up(instant, begins[:middle], offsets[:middle])
    after = _looked_up(instant, begins[middle:], offsets[middle:])
    return f"case when {instant} < {begins[middle]} then {before} else {after} end"
