import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="Campaign reports", css_file="engage.css")

with app.setup:
    from dataclasses import replace
    from datetime import UTC, datetime

    import marimo as mo
    import polars as pl

    from engage import pages
    from engage.analysis.charts.campaign import (
        compared_chart,
        days_chart,
        devices_chart,
        funnel_chart,
        lifts_chart,
        variants_chart,
    )
    from engage.analysis.charts.retention import retention_curve
    from engage.analysis.report_view import FIRST_COLUMNS, ReportView
    from engage.reports.files import to_csv, to_excel, to_parquet


@app.cell
def _():
    ws = pages.opened()
    get_schedules, set_schedules = mo.state(0)
    # What was done stands until the next is done, though what its button belongs to is made anew.
    get_mailed, set_mailed = mo.state(None)
    get_removed, set_removed = mo.state(None)
    asked_label = mo.query_params().get("label")
    return (
        asked_label,
        get_mailed,
        get_removed,
        get_schedules,
        set_mailed,
        set_removed,
        set_schedules,
        ws,
    )


@app.cell(hide_code=True)
def _(ws):
    pages.header(
        ws,
        "reports",
        "One row a campaign or journey, over all channels. **Lift** is the conversion rate of those sent less that of "
        "those held out; where its 95 % interval crosses zero, the campaign may have done nothing. **Choose a row** to "
        "look into it, several to compare them.",
    )
    return


@app.cell
def _(ws):
    report = pages.tried(ws.campaign_report)
    mo.stop(
        not report.height,
        pages.nothing("**Nothing was sent yet.** Compose a campaign and send it.", "campaigns", "Open Campaigns"),
    )
    return (report,)


@app.cell
def _(asked_label, report):
    def _options(column):
        return sorted({part for value in report[column].drop_nulls() for part in value.split(", ")})

    _labels = sorted(set(report["labels"].explode().drop_nulls()))
    channel = mo.ui.multiselect(_options("channel"), label="Channel")
    status = mo.ui.multiselect(_options("status"), label="Status")
    kind = mo.ui.multiselect(_options("delivery_type"), label="Type")
    label = mo.ui.multiselect(_labels, value=[asked_label] if asked_label in _labels else [], label="Label")
    days = mo.ui.dropdown(
        {"any time": None, "7 days": 7, "30 days": 30, "90 days": 90, "between …": 0}, value="any time", label="Sent in"
    )
    text = mo.ui.text(placeholder="name contains …", label="Search", debounce=250)
    mo.hstack([text, channel, status, kind, label, days], justify="start", wrap=True)
    return channel, days, kind, label, status, text


@app.cell
def _():
    since = mo.ui.date(label="from")
    until = mo.ui.date(label="to")
    return since, until


@app.cell
def _(days, since, until):
    mo.hstack([since, until], justify="start", wrap=True) if days.value == 0 else None
    return


@app.cell
def _(report):
    columns = mo.ui.multiselect(
        report.columns,
        value=[name for name in FIRST_COLUMNS if name in report.columns],
        label="Columns",
        full_width=True,
    )
    sort = mo.ui.dropdown(report.columns, value="last_sent_at", label="Sort by", searchable=True)
    descending = mo.ui.checkbox(True, label="largest first")
    mo.accordion({"Columns and order": mo.vstack([columns, mo.hstack([sort, descending], justify="start", wrap=True)])})
    return columns, descending, sort


@app.cell
def _(channel, columns, days, descending, kind, label, report, since, sort, status, text, until, ws):
    view = ReportView(
        channels=tuple(channel.value),
        statuses=tuple(status.value),
        delivery_types=tuple(kind.value),
        labels=tuple(label.value),
        text=text.value,
        last_days=days.value or None,
        date_from=since.value if days.value == 0 else None,
        date_to=until.value if days.value == 0 else None,
        sort=sort.value or "",
        descending=descending.value,
    )
    shown = view.apply(report, now=datetime.now(UTC), timezone=ws.settings.timezone)
    chosen = list(columns.value) or report.columns
    return chosen, shown, view


@app.cell
def _(shown):
    mo.stop(not shown.height, mo.callout(mo.md("No campaign fits. Clear a filter."), kind="info"))
    _cost = shown["cost"].drop_nulls()
    _totals = {
        "campaigns": f"{shown.height:,}",
        "sent": f"{shown['sent'].sum():,}",
        "clicks": f"{shown['clicked'].sum():,}",
        "converted": f"{shown['converted'].sum():,}",
        "revenue": f"{shown['revenue'].sum():,.0f}",
        "cost": f"{_cost.sum():,.2f}" if _cost.len() else "–",
    }
    mo.hstack(
        [mo.stat(value, label=words, bordered=True) for words, value in _totals.items()], widths="equal", wrap=True
    )
    return


@app.cell
def _(chosen, shown):
    mo.stop(not shown.height)
    table = pages.table(
        shown.select(list(dict.fromkeys((*chosen, "campaign_id")))),
        headings={
            "campaign_id": "Id",
            "delivery_type": "Type",
            "last_sent_at": "Last sent",
            "first_sent_at": "First sent",
        },
        selection="multi",
        initial_selection=[0],
        page_size=15,
        show_search=False,
        freeze_columns_left=["campaign"] if "campaign" in chosen else None,
        hidden_columns=[] if "campaign_id" in chosen else ["campaign_id"],
        format_mapping={"labels": pages.label_links},
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
    whens = {
        "now": "",
        "every Monday at 8": "0 8 * * 1",
        "every day at 8": "0 8 * * *",
        "on the first of the month at 8": "0 8 1 * *",
    }
    mail = mo.md("{to}\n\n{title} {when}").batch(
        to=mo.ui.text(label="To", placeholder="ada@example.com, bob@example.com", full_width=True),
        title=mo.ui.text(label="Title", value="Campaign report"),
        when=mo.ui.dropdown(list(whens), value="now", label="When"),
    )
    # Not a form: a form keeps what was sent, and a filter changed afterwards would send it again.
    mail_button = mo.ui.run_button(label="Send")
    mo.vstack(
        [
            mo.md(
                "## E-mail this table\n\nA summary and a picture in the mail, the table as shown beside it as a .csv. On a "
                "schedule, the same filters are asked anew each time; `engage worker` sends it."
            ),
            mail,
            mail_button,
        ]
    )
    return mail, mail_button, whens


@app.cell
def _(chosen, mail, mail_button, set_mailed, set_schedules, view, whens, ws):
    mo.stop(not mail_button.value)
    _to = [one.strip() for one in mail.value["to"].replace(";", ",").split(",") if one.strip()]
    _cron, _title = whens[mail.value["when"]], mail.value["title"] or "Campaign report"
    _view = replace(view, columns=tuple(chosen))
    if _cron:
        _made = pages.tried(lambda: ws.schedule_view(_to, _cron, _view, title=_title))
        set_mailed(pages.done(f"**{_made.name}** goes to {', '.join(_made.to)} {mail.value['when']}."))
        set_schedules(lambda count: count + 1)
    else:
        _mailed = pages.tried(lambda: ws.mail_report(_to, _view, title=_title))
        _said = [f"Sent to {', '.join(_mailed.sent)}."] if _mailed.sent else []
        _said += [f"{address} was not sent it: {why}." for address, why in _mailed.failed]
        set_mailed(mo.callout(" ".join(_said), kind="warn" if _mailed.failed else "success"))
    return


@app.cell
def _(get_mailed):
    get_mailed()
    return


@app.cell
def _(get_schedules, ws):
    get_schedules()
    scheduled = pages.tried(ws.scheduled_reports)
    unschedule = mo.ui.dropdown([one.name for one in scheduled], label="Mail no more")
    unschedule_button = mo.ui.run_button(label="Remove")
    _rows = [
        {
            "report": one.name,
            "to": ", ".join(one.to),
            "when": one.schedule.cron,
            "shows": one.view.words() or "everything",
        }
        for one in scheduled
    ]
    mo.vstack(
        [
            mo.md("**Mailed on a schedule**"),
            pages.table(pl.DataFrame(_rows)),
            mo.hstack([unschedule, unschedule_button], justify="start", wrap=True),
        ]
    ) if scheduled else None
    return unschedule, unschedule_button


@app.cell
def _(set_removed, set_schedules, unschedule, unschedule_button, ws):
    mo.stop(not unschedule_button.value or not unschedule.value)
    pages.tried(lambda: ws.unschedule_report(unschedule.value))
    set_removed(pages.done(f"{unschedule.value} is mailed no more."))
    set_schedules(lambda count: count + 1)
    return


@app.cell
def _(get_removed):
    get_removed()
    return


@app.cell
def _(shown):
    _measured = shown.filter(pl.col("lift").is_not_null()).height
    pages.chart(lifts_chart(shown)) if _measured else mo.md(
        "*No campaign here has a control group, so there is no lift to show. Hold out a tenth of the people of the next.*"
    )
    return


@app.cell
def _(ws):
    by_label = pages.tried(ws.label_report)

    mo.accordion(
        {
            "By label: the sum of what was sent under each; a label leads to its people's retention": pages.table(
                by_label, format_mapping={"label": pages.label_links}
            )
        }
    )
    return


@app.cell
def _(report, shown, table):
    _ids = list(table.value["Id"])
    mo.stop(not _ids, mo.md("*Choose a row above to look into a campaign, several to compare them.*"))
    picked = report.filter(pl.col("campaign_id").is_in(_ids))
    mo.stop(
        len(_ids) > 1,
        mo.vstack([mo.md(f"## {len(_ids)} campaigns compared"), pages.chart(compared_chart(picked))]),
    )
    campaign_id = _ids[0]
    return campaign_id, picked


@app.cell
def _(campaign_id, picked, ws):
    detail = pages.tried(lambda: ws.campaign_detail(campaign_id))
    _row = picked.row(0, named=True)
    _name = mo.md(
        f"## {_row['campaign']}\n\n`{campaign_id}` · {_row['channel']} · {_row['delivery_type']} · {_row['status']}"
    )
    mo.stop(
        not detail.days.height,
        mo.vstack(
            [_name, pages.nothing("Nothing was sent by it yet.", "campaigns", "Plan and send it", campaign=campaign_id)]
        ),
    )

    def _table(frame, nothing):
        return pages.table(frame) if frame.height else mo.md(f"*{nothing}*")

    _told = [
        f"**{row['variant'] or 'Those sent'}** differ by {row['difference']:+.1%} "
        f"({row['difference_low']:+.1%} to {row['difference_high']:+.1%}): "
        + (
            "too few converted yet to tell."
            if row["p_value"] is None
            else "more than chance would."
            if row["p_value"] < 0.05
            else "that may be chance."
        )
        for row in detail.variants.iter_rows(named=True)
        if row["difference"] is not None
    ]
    mo.vstack(
        [
            _name,
            mo.ui.tabs(
                {
                    "Funnel": pages.chart(funnel_chart(detail.funnel)),
                    "Variants": mo.vstack(
                        [
                            pages.chart(variants_chart(detail.variants)),
                            mo.md("  \n".join(_told)),
                            pages.table(detail.variants),
                        ]
                    ),
                    "Days": pages.chart(days_chart(detail.days)),
                    "Links": _table(detail.links, "No link was clicked."),
                    "Failures": _table(detail.failures, "Nothing failed, nobody unsubscribed."),
                    "Devices": mo.vstack([pages.chart(devices_chart(detail.devices)), pages.table(detail.devices)]),
                }
            ),
        ]
    )
    return


@app.cell
def _(campaign_id, ws):
    _known = {one.campaign_id: one.labels for one in ws.campaigns()}
    mo.stop(campaign_id not in _known)
    edit_labels = mo.ui.multiselect([one.name for one in ws.labels()], value=list(_known[campaign_id]), label="Labels")
    save_labels = mo.ui.run_button(label="Save labels")
    mo.vstack(
        [
            mo.md(
                "### Edit campaign\n\nLabels go with messages planned from now on; what was sent keeps the labels it was sent with."
            ),
            mo.hstack([edit_labels, save_labels], justify="start", wrap=True),
        ]
    )
    return edit_labels, save_labels


@app.cell
def _(campaign_id, edit_labels, save_labels, ws):
    mo.stop(not save_labels.value)
    _set = pages.tried(lambda: ws.set_labels(campaign_id, *edit_labels.value))
    pages.done(f"{campaign_id} carries {', '.join(_set.definition.labels) or 'no label'} from now on.")
    return


@app.cell
def _(asked_label, picked):
    labels_sent = picked["labels"][0]
    mo.stop(
        labels_sent is None or not len(labels_sent),
        mo.md("*It was sent without a message label, so there is no cohort to follow. Put one on it above.*"),
    )
    _first = asked_label if asked_label in labels_sent else labels_sent[0]
    cohort = mo.ui.dropdown(list(labels_sent), value=_first, label="Those sent the label")
    return (cohort,)


@app.cell
def _(cohort):
    _to = pages.link("retention", label=cohort.value)
    keep_button = mo.ui.run_button(label="Save them as a segment")
    mo.vstack(
        [
            mo.md("## Who came back"),
            mo.hstack(
                [
                    cohort,
                    keep_button,
                    mo.md(f"[Retention of those sent **{cohort.value}**]({_to})") if _to else mo.md(""),
                ],
                justify="start",
                align="center",
                wrap=True,
            ),
        ]
    )
    return (keep_button,)


@app.cell
def _(cohort, keep_button, ws):
    mo.stop(not keep_button.value)
    _file = pages.tried(lambda: ws.save_label_segment(cohort.value))
    pages.kept_segment(_file)
    return


@app.cell
def _(cohort, ws):
    _groups = {f"sent {cohort.value}": "sent", "held out": "held_out", "not sent": "rest"}
    _found = {name: ws.label_retention(cohort.value, 30, group=group) for name, group in _groups.items()}
    _curves = {name: followed for name, followed in _found.items() if followed.height}
    mo.stop(not _curves, mo.md("*Nobody was sent it yet.*"))
    pages.chart(retention_curve(_curves, title=f"Who came back within 30 days: sent {cohort.value} or not"))
    return


if __name__ == "__main__":
    app.run()
