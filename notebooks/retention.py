import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Retention by label")

with app.setup:
    import marimo as mo

    import engage
    from engage.analysis.charts.retention import retention_curve, retention_heat_map


@app.cell
def _():
    ws = engage.Workspace.open(mo.notebook_dir() or ".")
    labels = [label.name for label in ws.labels()]
    return labels, ws


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Who came back after a message?

    Everyone who was sent a message with a **label**, followed day by day from their own first one. Beside them the
    people the campaign **held out**, who are alike but for the message, and those who were **not sent** it.
    """)
    return


@app.cell
def _(labels):
    label_choice = mo.ui.dropdown(labels, value=labels[0] if labels else None, label="Label")
    label_choice
    return (label_choice,)


@app.cell
def _():
    days_choice = mo.ui.slider(7, 60, value=30, label="Days", show_value=True)
    days_choice
    return (days_choice,)


@app.cell
def _(days_choice, label_choice):
    label, days = label_choice.value, days_choice.value
    return days, label


@app.cell
def _(days, label, ws):
    sent = ws.label_retention(label or "", days)
    held_out = ws.label_retention(label or "", days, group="held_out")
    rest = ws.label_retention(label or "", days, group="rest")
    mo.stop(
        not sent.height,
        mo.callout(
            mo.md(
                "Nobody was sent a message with this label yet. Run `make demo`, or send a campaign that carries it."
            ),
            kind="info",
        ),
    )
    return held_out, rest, sent


@app.cell
def _(days, held_out, label, sent):
    def _share(table, day):
        rows = table.filter(day=day).to_dicts()
        return f"{rows[0]['rate']:.1%}" if rows else "–"

    mo.hstack(
        [
            mo.stat(f"{sent['people'][0]:,}", label=f"people sent {label}"),
            mo.stat(_share(sent, 1), label="back on day 1"),
            mo.stat(_share(sent, 7), label="back on day 7"),
            mo.stat(_share(sent, days), label=f"back on day {days}"),
            mo.stat(_share(held_out, days), label=f"held out, day {days}"),
        ],
        justify="start",
        gap=1,
    )
    return


@app.cell
def _(held_out, label, rest, sent):
    _others = {"held out": held_out, "not sent": rest}
    curves = [
        mo.ui.altair_chart(
            retention_curve({f"sent {label}": sent, name: table}, title=f"Sent {label} against {name}"),
            chart_selection=False,
            legend_selection=False,
        )
        for name, table in _others.items()
        if table.height
    ] or [retention_curve({f"sent {label}": sent}, title=f"Sent {label}")]
    mo.vstack(curves)
    return


@app.cell
def _(days, label, ws):
    first = ws.sql(
        "select min(event_time) as t, max(event_time) as u from notifications "
        "where event_name = 'Notification Sent' and list_contains(labels, $label)",
        label=label,
    ).row(0)
    cohorts = ws.retention(label=label, periods=days + 1, date_from=first[0])
    filled = cohorts.filter(cohorts["size"] > 0)
    heat_map = retention_heat_map(filled, title=f"Sent {label}, by the day of the message")
    mo.ui.altair_chart(heat_map, chart_selection=False, legend_selection=False)
    return


@app.cell
def _(sent):
    mo.ui.table(sent, selection=None, format_mapping={"rate": "{:.2%}"}, label="Day by day")
    return


if __name__ == "__main__":
    app.run()
