import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Cohorts", css_file="engage.css")

with app.setup:
    import marimo as mo

    from engage import pages
    from engage.analysis.charts.retention import retention_curve, retention_heat_map
    from engage.analysis.cohorts import all_together


@app.cell
def _():
    ws = pages.opened()
    return (ws,)


@app.cell(hide_code=True)
def _(ws):
    pages.header(
        ws,
        "cohorts",
        "Who came back. A **cohort** is everyone who did something in the same day, week or month; each is followed from there. "
        "Those who were sent a message are followed in Retention.",
    )
    return


@app.cell
def _(ws):
    names = pages.event_names(ws, "there is nobody to follow yet")
    labels = [label.name for label in ws.labels()]
    segments = [file.name for file in ws.segments()]
    [campaigns] = pages.sent_values(ws, "campaign_id")
    suggested = ws.suggest_funnel()[-1:]
    return campaigns, labels, names, segments, suggested


@app.cell
def _(campaigns, labels, names, segments, suggested):
    _kinds = {"for the first time": "first_time", "every time": "recurring"}
    _windows = {"with the calendar": "calendar", "with each one's own start": "24h"}
    _modes = {"in that very one": "on", "in it or later": "on_or_after"}
    question = mo.md("""
        {start} {kind} {back}

        {period} {window} {periods}

        {mode} {brackets}

        {segment} {label} {campaign} {rest}

        {where} {breakdown}
        """).batch(
        start=mo.ui.dropdown(names, value=suggested[0] if suggested else None, label="They did", searchable=True),
        kind=mo.ui.dropdown(_kinds, value="for the first time", label="counted", allow_select_none=False),
        back=mo.ui.dropdown(names, label="and came back to", searchable=True),
        period=mo.ui.dropdown(["hour", "day", "week", "month"], value="week", label="Each", allow_select_none=False),
        window=mo.ui.dropdown(_windows, value="with the calendar", label="beginning", allow_select_none=False),
        periods=mo.ui.slider(2, 40, value=12, label="How many", show_value=True, debounce=True),
        mode=mo.ui.dropdown(_modes, value="in that very one", label="Back", allow_select_none=False),
        brackets=mo.ui.text(placeholder="1, 3, 7", label="or in brackets of so many", debounce=True),
        segment=mo.ui.dropdown(segments, label="In the segment"),
        label=mo.ui.dropdown(labels, label="Sent the label"),
        campaign=mo.ui.dropdown(campaigns, label="Sent the campaign"),
        rest=mo.ui.checkbox(label="beside everyone else"),
        where=mo.ui.text(placeholder="amount >= 10 and plan = 'pro'", label="Only events with", debounce=True),
        breakdown=mo.ui.text(placeholder="profile.country", label="By property", debounce=True),
    )
    question
    return (question,)


@app.cell
def _(question):
    asked = dict(question.value)
    whose = {name: asked[name] for name in ("segment", "label", "campaign") if asked[name]}
    _lengths = [one.strip() for one in asked["brackets"].replace(";", ",").split(",") if one.strip()]
    mo.stop(
        not all(one.isdecimal() and 0 < int(one) <= 1000 for one in _lengths),
        mo.callout(
            mo.md("Brackets are lengths, as in `1, 3, 7`: the first one, the three after it, the seven after those."),
            kind="info",
        ),
    )
    mo.stop(
        asked["window"] == "24h" and asked["period"] == "month",
        mo.callout(
            mo.md("A month has no fixed length: choose hours, days or weeks that begin with each one's own start."),
            kind="info",
        ),
    )
    brackets = [int(one) for one in _lengths]
    breakdown = asked["breakdown"].strip() or None
    where = pages.read_conditions(asked["where"])
    is_against = bool(asked["rest"] and whose and not breakdown)
    unit = "bracket" if brackets else asked["period"]
    return asked, brackets, breakdown, is_against, unit, where, whose


@app.cell
def _(asked, brackets, breakdown, is_against, where, whose, ws):
    table = pages.tried(
        lambda: ws.retention(
            start_event=asked["start"],
            return_event=asked["back"],
            kind=asked["kind"],
            period=asked["period"],
            periods=asked["periods"] + 1,
            cohorts=asked["periods"],
            window=asked["window"],
            mode="bracket" if brackets else asked["mode"],
            brackets=brackets or None,
            where=where,
            breakdown=breakdown,
            against_rest=is_against,
            with_ongoing=True,
            **whose,
        )
    )
    mo.stop(
        not table["size"].sum(),
        mo.callout(
            mo.md("Nobody did that in this time. Choose another event, or more and longer periods."), kind="info"
        ),
    )
    return (table,)


@app.cell
def _(asked, breakdown, is_against, table, unit):
    together = all_together(table)
    is_split = "breakdown" in table.columns
    values = {"everyone": None}
    if is_split:
        values = {f"without {breakdown}" if one is None else one: one for one in dict.fromkeys(table["breakdown"])}
    _curves = {}
    for _name in list(values)[:6]:
        _own = together.filter(together["breakdown"].eq_missing(values[_name])) if is_split else together
        _curves[_name] = _own.rename({"period": "day", "size": "people", "users": "back"})
    _of = f"{next(iter(values))} and everyone else" if is_against else f"by {breakdown}" if breakdown else ""
    _more = f" (the {len(_curves)} largest of {len(values)})" if len(values) > len(_curves) else ""
    pages.chart(
        retention_curve(
            _curves,
            title=f"All cohorts together{', ' + _of if _of else ''}{_more}",
            unit=unit,
            with_interval=asked["kind"] != "recurring",
        )
    )
    return is_split, values


@app.cell
def _(is_split, values):
    value_choice = mo.ui.dropdown(values, value=next(iter(values)), label="Cohorts of", allow_select_none=False)
    value_choice if is_split else None
    return (value_choice,)


@app.cell
def _(asked, is_split, table, unit, value_choice):
    shown = table.filter(table["breakdown"].eq_missing(value_choice.value)).drop("breakdown") if is_split else table
    _filled = shown.filter(shown["size"] > 0)
    mo.stop(not _filled.height, mo.md("*Nobody of them did that in this time.*"))
    _did = asked["start"] or "anything"
    pages.chart(retention_heat_map(_filled, title=f"Did {_did}, by the {asked['period']}", unit=unit))
    return (shown,)


@app.cell
def _(shown):
    _rates = shown.pivot(on="period", index=["cohort", "size"], values="rate")
    _formats = {name: lambda rate: "" if rate is None else f"{rate:.1%}" for name in _rates.columns[2:]}
    mo.accordion(
        {
            "As a table": pages.table(_rates, format_mapping=_formats),
            "Every cell with its people": pages.table(
                shown, format_mapping={"rate": lambda rate: "" if rate is None else f"{rate:.2%}"}
            ),
        }
    )
    return


if __name__ == "__main__":
    app.run()
