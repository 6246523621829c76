"""The campaign report as an e-mail: a summary and a picture in the mail, the whole table beside it as a .csv."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from html import escape

import polars as pl

from engage.channels.message import Message, Outcome
from engage.channels.provider import Provider
from engage.delivery.trial import send_trial
from engage.errors import ContentError
from engage.reports.files import to_csv
from engage.vocabulary import Channel, OutcomeStatus

__all__ = ["Mailed", "report_message", "send_report"]

_BARS = 10
_WIDTH = 220  # pixels of the longest bar; tables and colours, since mail programs show neither SVG nor scripts
_STAGES = (("sent", "#0b5fa5"), ("delivered", "#4a8fc7"), ("viewed", "#8ebbe0"), ("clicked", "#e08a2e"))


@dataclass(frozen=True, slots=True)
class Mailed:
    """What became of a report's mails.

    Args:
        sent: Addresses whose mail the provider took.
        failed: For each address it did not take, why.
    """

    sent: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]


def report_message(
    table: pl.DataFrame, whole: pl.DataFrame, *, title: str, filters: str, at: datetime, address: str, key: str
) -> Message:
    """Write the mail.

    Args:
        table: The report as it is shown, one row a campaign; goes along as .csv.
        whole: The same rows with all columns, which the summary and the picture are drawn from.
        title: The report's name: subject and heading.
        filters: What was filtered, in words.
        at: The moment of the report.
        address: To whom.
        key: What makes this sending of it one: the same key and address are the same mail.

    Returns:
        An e-mail with HTML and text parts and the .csv attached.
    """
    day = f"{at:%Y-%m-%d}"
    totals = {
        name: int(whole[name].sum()) for name in ("users_sent", "sent", "delivered", "viewed", "clicked", "converted")
    }
    revenue = float(whole["revenue"].sum())
    lead = f"{whole.height:,} campaigns" + (f" ({filters})" if filters else "")
    figures = [
        ("Messages sent", f"{totals['sent']:,}"),
        ("Delivered", _of(totals["delivered"], totals["sent"])),
        ("Viewed", _of(totals["viewed"], totals["sent"])),
        ("Clicked", _of(totals["clicked"], totals["sent"])),
        ("People converted", f"{totals['converted']:,}"),
        ("Revenue", f"{revenue:,.2f}"),
    ]
    text = [title, f"{lead}, as of {at:%Y-%m-%d %H:%M %Z}", ""]
    text += [f"{name}: {figure}" for name, figure in figures]
    text += ["", *(f"- {row['campaign']}: {row['sent']:,} sent, {row['clicked']:,} clicked" for row in _largest(whole))]
    text += ["", "The whole table is attached as a .csv.", ""]
    cells = "".join(
        f'<td style="padding:8px 20px 8px 0"><div style="font-size:22px">{escape(figure)}</div>'
        f'<div style="font-size:12px;color:#555">{escape(name)}</div></td>'
        for name, figure in figures
    )
    html = (
        '<!doctype html><html lang="en"><body style="font-family:sans-serif;color:#1c2733;max-width:760px">'
        f'<h1 style="font-size:20px">{escape(title)}</h1>'
        f'<p style="color:#555">{escape(lead)}, as of {at:%Y-%m-%d %H:%M %Z}</p>'
        f'<table role="presentation"><tr>{cells}</tr></table>'
        f"{_picture(whole)}<p>The whole table is attached as a .csv.</p></body></html>"
    )
    slug = "".join(c if c.isalnum() else "-" for c in title.lower()).strip("-") or "report"
    name = sha256(f"{key}\0{address}".encode()).hexdigest()[:32]
    content = {
        "subject": f"{title}, {day}",
        "html": html,
        "text": "\n".join(text),
        "transactional": True,
        "attachments": [{"name": f"{slug}-{day}.csv", "content": to_csv(table)}],
    }
    return Message(f"report-{name}", "", Channel.EMAIL.value, address, content)


def send_report(provider: Provider, messages: Sequence[Message]) -> Mailed:
    """Send a report's mails, each on its own, so that a wrong address does not keep it from the others.

    Raises:
        ChannelError: The provider cannot be reached.
        ConfigurationError: It refuses our login.
    """
    sent: list[str] = []
    failed: list[tuple[str, str]] = []
    for message in messages:
        try:
            outcome = send_trial(provider, message)
        except ContentError as error:
            failed.append((message.address, error.what))
            continue
        if outcome.status == OutcomeStatus.SENT:
            sent.append(message.address)
        else:
            failed.append((message.address, _why(outcome)))
    return Mailed(tuple(sent), tuple(failed))


def _why(outcome: Outcome) -> str:
    return " ".join(str(part) for part in (outcome.reason or outcome.status, outcome.detail) if part)


def _of(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole:.1%})" if whole else f"{part:,}"


def _largest(whole: pl.DataFrame) -> Iterable[dict[str, object]]:
    return whole.filter(pl.col("sent") > 0).top_k(_BARS, by="sent").iter_rows(named=True)


def _picture(whole: pl.DataFrame) -> str:
    rows = list(_largest(whole))
    if not rows:
        return "<p>Nothing was sent yet.</p>"
    longest = max(int(str(row["sent"])) for row in rows)
    legend = " ".join(f'<span style="color:{colour}">&#9632;</span> {name}' for name, colour in _STAGES)
    drawn = []
    for row in rows:
        bars = "".join(
            f'<div style="background:{colour};height:5px;font-size:0;width:{_WIDTH * count // longest or 1}px">'
            "&nbsp;</div>"
            for name, colour in _STAGES
            if (count := int(str(row[name])))
        )
        drawn.append(
            f'<tr><td style="padding:4px 12px 4px 0">{escape(str(row["campaign"]))}</td>'
            f'<td style="padding:4px 12px 4px 0">{bars}</td>'
            f'<td style="text-align:right">{row["sent"]:,} sent, {row["clicked"]:,} clicked</td></tr>'
        )
    more = whole.filter(pl.col("sent") > 0).height - len(rows)
    rest = f"<p>and {more:,} more in the .csv</p>" if more > 0 else ""
    return (
        f'<p style="font-size:12px;color:#555">{legend}</p><table style="font-size:14px">{"".join(drawn)}</table>{rest}'
    )
