import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Home")

with app.setup:
    import altair as alt
    import marimo as mo
    import polars as pl

    import engage
    from engage.analysis.charts.theme import COUNT, DAY, PALETTE, titled


@app.cell
def _():
    ws = engage.Workspace.open(mo.notebook_dir() or ".")
    runs = ws.runs()
    return runs, ws


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Home

    What was sent, what is being sent, and how people came and went.
    """)
    return


@app.cell
def _(ws):
    latest = ws.sql("select max(event_time) as latest from events").item()
    mo.stop(
        latest is None,
        mo.callout(
            mo.md(
                "The lake is empty. Bring your events with `engage import FILE`, or look around first with `make demo`."
            ),
            kind="info",
        ),
    )
    week = ws.sql(
        """
        select
            count(distinct user_id) filter (where is_now and kind = 'came') as active,
            count(distinct user_id) filter (where not is_now and kind = 'came') as active_before,
            count(*) filter (where is_now and kind = 'sent') as sent,
            count(*) filter (where not is_now and kind = 'sent') as sent_before,
            count(*) filter (where is_now and kind = 'clicked') as clicked,
            count(*) filter (where not is_now and kind = 'clicked') as clicked_before,
            count(*) filter (where is_now and kind = 'left') as gone,
            count(*) filter (where not is_now and kind = 'left') as gone_before,
        from (
            select user_id, event_time > $latest::timestamptz - interval 7 day as is_now, 'came' as kind
            from activity where event_time > $latest::timestamptz - interval 14 day
            union all
            select
                user_id,
                event_time > $latest::timestamptz - interval 7 day,
                case event_name
                    when 'Notification Sent' then 'sent' when 'Notification Clicked' then 'clicked' else 'left'
                end,
            from notifications
            where
                event_time > $latest::timestamptz - interval 14 day
                and event_name in ('Notification Sent', 'Notification Clicked', 'Channel Unsubscribed')
        )
        """,
        latest=latest,
    ).row(0, named=True)
    return latest, week


@app.cell
def _(latest, week):
    def _stat(name, words):
        now, before = week[name], week[f"{name}_before"]
        change = f"{(now - before) / before:+.0%} on the week before" if before else "nothing the week before"
        return mo.stat(f"{now:,}", label=words, caption=change)

    mo.vstack(
        [
            mo.md(f"### Seven days up to {latest:%d %B %Y}"),
            mo.hstack(
                [
                    _stat("active", "people active"),
                    _stat("sent", "messages sent"),
                    _stat("clicked", "clicks"),
                    _stat("gone", "unsubscribed"),
                ],
                widths="equal",
                wrap=True,
            ),
        ]
    )
    return


@app.cell
def _(latest, ws):
    daily = ws.sql(
        "select local_date(event_time) as day, count(distinct user_id) as people from activity "
        "where event_time > $latest::timestamptz - interval 60 day group by all order by day",
        latest=latest,
    )
    _chart = (
        alt.Chart(daily)
        .mark_area(line={"color": PALETTE[0]}, color=PALETTE[0], opacity=0.2)
        .encode(
            x=alt.X("day:T", title=None),
            y=alt.Y("people:Q", title=None, axis=alt.Axis(format="~s")),
            tooltip=[
                alt.Tooltip("day:T", title="Day", format=DAY),
                alt.Tooltip("people:Q", title="People", format=COUNT),
            ],
        )
        .properties(height=160, width="container", title=titled("People active a day", "the last 60 days"))
    )
    mo.ui.altair_chart(_chart, chart_selection=False, legend_selection=False)
    return


@app.cell
def _(runs):
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
        else mo.md("All runs are completed." if rows else "Nothing was sent yet: open **Campaigns** and make one.")
    )
    mo.vstack(
        [
            mo.md("### Runs"),
            _words,
            mo.ui.table(pl.DataFrame(rows), selection=None, page_size=8, show_download=False) if rows else mo.md(""),
        ]
    )
    return


@app.cell
def _(ws):
    files = sorted(ws.settings.notebooks.glob("*.py"))
    about = {
        "audiences": "who: build segments, see sizes, reach and overlap",
        "people": "one person: what they did and what they were sent",
        "campaigns": "compose, plan, test, approve and send",
        "journeys": "draw what happens to people over weeks",
        "clever_campaigns": "start from a campaign that is known to work",
        "reports": "what every campaign did, and the table by e-mail",
        "retention": "who came back after a message label",
        "funnels": "where people stop",
        "trends": "how much, day by day",
        "facebook_audiences": "segments as Facebook audiences",
        "message_settings": "labels, channels, limits, suppressed addresses",
    }
    _rows = [
        f"- [{file.stem.replace('_', ' ').capitalize()}](?file={file.name}): {about[file.stem]}"
        for file in sorted(files, key=lambda file: list(about).index(file.stem) if file.stem in about else 99)
        if file.stem in about
    ]
    mo.vstack([mo.md("### Notebooks"), mo.md("\n".join(_rows))])
    return


if __name__ == "__main__":
    app.run()
