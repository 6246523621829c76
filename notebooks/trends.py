import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Trends")

with app.setup:
    from datetime import timedelta

    import marimo as mo

    from engage import pages
    from engage.analysis.charts import behaviour as charts


@app.cell
def _():
    ws = pages.opened()
    return (ws,)


@app.function
def drawn(chart):
    """A chart as the notebook shows it."""
    return mo.ui.altair_chart(chart, chart_selection=False, legend_selection=False)


@app.cell(hide_code=True)
def _(ws):
    pages.header(ws, "trends", "What people do. Choose whose behaviour is shown; everything below follows.")
    return


@app.cell
def _(ws):
    names = ws.sql("select event_name, count(*) as n from events group by 1 order by n desc")["event_name"].to_list()
    mo.stop(
        not names,
        pages.nothing(
            "**The lake is empty**: there is nothing to draw yet. Bring your events with `engage import FILE`, or look around "
            "on sample data with `engage demo`."
        ),
    )
    last = ws.sql("select max(event_time) as t from events").item()
    return last, names


@app.cell
def _(names, ws):
    label_choice = mo.ui.dropdown([label.name for label in ws.labels()], label="Sent the label")
    segment_choice = mo.ui.dropdown([file.name for file in ws.segments()], label="In the segment")
    events_choice = mo.ui.multiselect(names, value=names[:1], label="Events")
    measure_choice = mo.ui.dropdown({"how often": "count", "people": "users"}, value="how often", label="Count")
    period_choice = mo.ui.dropdown(["day", "week", "month"], value="week", label="Each")
    mo.vstack(
        [
            mo.hstack([label_choice, segment_choice], justify="start"),
            mo.hstack([events_choice, measure_choice, period_choice], justify="start"),
        ]
    )
    return events_choice, label_choice, measure_choice, period_choice, segment_choice


@app.cell
def _(label_choice, segment_choice):
    people = {"label": label_choice.value, "segment": segment_choice.value}
    return (people,)


@app.cell
def _(events_choice, measure_choice, people, period_choice, ws):
    mo.stop(not events_choice.value, mo.callout(mo.md("Choose an event."), kind="info"))
    trend = ws.trends(events_choice.value, measure=measure_choice.value, period=period_choice.value, **people)
    _unit = "people" if measure_choice.value == "users" else "times"
    drawn(charts.trend_lines(trend, title=f"Trend by {period_choice.value}", unit=_unit))
    return


@app.cell
def _(people, ws):
    active = ws.active_users(**people)
    mo.vstack([mo.md("## Active users"), drawn(charts.active_users_lines(active))])
    return (active,)


@app.cell
def _(people, period_choice, ws):
    sticky = ws.stickiness(period=period_choice.value, periods=30 if period_choice.value == "day" else 12, **people)
    mo.vstack([mo.md("## Stickiness"), drawn(charts.stickiness_bars(sticky, unit=period_choice.value))])
    return


@app.cell
def _(names):
    path_choice = mo.ui.dropdown(names, value=names[0] if names else None, label="Event", searchable=True)
    direction_choice = mo.ui.radio(["after", "before"], value="after", inline=True)
    within_choice = mo.ui.dropdown(["1 hour", "1 day", "7 days", "30 days"], value="30 days", label="Within")
    mo.vstack([mo.md("## Paths"), mo.hstack([path_choice, direction_choice, within_choice], justify="start")])
    return direction_choice, path_choice, within_choice


@app.cell
def _(direction_choice, path_choice, people, within_choice, ws):
    mo.stop(path_choice.value is None, mo.md("No events yet."))
    way = ws.paths(path_choice.value, direction=direction_choice.value, within=within_choice.value, **people)
    drawn(charts.path_flow(way, title=f"What people did {direction_choice.value} {path_choice.value}"))
    return


@app.cell
def _(last, people, ws):
    # Counted to the last event, so that a lake of old data is not all asleep.
    _as_of = last and last + timedelta(seconds=1)
    customers = ws.rfm(as_of=_as_of, **people)
    mo.vstack([mo.md("## Customers"), drawn(charts.rfm_grid(customers))])
    return (customers,)


@app.cell
def _(people, period_choice, ws):
    gone = ws.uninstalls(period=period_choice.value, **people)
    after = ws.uninstalls_after("label", **people)
    mo.vstack(
        [
            mo.md("## Uninstalls"),
            drawn(charts.uninstall_bars(gone)) if gone.height else mo.md("No installs or uninstalls yet."),
            drawn(charts.uninstall_rates(after)) if after.height else mo.md("No messages sent yet."),
        ]
    )
    return


if __name__ == "__main__":
    app.run()
