"""Derived tables as SQL: what of the answer they hold, put together with the files that they do not know yet.

They are used only where they give exactly the raw answer: the workspace's views of events are the ones shipped, nothing
is asked as of a time of receipt, and `as_of` is none, later than everything, or the first instant of a day.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from engage.lake.derived.manifest import Survey, folder, survey
from engage.lake.derived.table import Table
from engage.lake.derived.user_days import USER_DAYS
from engage.lake.derived.user_labels import USER_LABELS
from engage.query.derived_profiles import profiles_sql
from engage.query.files import literal
from engage.query.shipped import is_shipped
from engage.settings import Settings

__all__ = ["NOTHING", "Derived", "find_derived"]

NOTHING = "0::ubigint"
"""SQL of a word without days."""

_VIEWS = ("user_events", "activity", "identities", "events", "notifications")
_FRESH = 16 * 2**20  # bytes of files beside the tables that cost little; else a quarter of all
_DATE = re.compile(r"date=(?!0001-01-01|9999-12-31)\d{4}-\d\d-\d\d")
_PERSON = "coalesce(row.user_id, person.user_id, row.anonymous_id)"
_MET = "left join identities as person on person.anonymous_id = row.anonymous_id"
_VISITOR = "coalesce(person.user_id, row.user_id)"
_SEEN = (
    "left join (select anonymous_id, user_id from identities where anonymous_id like 'anon-%') as person "
    "on person.anonymous_id = row.user_id"
)


def find_derived(
    settings: Settings, as_of: datetime | None, known_at: datetime | None, *, with_labels: bool = True
) -> Derived | None:
    """Open the derived tables for a question; the caller keeps the lake's files where they are.

    Args:
        settings: The workspace.
        as_of: The question's time.
        known_at: The question's time of receipt.
        with_labels: Whether anything is asked of messages; else the table of labels is left aside.

    Returns:
        None where they are missing, stale, behind by more than a quarter, or could give another answer than the lake.
    """
    if known_at is not None or not is_shipped(settings, _VIEWS):
        return None
    tables = (USER_DAYS, USER_LABELS) if with_labels else (USER_DAYS,)
    surveys = {table.name: survey(settings, table) for table in tables}
    for found in surveys.values():
        if found.manifest is None or found.size(fresh=True) > max(_FRESH, found.size() // 4):
            return None
        if any(_DATE.fullmatch(name.split("/", 1)[0]) is None for name in found.fresh):
            return None
    labels = surveys.get(USER_LABELS.name, Survey())
    derived = Derived(settings, as_of, surveys[USER_DAYS.name], labels)
    return derived if derived.end_day is None or _is_midnight(as_of, settings.timezone) else None


def _is_midnight(as_of: datetime | None, timezone: str) -> bool:
    """Whether a time is the first instant of a day."""
    if as_of is None:
        return False
    local = as_of.astimezone(ZoneInfo(timezone))
    before = (as_of - timedelta(microseconds=1)).astimezone(ZoneInfo(timezone))
    return before.date() < local.date()


@dataclass(frozen=True, slots=True)
class Derived:
    """The derived tables, for one question."""

    settings: Settings
    as_of: datetime | None
    days: Survey
    labels: Survey

    @property
    def is_all_visible(self) -> bool:
        """Whether `as_of` hides nothing that is in the tables (rows beside them are hidden in the SQL)."""
        return self.as_of is None or self.last is None or self.last < self.as_of

    @property
    def end_day(self) -> date | None:
        """The first day of the workspace's time zone that is hidden; None where none is."""
        if self.is_all_visible or self.as_of is None:
            return None
        return self.as_of.astimezone(ZoneInfo(self.settings.timezone)).date()

    @property
    def last(self) -> datetime | None:
        """The time of the last event or message in the tables, so far as they are open; None where they are empty."""
        return max((part.last_at for part in (*self.days.parts, *self.labels.parts)), default=None)

    def fresh_latest(self) -> str | None:
        """SQL of one row: `latest`, the time of the last event or message in the files beside the tables; None where
        there are none.
        """
        selects = []
        for table, found in ((USER_DAYS, self.days), (USER_LABELS, self.labels)):
            if found.fresh:
                files = _files(self.settings, table, found.fresh)
                selects.append(f"select max(event_time) as latest from {files} where visible(event_time)")
        return f"select max(latest) as latest from ({' union all '.join(selects)})" if selects else None

    def sent(self, event: str, label: str) -> str:
        """SQL of `user_id`, `begun_at`: when each person was first sent (or held out of) a message with a label.

        Args:
            event: The message event's name.
            label: The label.
        """
        told = self._told(f"event_name = {literal(event)} and label = {literal(label)}")
        parts = self.labels.parts
        is_one_row = len(parts) == 1 and parts[0].is_base and not parts[0].anonymous and not self.labels.fresh
        begun = told if is_one_row else f"select user_id, min(first_at) as first_at from ({told}) group by user_id"
        hidden = "" if self.is_all_visible else f" where first_at < {literal(self.as_of)}"
        return f"select user_id, first_at as begun_at from ({begun}){hidden}"

    def first_sent(self, event: str, label: str) -> str:
        """SQL of one row: when the first of the messages of :meth:`sent` was, null for none."""
        wanted = f"event_name = {literal(event)} and label = {literal(label)}"
        if not self.is_all_visible:
            wanted += f" and first_at < {literal(self.as_of)}"
        firsts = [f"select min(first_at) as first_at from {source} where {wanted}" for source, _ in self._label_rows()]
        return f"select min(first_at) from ({' union all '.join(firsts) or 'select null::timestamptz as first_at'})"

    def told(self, event: str | None, labels: Sequence[str] = ()) -> str:
        """SQL of `user_id`, `n`, `first_at`, `last_at` of messages, a person's in several rows.

        Needs :attr:`is_all_visible`.

        Args:
            event: SQL of the message event's name; None for any.
            labels: SQL of labels, one of which the message has; with several of them `n` is not right.
        """
        wanted = [] if event is None else [f"event_name = {event}"]
        wanted.append(f"label in ({', '.join(labels)})" if labels else "label is null")
        return self._told(" and ".join(wanted))

    def did(self, event: str | None, *, extra: Sequence[str] = (), is_set: bool = False) -> str:
        """SQL of `user_id`, `n`, `first_at`, `last_at`: one row a person who ever did an event.

        Needs :attr:`is_all_visible`.

        Args:
            event: SQL of the event's name; None for any activity.
            extra: Names of events that count besides.
            is_set: A person may have several rows, of which only `user_id` is right.
        """
        wanted = "row.event_name is null" if event is None else f"row.event_name = {event}"
        if extra:
            wanted = f"({wanted} or row.event_name in ({', '.join(literal(name) for name in extra)}))"
        years = {part.year for part in self.days.parts} | self._fresh_years()
        columns = dict.fromkeys(sorted(years), ("row.n as n", "row.first_at as first_at", "row.last_at as last_at"))
        added = {"n": "sum(n)::bigint", "first_at": "min(first_at)", "last_at": "max(last_at)"}
        if is_set:
            columns = dict.fromkeys(columns, ("null as n", "null as first_at", "null as last_at"))
        ctes = self._people(wanted, columns, added, is_one_row=not extra, is_set=is_set)
        return f"with {', '.join(ctes)} select user_id, n, first_at, last_at from people"

    def masks(self, event: str | None, words: Callable[[int], Sequence[str]], *, with_begun: bool) -> str:
        """SQL of `user_id`, `begun_at`, `m0`, `m1`, …: one row a person who ever did an event.

        Args:
            event: SQL of the event's name; None for any activity.
            words: For a year, SQL of each word over that year's `w0` … `w5`; the same number for every year.
            with_begun: Whether `begun_at`, their first time ever, is needed; else it is not right, and years whose
                words are all nothing are not read.
        """
        wanted = "row.event_name is null" if event is None else f"row.event_name = {event}"
        years = {part.year for part in self.days.parts} | self._fresh_years()
        columns = {
            year: ["row.first_at", *(f"{sql} as m{k}" for k, sql in enumerate(words(year)))]
            for year in sorted(years)
            if with_begun or any(sql != NOTHING for sql in words(year))
        }
        names = [f"m{k}" for k in range(len(words(1970)))]
        added = {"first_at": "min(first_at)"} | {name: f"bit_or({name})" for name in names}
        ctes = self._people(wanted, columns, added)
        return f"with {', '.join(ctes)} select user_id, first_at as begun_at, {', '.join(names)} from people"

    def profiles(self) -> str | None:
        """SQL of the relation `profiles`, where it is the one shipped and the table of states can tell."""
        return profiles_sql(self.settings, self.as_of) if is_shipped(self.settings, ["profiles"]) else None

    def _told(self, wanted: str) -> str:
        selects = []
        for source, has_strangers in self._label_rows():
            columns = "n, first_at, last_at"
            settled = f"select user_id, {columns} from {source} where {wanted}"
            if has_strangers:
                rows = f"(select * from {source} where {wanted} and {USER_LABELS.stranger}) as row {_SEEN}"
                selects.append(f"select {_VISITOR} as user_id, {columns} from {rows}")
                settled += f" and not {USER_LABELS.stranger}"
            selects.append(settled)
        nobody = "select null::varchar as user_id, 0::bigint as n, null::timestamptz as first_at, first_at as last_at"
        return " union all ".join(selects) or f"{nobody} where false"

    def _label_rows(self) -> list[tuple[str, bool]]:
        """What follows `from` for the rows of user labels, each with whether strangers may be among them."""
        root = folder(self.settings, USER_LABELS)
        sources = [
            (f"read_parquet({literal(str(root / part.name))})", bool(part.anonymous)) for part in self.labels.parts
        ]
        if self.labels.fresh:
            sources.append((f"({self._fresh(USER_LABELS, self.labels)})", True))
        return sources

    def _people(
        self,
        wanted: str,
        columns: Mapping[int, Sequence[str]],
        added: Mapping[str, str],
        *,
        is_one_row: bool = True,
        is_set: bool = False,
    ) -> list[str]:
        """Common tables of the user days, under the one id each person is known by; the last of them is `people`.

        Args:
            wanted: Condition on rows, as `row`.
            columns: SQL of the columns, by year; other years are not read.
            added: How each column adds up.
            is_one_row: Whether a person has one such row a year at most.
            is_set: Whether rows are left as they are, and not added up.
        """
        settled, moving = [], []
        for part in self.days.parts:
            if part.year not in columns:
                continue
            chosen = ", ".join(columns[part.year])
            row = f"read_parquet({literal(str(folder(self.settings, USER_DAYS) / part.name))}) as row where {wanted}"
            known = f"select row.user_id, {chosen} from {row}"
            found = f"select {_PERSON} as user_id, {chosen} from {row.replace(' where', f' {_MET} where', 1)}"
            if part.is_base:
                settled.append(known + " and row.user_id is not null" * bool(part.anonymous))
                moving += [f"{found} and row.user_id is null"] * bool(part.anonymous)
            else:
                moving.append(found if part.anonymous else known)
        ctes = []
        if self.days.fresh:
            ctes.append(f"fresh as materialized ({self._fresh(USER_DAYS, self.days)})")
            for year, columns_of_year in columns.items():
                row = f"fresh as row {_MET} where row.year = {year} and {wanted}"
                moving.append(f"select {_PERSON} as user_id, {', '.join(columns_of_year)} from {row}")
        merged = ", ".join(["user_id", *(f"{sql} as {name}" for name, sql in added.items())])
        if is_set and (settled or moving):
            ctes.append(f"people as ({' union all '.join([*settled, *moving])})")
        elif is_one_row and len(settled) == 1 and not moving:
            ctes.append(f"people as ({settled[0]})")
        elif is_one_row and len(settled) == 1:
            # Everyone has one row in the base, so only those with rows elsewhere are added up.
            ctes += [
                f"moving as materialized ({' union all '.join(moving)})",
                f"settled as ({settled[0]})",
                "met as (select * from moving union all select * from settled semi join moving using (user_id))",
                "people as (select * from settled anti join moving using (user_id) "
                f"union all select {merged} from met group by user_id)",
            ]
        else:
            kinds = {"n": "0::bigint", "first_at": "null::timestamptz", "last_at": "null::timestamptz"}
            nothing = [f"{kinds.get(name, NOTHING)} as {name}" for name in added]
            nobody = f"select {', '.join(['null::varchar as user_id', *nothing])} where false"
            rows = " union all ".join([*settled, *moving]) or nobody
            ctes.append(f"people as (select {merged} from ({rows}) group by user_id)")
        return ctes

    def _fresh(self, table: Table, found: Survey) -> str:
        """SQL of a table's rows, with `year`, of the files that are not folded in."""
        seen = "where visible(event_time) and known(received_at)"
        files = f"(select * from {_files(self.settings, table, found.fresh)} {seen})"
        return table.aggregate(files, self.settings.timezone)

    def _fresh_years(self) -> set[int]:
        """Years that fresh files may have rows of, by their folders' UTC dates; a zone is less than a day away."""
        years = set()
        for day in self.days.fresh_days:
            years |= {(day + timedelta(days=days)).year for days in (-1, 0, 1)}
        return years


def _files(settings: Settings, table: Table, names: Iterable[str]) -> str:
    listed = ", ".join(literal(str(settings.lake / table.dataset / name)) for name in names)
    return f"read_parquet([{listed}], hive_partitioning = false, union_by_name = true)"
