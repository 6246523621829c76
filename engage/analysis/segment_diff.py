"""What a change of the SQL does to each segment: the people before and after."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from engage.analysis.segments import find_segment
from engage.errors import EngageError, QueryError
from engage.query.engine import Engine
from engage.settings import Settings

__all__ = ["SegmentChange", "as_frame", "as_markdown", "segment_diff"]


@dataclass(frozen=True, slots=True)
class SegmentChange:
    """One segment before and after.

    Args:
        name: The segment.
        status: added, removed, changed (its own SQL) or affected (SQL it stands on).
        before: How many were in it; None where it was not there or could not be answered.
        after: How many are.
        came_in: user_id of those who come in, sorted.
        dropped_out: user_id of those who drop out, sorted.
        fault: Why one of the two could not be answered; empty when both could.
    """

    name: str
    status: str
    before: int | None
    after: int | None
    came_in: tuple[str, ...] = ()
    dropped_out: tuple[str, ...] = ()
    fault: str = ""


def segment_diff(engine: Engine, revision: str, *, as_of: datetime) -> list[SegmentChange]:
    """Compare every segment with what it was in a git revision, over the same lake and as of the same time.

    Args:
        engine: What answers, with the SQL as it is on disk.
        revision: A commit, branch or tag.
        as_of: The time both are asked for.

    Returns:
        The segments whose SQL, or the SQL of what they read, changed; by name. Empty when no SQL changed.

    Raises:
        QueryError: The workspace is not in git, or there is no such revision.
    """
    settings = engine.settings
    with tempfile.TemporaryDirectory(prefix="engage-diff-") as folder:
        old_sql = Path(folder) / "sql"
        _check_out(settings, revision, old_sql)
        old, new = _texts(old_sql), _texts(settings.sql)
        if old == new:
            return []
        before = Engine(
            _Earlier(settings.root, settings.timezone, settings.week_start, settings.options, folder=old_sql)
        )
        changes = []
        for name in sorted(key.name for key in {*old, *new} if key.parts[0] == "segments"):
            file = Path("segments", name)
            was, fault = _users(before, file.stem, as_of) if file in old else (None, "")
            is_, other = _users(engine, file.stem, as_of) if file in new else (None, "")
            same = old.get(file) == new.get(file)
            status = "added" if file not in old else "removed" if file not in new else "affected" if same else "changed"
            then, now = (set() if users is None else set(users) for users in (was, is_))
            fault = fault or other
            if status == "affected" and then == now and not fault:
                continue
            compared = not fault
            changes.append(
                SegmentChange(
                    file.stem,
                    status,
                    None if was is None else len(was),
                    None if is_ is None else len(is_),
                    tuple(sorted(now - then)) if compared else (),
                    tuple(sorted(then - now)) if compared else (),
                    fault,
                )
            )
        return changes


def as_frame(changes: list[SegmentChange]) -> pl.DataFrame:
    """Changes as a table.

    Returns:
        `segment`, `status`, `before`, `after`, `came_in`, `dropped_out`, `fault`: one row a segment.
    """
    return pl.DataFrame(
        [(c.name, c.status, c.before, c.after, len(c.came_in), len(c.dropped_out), c.fault) for c in changes],
        {"segment": pl.String, "status": pl.String, "before": pl.Int64, "after": pl.Int64, "came_in": pl.Int64,
         "dropped_out": pl.Int64, "fault": pl.String},
        orient="row",
    )  # fmt: skip


def as_markdown(changes: list[SegmentChange], revision: str, as_of: datetime) -> str:
    """Changes as a comment for a pull request; it counts people and names none."""
    title = f"### Segments against `{revision.replace('`', '')}`\n\n"
    if not changes:
        return f"{title}No segment changes.\n"
    lines = ["| segment | SQL | before | after | come in | drop out |", "|---|---|---:|---:|---:|---:|"]
    for change in changes:
        sizes = " | ".join("–" if size is None else f"{size:,}" for size in (change.before, change.after))
        moves = "– | –" if change.fault else f"+{len(change.came_in):,} | −{len(change.dropped_out):,}"
        lines.append(f"| `{change.name}` | {change.status} | {sizes} | {moves} |")
    faults = [f"- `{change.name}`: {_plain(change.fault)}" for change in changes if change.fault]
    told = "\n\nCould not be answered:\n" + "\n".join(faults) if faults else ""
    return f"{title}{chr(10).join(lines)}{told}\n\nAs of {as_of:%Y-%m-%d %H:%M %Z}.\n"


def _plain(text: str) -> str:
    return "".join("\\" + letter if letter in "\\`*_[]<>|@#" else letter for letter in text)


def _users(engine: Engine, name: str, as_of: datetime) -> tuple[list[str] | None, str]:
    try:
        return find_segment(engine, name, as_of=as_of).users()["user_id"].to_list(), ""
    except EngageError as error:
        return None, f"{error.what}{'; ' + error.hint if error.hint else ''}"


@dataclass(frozen=True)
class _Earlier(Settings):
    """The same workspace with the SQL of another folder."""

    folder: Path = Path()

    @property
    def sql(self) -> Path:
        return self.folder


def _texts(folder: Path) -> dict[Path, bytes]:
    files = (path for part in ("lake", "segments") for path in (folder / part).glob("*.sql"))
    return {path.relative_to(folder): path.read_bytes() for path in files}


def _check_out(settings: Settings, revision: str, target: Path) -> None:
    """Put the SQL of a revision into a folder."""
    if not revision or revision.startswith("-"):
        raise QueryError(f"{revision!r} is not a revision", hint="name a commit, branch or tag")
    found = _git(settings, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if found.returncode:
        what = f"there is no revision {revision!r} here"
        raise QueryError(what, where=str(settings.root), hint="name a commit, branch or tag of the workspace's git")
    commit = found.stdout.decode().strip()
    prefix = _git(settings, "rev-parse", "--show-prefix").stdout.decode().strip()
    folder = f"{prefix}{settings.sql.resolve().relative_to(settings.root.resolve())}"
    tree = _git(settings, "archive", "--format=tar", f"{commit}:{folder}")
    target.mkdir(parents=True)
    if tree.returncode:
        return  # no SQL yet in that revision
    with tarfile.open(fileobj=io.BytesIO(tree.stdout)) as archive:
        for member in archive:
            path = Path(member.name)
            if member.isfile() and path.suffix == ".sql" and len(path.parts) == 2 and path.parts[0] != "..":
                content = archive.extractfile(member)
                (target / path.parts[0]).mkdir(exist_ok=True)
                (target / path).write_bytes(content.read() if content else b"")


def _git(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", "-C", str(settings.root), *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        raise QueryError("git is not installed", hint="install it, or compare with `engage segment moved`") from None
