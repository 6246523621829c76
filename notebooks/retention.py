import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Retention by label", css_file="engage.css")

with app.setup:
    import marimo as mo

    from engage import pages
    from engage.analysis.charts.retention import retention_curve, retention_difference, retention_heat_map
    from engage.analysis.cohorts import by_week
    from engage.analysis.retention_lift import compared


@app.cell
def _():
    ws = pages.opened()
    labels = [one.name for one in pages.tried(ws.labels)]
    asked_label = mo.query_params().get("label")
    return asked_label, labels, ws


@app.cell(hide_code=True)
def _(ws):
    pages.header(
        ws,
        "retention",
        "Everyone who was sent a message with a **label**, followed day by day from their own first one. Beside them the "
        "people the campaign **held out**, who are alike but for the message, and those who were **not sent** it.",
    )
    return


@app.cell
def _(asked_label, labels, ws):
    _sent = [name for name, people in ws.label_report().select("label", "users_sent").rows() if name and people]
    _sent.sort(key=lambda name: name not in labels)  # those made here first, then imported ones
    mo.stop(
        not _sent,
        pages.nothing(
            "**Nobody was sent a message with a label yet.** Put a label on a campaign and send it; its people can be "
            "followed from then on."
            + ("" if labels else " There is no label yet: make one in Message settings first."),
            "campaigns" if labels else "message_settings",
            "Open Campaigns" if labels else "Make a label",
        ),
    )
    label_choice = mo.ui.dropdown(_sent, value=asked_label if asked_label in _sent else _sent[0], label="Label")
    return (label_choice,)


@app.cell
def _():
    days_choice = mo.ui.slider(7, 90, value=30, label="Days", show_value=True, debounce=True)
    return (days_choice,)


@app.cell
def _(days_choice, label_choice):
    mo.hstack([label_choice, days_choice], justify="start", gap=2, wrap=True)
    return


@app.cell
def _(days_choice, label_choice):
    label, days = label_choice.value, days_choice.value
    return days, label


@app.cell
def _(days, label, ws):
    sent, held_out, rest = (
        pages.tried(lambda group=group: ws.label_retention(label or "", days, group=group))
        for group in ("sent", "held_out", "rest")
    )
    mo.stop(not sent.height, mo.callout(mo.md(f"Nobody was sent {label} yet."), kind="info"))
    return held_out, rest, sent


@app.cell
def _(days, held_out, label, sent):
    def _share(table, day):
        rows = table.filter(day=day).to_dicts()
        return f"{rows[0]['rate']:.1%}" if rows else "–"

    _against = f"held out: {_share(held_out, days)}" if held_out.height else "nobody was held out"
    mo.hstack(
        [
            mo.stat(f"{sent['people'][0]:,}", label=f"people sent {label}", bordered=True),
            mo.stat(_share(sent, 1), label="back on day 1", bordered=True),
            mo.stat(_share(sent, 7), label="back on day 7", bordered=True),
            mo.stat(_share(sent, days), label=f"back on day {days}", caption=_against, bordered=True),
        ],
        widths="equal",
        wrap=True,
    )
    return


@app.cell
def _(held_out, label, rest, sent):
    _curves = {f"sent {label}": sent, "held out": held_out, "not sent": rest}
    pages.chart(
        retention_curve({name: table for name, table in _curves.items() if table.height}, title=f"Back after {label}")
    )
    return


@app.cell
def _(held_out, label, sent):
    mo.stop(not held_out.height)
    pages.chart(retention_difference(compared(sent, held_out), title=f"What {label} did: against those held out"))
    return


@app.cell
def _(label):
    segment_name = mo.ui.text(label="Segment's name", placeholder="sent_" + "_".join(label.lower().split()))
    keep_sent = mo.ui.run_button(label=f"Save those sent {label}")
    keep_rest = mo.ui.run_button(label="Save those not sent it")
    _to = pages.link("reports", label=label)
    mo.vstack(
        [
            mo.md("### Keep these people"),
            mo.hstack([segment_name, keep_sent, keep_rest], justify="start", align="end", wrap=True),
            mo.md(f"[What was sent under {label}]({_to})") if _to else mo.md(""),
        ]
    )
    return keep_rest, keep_sent, segment_name


@app.cell
def _(keep_rest, keep_sent, label, segment_name, ws):
    mo.stop(not (keep_sent.value or keep_rest.value))
    _file = pages.tried(
        lambda: ws.save_label_segment(label, segment_name.value.strip(), was_sent=bool(keep_sent.value))
    )
    pages.kept_segment(_file)
    return


@app.cell
def _(days, label, ws):
    first = ws.sql(
        "select min(event_time) as t from notifications "
        "where event_name = 'Notification Sent' and list_contains(labels, $label)",
        label=label,
    ).item()
    cohorts = pages.tried(lambda: ws.retention(label=label, periods=days + 1, date_from=first, with_ongoing=True))
    filled = cohorts.filter(cohorts["size"] > 0)
    _many = filled["cohort"].n_unique() > 31
    pages.chart(
        retention_heat_map(
            by_week(filled) if _many else filled,
            title=f"Sent {label}, by the {'week' if _many else 'day'} of the message",
        )
    )
    return


@app.cell
def _(sent):
    mo.accordion({"Day by day": pages.table(sent, format_mapping={"rate": lambda rate: f"{rate:.2%}"})})
    return


if __name__ == "__main__":
    app.run()
