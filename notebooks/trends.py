import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Trends", css_file="engage.css")

with app.setup:
    from datetime import timedelta

    import marimo as mo

    from engage import pages
    from engage.analysis.charts import behaviour as charts


@app.cell
def _():
    ws = pages.opened()
    return (ws,)


@app.cell(hide_code=True)
def _(ws):
    pages.header(ws, "trends", "What people do. Choose whose behaviour is shown; everything below follows.")
    return


@app.cell
def _(ws):
    names = pages.event_names(ws, "there is nothing to draw yet")
    last = ws.latest_event()
    return last, names


@app.cell
def _(names, ws):
    label_choice = mo.ui.dropdown([label.name for label in ws.labels()], label="Sent the label")
    segment_choice = mo.ui.dropdown([file.name for file in ws.segments()], label="In the segment")
    events_choice = mo.ui.multiselect(names, value=ws.suggest_funnel()[-1:], label="Events")
    _measures = {"how often": "count", "people": "users", "the sum of": "sum"}
    measure_choice = mo.ui.dropdown(_measures, value="how often", label="Count", allow_select_none=False)
    amount_text = mo.ui.text(value="amount", label="the property (for sums)", debounce=True)
    property_text = mo.ui.text(placeholder="plan", label="By property", debounce=True)
    where_text = mo.ui.text(placeholder="amount >= 10", label="Only events with", debounce=True)
    period_choice = mo.ui.dropdown(["day", "week", "month"], value="day", label="Each", allow_select_none=False)
    span_choice = mo.ui.dropdown(
        {"the last 30 days": 30, "the last 90 days": 90, "the last 12 months": 365, "all there is": 0},
        value="the last 90 days",
        label="Over",
        allow_select_none=False,
    )
    mo.vstack(
        [
            mo.hstack([label_choice, segment_choice, span_choice], justify="start", wrap=True),
            mo.hstack([events_choice, period_choice, property_text], justify="start", wrap=True),
            mo.hstack([measure_choice, amount_text, where_text], justify="start", wrap=True),
        ]
    )
    return (
        amount_text,
        events_choice,
        label_choice,
        measure_choice,
        period_choice,
        property_text,
        segment_choice,
        span_choice,
        where_text,
    )


@app.cell
def _(label_choice, last, segment_choice, span_choice):
    people = {"label": label_choice.value, "segment": segment_choice.value}
    # Counted back from the last event, so that a lake of old data is not empty.
    spanned = people | {"start": last - timedelta(days=span_choice.value) if span_choice.value else None}
    return people, spanned


@app.cell
def _(amount_text, events_choice, measure_choice, period_choice, property_text, spanned, where_text, ws):
    mo.stop(not events_choice.value, mo.callout(mo.md("Choose an event."), kind="info"))
    _is_sum, _amount = measure_choice.value == "sum", amount_text.value.strip()
    mo.stop(_is_sum and not _amount, mo.callout(mo.md("Name the property to sum, e.g. `amount`."), kind="info"))
    trend = pages.tried(
        lambda: ws.trends(
            events_choice.value,
            measure=measure_choice.value,
            amount=_amount if _is_sum else None,
            where=pages.read_conditions(where_text.value),
            breakdown=property_text.value.strip() or None,
            period=period_choice.value,
            **spanned,
        )
    )
    mo.stop(
        not trend.height, mo.callout(mo.md("Nothing of that happened in this time. Choose a longer one."), kind="info")
    )
    _unit = _amount if _is_sum else "people" if measure_choice.value == "users" else "times"
    pages.chart(charts.trend_lines(trend, title=f"Trend by {period_choice.value}", unit=_unit))
    return


@app.cell
def _(spanned, ws):
    active = pages.tried(lambda: ws.active_users(**spanned))
    mo.stop(not active.height, mo.md("## Active users\n\n*Nobody was here in this time.*"))
    mo.vstack([mo.md("## Active users"), pages.chart(charts.active_users_lines(active))])
    return


@app.cell
def _(people, period_choice, ws):
    _periods = 30 if period_choice.value == "day" else 12
    sticky = pages.tried(lambda: ws.stickiness(period=period_choice.value, periods=_periods, **people))
    mo.vstack([mo.md("## Stickiness"), pages.chart(charts.stickiness_bars(sticky, unit=period_choice.value))])
    return


@app.cell
def _(names):
    path_choice = mo.ui.dropdown(names, value=names[0] if names else None, label="Event", searchable=True)
    direction_choice = mo.ui.radio(["after", "before"], value="after", inline=True)
    within_choice = mo.ui.dropdown(["1 hour", "1 day", "7 days", "30 days"], value="30 days", label="Within")
    mo.vstack(
        [mo.md("## Paths"), mo.hstack([path_choice, direction_choice, within_choice], justify="start", wrap=True)]
    )
    return direction_choice, path_choice, within_choice


@app.cell
def _(direction_choice, path_choice, spanned, within_choice, ws):
    mo.stop(path_choice.value is None, mo.md("*Choose an event.*"))
    way = pages.tried(
        lambda: ws.paths(path_choice.value, direction=direction_choice.value, within=within_choice.value, **spanned)
    )
    mo.stop(not way.height, mo.md("*Nothing of that happened in this time.*"))
    pages.chart(charts.path_flow(way, title=f"What people did {direction_choice.value} {path_choice.value}"), least=720)
    return


@app.cell
def _(last, people, ws):
    # Counted to the last event, so that a lake of old data is not all asleep.
    _as_of = last and last + timedelta(seconds=1)
    customers = pages.tried(lambda: ws.rfm(as_of=_as_of, **people))
    mo.vstack([mo.md("## Customers"), pages.chart(charts.rfm_grid(customers))])
    return


@app.cell
def _(period_choice, spanned, ws):
    gone = pages.tried(lambda: ws.uninstalls(period=period_choice.value, **spanned))
    after = pages.tried(lambda: ws.uninstalls_after("label", **spanned))
    mo.vstack(
        [
            mo.md("## Uninstalls"),
            pages.chart(charts.uninstall_bars(gone)) if gone.height else mo.md("No installs or uninstalls yet."),
            pages.chart(charts.uninstall_rates(after)) if after.height else mo.md("No messages sent yet."),
        ]
    )
    return


if __name__ == "__main__":
    app.run()
