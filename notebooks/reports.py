import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="Campaign reports")

with app.setup:
    from datetime import UTC, datetime

    import altair as alt
    import marimo as mo
    import polars as pl

    import engage
    from engage.analysis.charts.campaign import days_chart, funnel_chart, variants_chart
    from engage.analysis.charts.retention import retention_curve
    from engage.analysis.report_view import ReportView
    from engage.reports.files import to_csv, to_excel, to_parquet


@app.cell
def _():
    ws = engage.Workspace.open(mo.notebook_dir() or ".")
    report = ws.campaign_report()
    return report, ws


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Campaign reports

    One row a campaign, over all channels. **Lift** is the conversion rate of those sent less that of those held out,
    with a 95 % interval; where the interval crosses zero, the campaign may have done nothing. **Choose a row** to look
    into it.
    """)
    return


@app.cell
def _(report):
    def _options(column):
        return sorted(set(report[column].drop_nulls()))

    channel = mo.ui.multiselect(_options("channel"), label="Channel")
    status = mo.ui.multiselect(_options("status"), label="Status")
    kind = mo.ui.multiselect(_options("delivery_type"), label="Type")
    label = mo.ui.multiselect(sorted(set(report["labels"].explode().drop_nulls())), label="Label")
    days = mo.ui.dropdown(
        {"any time": None, "7 days": 7, "30 days": 30, "90 days": 90}, value="any time", label="Sent in"
    )
    text = mo.ui.text(placeholder="name contains …", label="Search")
    mo.hstack([channel, status, kind, label, days, text], justify="start", wrap=True)
    return channel, days, kind, label, status, text


@app.cell
def _(report):
    first = (
        "campaign", "channel", "status", "labels", "last_sent_at", "sent", "held_out", "delivered", "viewed", "clicked",
        "converted", "revenue", "conversion_rate", "lift", "lift_low", "lift_high", "unsubscribed", "failed",
    )  # fmt: skip
    columns = mo.ui.multiselect(report.columns, value=list(first), label="Columns", full_width=True)
    mo.accordion({"Columns": columns})
    return (columns,)


@app.cell
def _(channel, columns, days, kind, label, report, status, text, ws):
    view = ReportView(
        channels=tuple(channel.value),
        statuses=tuple(status.value),
        delivery_types=tuple(kind.value),
        labels=tuple(label.value),
        text=text.value,
        last_days=days.value,
    )
    shown = view.apply(report, now=datetime.now(UTC), timezone=ws.settings.timezone)
    chosen = [name for name in report.columns if name in columns.value] or report.columns
    return chosen, shown, view


@app.cell
def _(chosen, report, shown):
    mo.stop(
        not report.height,
        mo.callout(mo.md("Nothing was sent yet. Make a campaign in **Campaigns**, or run `make demo`."), kind="info"),
    )
    mo.stop(not shown.height, mo.callout(mo.md("No campaign fits. Clear a filter."), kind="info"))
    rates = ("delivered_rate", "viewed_rate", "clicked_rate", "conversion_rate", "control_rate")
    table = mo.ui.table(
        shown.with_columns(pl.col("labels").list.join(", ")).select(list(dict.fromkeys((*chosen, "campaign_id")))),
        selection="single",
        initial_selection=[0],
        page_size=15,
        freeze_columns_left=["campaign"] if "campaign" in chosen else None,
        hidden_columns=[] if "campaign_id" in chosen else ["campaign_id"],
        format_mapping=dict.fromkeys(rates, "{:.1%}")
        | dict.fromkeys(("lift", "lift_low", "lift_high"), "{:+.1%}")
        | {"revenue": "{:,.2f}"},
        show_download=False,
    )
    table
    return (table,)


@app.cell
def _(chosen, shown):
    files = shown.select(chosen)
    mo.hstack(
        [
            mo.download(data=lambda: to_csv(files), filename="campaigns.csv", label=".csv"),
            mo.download(data=lambda: to_excel(files), filename="campaigns.xlsx", label=".xlsx"),
            mo.download(data=lambda: to_parquet(files), filename="campaigns.parquet", label=".parquet"),
        ],
        justify="start",
    )
    return


@app.cell
def _():
    mail = (
        mo.md("**E-mail this table as a .csv** to {to} {title}")
        .batch(
            to=mo.ui.text(placeholder="ada@example.com, bob@example.com", full_width=True),
            title=mo.ui.text(value="Campaign report"),
        )
        .form(submit_button_label="Send", clear_on_submit=False, bordered=True)
    )
    mail
    return (mail,)


@app.cell
def _(chosen, mail, view, ws):
    from dataclasses import replace

    mo.stop(not mail.value)
    _to = [one.strip() for one in mail.value["to"].replace(";", ",").split(",") if one.strip()]
    try:
        _mailed = ws.mail_report(_to, replace(view, columns=tuple(chosen)), title=mail.value["title"])
        _said = [f"Sent to {', '.join(_mailed.sent)}."] if _mailed.sent else []
        _said += [f"{address} was not sent it: {why}." for address, why in _mailed.failed]
        _answer = mo.callout(" ".join(_said), kind="warn" if _mailed.failed else "success")
    except (engage.errors.EngageError, engage.errors.ConfigurationError) as _error:
        _answer = mo.callout(str(_error), kind="danger")
    _answer
    return


@app.cell
def _(shown):
    _measured = shown.filter(pl.col("lift").is_not_null())
    mo.stop(not _measured.height, mo.md("*No campaign here has a control group, so there is no lift to show.*"))
    _base = alt.Chart(
        _measured.drop("labels"),
        title=alt.Title("Lift in conversion", subtitle="Dot: difference to the held out. Bar: 95 % interval"),
    )
    lifts = alt.layer(
        alt.Chart(pl.DataFrame({"x": [0.0]})).mark_rule(strokeDash=[4, 4], color="#888").encode(x="x:Q"),
        _base.mark_rule(color="#0b5fa5", strokeWidth=3).encode(
            x=alt.X("lift_low:Q", title="percentage points", axis=alt.Axis(format="+.1%")),
            x2="lift_high:Q",
            y=alt.Y("campaign:N", title=None, sort="-x"),
        ),
        _base.mark_point(filled=True, size=90, color="#0b5fa5").encode(
            x="lift:Q",
            y=alt.Y("campaign:N", title=None, sort="-x"),
            tooltip=[
                alt.Tooltip("campaign:N"),
                alt.Tooltip("lift:Q", format="+.2%"),
                alt.Tooltip("lift_low:Q", title="from", format="+.2%"),
                alt.Tooltip("lift_high:Q", title="to", format="+.2%"),
                alt.Tooltip("lift_p_value:Q", title="p", format=".3f"),
            ],
        ),
    ).properties(width="container", height=alt.Step(36))
    mo.ui.altair_chart(lifts, chart_selection=False, legend_selection=False)
    return


@app.cell
def _(table, ws):
    mo.stop(not len(table.value), mo.md("*Choose a row above to look into a campaign.*"))
    campaign_id = table.value["campaign_id"][0]
    detail = ws.campaign_detail(campaign_id)
    mo.stop(not detail.days.height, mo.md(f"*Nothing was sent by {campaign_id} yet.*"))
    return campaign_id, detail


@app.cell
def _(campaign_id, detail):
    def _plain(chart):
        return mo.ui.altair_chart(chart, chart_selection=False, legend_selection=False)

    _rates = ("clicked_rate", "conversion_rate", "conversion_low", "conversion_high")
    _shares = ("difference", "difference_low", "difference_high")
    variants = mo.ui.table(
        detail.variants,
        selection=None,
        show_download=False,
        format_mapping=dict.fromkeys(_rates, "{:.1%}") | dict.fromkeys(_shares, "{:+.1%}") | {"p_value": "{:.3g}"},
    )

    def _table(frame, nothing):
        return mo.ui.table(frame, selection=None, show_download=False) if frame.height else mo.md(f"*{nothing}*")

    mo.vstack(
        [
            mo.md(f"## {campaign_id}"),
            mo.ui.tabs(
                {
                    "Funnel": _plain(funnel_chart(detail.funnel)),
                    "Variants": mo.vstack([_plain(variants_chart(detail.variants)), variants]),
                    "Days": _plain(days_chart(detail.days)),
                    "Links": _table(detail.links, "No link was clicked."),
                    "Failures": _table(detail.failures, "Nothing failed, nobody unsubscribed."),
                }
            ),
        ]
    )
    return


@app.cell
def _(campaign_id, report):
    labels_sent = report.filter(pl.col("campaign_id") == campaign_id)["labels"][0]
    mo.stop(labels_sent is None or not len(labels_sent), mo.md("*It carries no message label.*"))
    cohort = mo.ui.dropdown(list(labels_sent), value=labels_sent[0], label="Those sent the label")
    cohort
    return (cohort,)


@app.cell
def _(cohort, ws):
    _groups = {f"sent {cohort.value}": "sent", "not sent": "rest"}
    _found = {name: ws.label_retention(cohort.value, 30, group=group) for name, group in _groups.items()}
    _curves = {name: followed for name, followed in _found.items() if followed.height}
    mo.stop(not _curves, mo.md("*Nobody was sent it yet.*"))
    mo.ui.altair_chart(
        retention_curve(_curves, title=f"Who came back within 30 days: sent {cohort.value} or not"),
        chart_selection=False,
        legend_selection=False,
    )
    return


if __name__ == "__main__":
    app.run()
