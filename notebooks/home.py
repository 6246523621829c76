import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Home", css_file="engage.css")

with app.setup:
    import marimo as mo
    import polars as pl

    from engage import pages
    from engage.analysis.charts.behaviour import people_a_day


@app.cell
def _():
    ws = pages.opened()
    return (ws,)


@app.cell(hide_code=True)
def _(ws):
    pages.header(ws, "home", "What was sent, what is being sent, and how people came and went.")
    return


@app.cell
def _(ws):
    week = ws.week()
    mo.stop(
        week is None,
        mo.vstack(
            [
                pages.nothing(
                    "**The lake is empty.** Bring your own events with `engage import FILE`, send them to the collector "
                    "(`engage serve`), or look around first on sample data with `engage demo`."
                ),
                pages.nothing(
                    "Meanwhile the rest can be prepared: labels, senders and the first campaign.",
                    "message_settings",
                    "Open Message settings",
                ),
            ]
        ),
    )
    return (week,)


@app.cell
def _(week):
    def _stat(name, words, better):
        now, before = week.now[name], week.before[name]
        change = f"{(now - before) / before:+.0%} on the week before" if before else "nothing the week before"
        way = None if now == before or not before else "increase" if now > before else "decrease"
        return mo.stat(f"{now:,}", label=words, caption=change, direction=way, target_direction=better, bordered=True)

    mo.vstack(
        [
            mo.md(f"## Seven days up to {week.until:%d %B %Y}"),
            mo.hstack(
                [
                    _stat("active", "people active", "increase"),
                    _stat("sent", "messages sent", "increase"),
                    _stat("clicked", "clicks", "increase"),
                    _stat("unsubscribed", "unsubscribed", "decrease"),
                ],
                widths="equal",
                wrap=True,
            ),
        ]
    )
    return


@app.cell
def _(week):
    pages.chart(people_a_day(week.daily))
    return


@app.cell
def _(ws):
    runs = pages.tried(ws.runs)
    rows = [
        {
            "run": run.run_id,
            "state": run.state,
            "people": run.audience,
            "sent": run.sent,
            "held_out": run.held_out,
            "left_out": sum(run.excluded.values()),
            "failed": sum(run.failed.values()),
            "in_doubt": run.in_doubt,
            "pending": run.pending,
            "error": run.error,
        }
        for run in reversed(runs)
    ]
    _open = [row for row in rows if row["state"] in ("running", "paused", "stopping", "failed") or row["in_doubt"]]
    _words = (
        mo.callout(
            mo.md(
                f"**{len(_open)} of {len(rows)} runs want a look**: "
                + ", ".join(f"`{row['run']}` ({row['state']})" for row in _open[:5])
                + ". `engage delivery --help` tells how to pause, resume, retry and settle."
            ),
            kind="warn",
        )
        if _open
        else mo.md("All runs are completed.")
        if rows
        else pages.nothing("**Nothing was sent yet.** Compose a campaign and send it.", "campaigns", "Open Campaigns")
    )
    mo.vstack([mo.md("## Runs"), _words, pages.table(pl.DataFrame(rows)) if rows else mo.md("")])
    return


@app.cell
def _(ws):
    channels = ws.channels()
    _count = {state: channels.filter(pl.col("state") == state)["channel"].to_list() for state in ("ready", "outbox")}
    _faulty = channels.filter(pl.col("state") == "incomplete")
    _lines = [
        f"- **ready**: {', '.join(_count['ready'])}" if _count["ready"] else "",
        f"- **written to `data/outbox/`, reaching nobody**: {', '.join(_count['outbox'])}" if _count["outbox"] else "",
        *(f"- **{row['channel']}** is incomplete: {row['note']}" for row in _faulty.iter_rows(named=True)),
    ]
    mo.vstack(
        [
            mo.md("## Channels' health"),
            mo.md("\n".join(line for line in _lines if line)),
            mo.md(f"[Set them up in Message settings]({pages.link('message_settings')})")
            if pages.link("message_settings")
            else mo.md(""),
        ]
    )
    return


@app.cell
def _():
    mo.vstack(
        [
            mo.md("## Where to go"),
            mo.md(
                "\n".join(
                    f"- [{page.title}]({pages.link(page.name)}): {page.about}"
                    if pages.link(page.name)
                    else f"- **{page.title}**: {page.about}"
                    for page in pages.PAGES[1:]
                )
            ),
        ]
    )
    return


if __name__ == "__main__":
    app.run()
