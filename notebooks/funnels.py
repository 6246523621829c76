import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Funnels", css_file="engage.css")

with app.setup:
    import marimo as mo

    from engage import pages
    from engage.analysis.charts.funnel import funnel_bars, funnel_histogram


@app.cell
def _():
    ws = pages.opened()
    return (ws,)


@app.cell(hide_code=True)
def _(ws):
    pages.header(
        ws,
        "funnels",
        "A **funnel** counts who did one thing, then the next, within a time. Every first step is an attempt; a person counts "
        "with the one that got furthest.",
    )
    return


@app.cell
def _(ws):
    names = pages.event_names(ws, "there are no events to count yet")
    labels = [label.name for label in ws.labels()]
    segments = [file.name for file in ws.segments()]
    suggested = ws.suggest_funnel()
    many_choice = mo.ui.slider(
        2, 10, value=max(len(suggested), 2), label="How many steps", show_value=True, debounce=True
    )
    many_choice
    return labels, many_choice, names, segments, suggested


@app.cell
def _(labels, many_choice, names, segments, suggested):
    _steps = {
        f"step{place}": mo.ui.dropdown(
            names,
            value=suggested[place - 1] if place <= len(suggested) else None,
            label="then" if place > 1 else "First",
            searchable=True,
        )
        for place in range(1, many_choice.value + 1)
    }
    question = (
        mo.md(
            " ".join(f"{{{name}}}" for name in _steps)
            + """

        {within} {order} {exclude}

        {where}

        {label} {segment} {breakdown}
        """
        )
        .batch(
            **_steps,
            within=mo.ui.dropdown(["1 hour", "1 day", "7 days", "30 days", "90 days"], value="30 days", label="Within"),
            order=mo.ui.dropdown(["ordered", "strict", "any"], value="ordered", label="Order"),
            exclude=mo.ui.dropdown(names, label="Not if they did", searchable=True),
            label=mo.ui.dropdown(labels, label="Sent the label"),
            segment=mo.ui.dropdown(segments, label="In the segment"),
            where=mo.ui.text(placeholder="amount >= 50", label="The last of them with", debounce=True),
            breakdown=mo.ui.text(label="By property", debounce=True),
        )
        .form(submit_button_label="Count", bordered=False)
    )
    question
    return (question,)


@app.cell
def _(question, suggested):
    asked = question.value or {"within": "30 days", "order": "ordered"}
    _chosen = [value for key, value in asked.items() if key.startswith("step")] if question.value else suggested
    steps = [name for name in _chosen if name]
    options = {
        "within": asked["within"],
        "order": asked["order"],
        "exclude": [asked["exclude"]] if asked.get("exclude") else [],
        "label": asked.get("label"),
        "segment": asked.get("segment"),
    }
    _where = pages.read_conditions(asked.get("where", ""))
    if steps and _where:
        steps[-1] = {"event": steps[-1], "where": _where}
    breakdown = asked.get("breakdown") or None
    return breakdown, options, steps


@app.cell
def _(breakdown, options, steps, ws):
    mo.stop(len(steps) < 2, mo.callout(mo.md("Choose two events, or more."), kind="info"))
    table = pages.tried(lambda: ws.funnel(steps, breakdown=breakdown, **options))
    pages.chart(funnel_bars(table, within=options["within"]))
    return (table,)


@app.cell
def _(table):
    pages.table(table, label="Step by step")
    return


@app.cell
def _(options, steps, table, ws):
    mo.stop(not table.height)
    times = pages.tried(lambda: ws.funnel_times(steps, **options))
    mo.stop(not times.height, mo.md("*Nobody got to the last step.*"))
    pages.chart(funnel_histogram(times))
    return


@app.cell
def _(steps):
    step_choice = mo.ui.slider(1, max(len(steps), 2), value=min(2, len(steps)) or 1, label="Step", show_value=True)
    dropped_choice = mo.ui.checkbox(label="those who went no further than the step before")
    mo.vstack([mo.md("## Who"), mo.hstack([step_choice, dropped_choice], justify="start", wrap=True)])
    return dropped_choice, step_choice


@app.cell
def _(dropped_choice, options, step_choice, steps, table, ws):
    mo.stop(not table.height)
    _is_dropped = dropped_choice.value and step_choice.value > 1
    users = pages.tried(lambda: ws.funnel_users(steps, step_choice.value, is_dropped=_is_dropped, **options))
    mo.vstack(
        [
            pages.table(users, label=f"{users.height:,} people"),
            mo.download(lambda: users.write_csv().encode(), filename="people.csv", label="Download as CSV"),
        ]
    )
    return


@app.cell
def _(table):
    mo.stop(not table.height)
    segment_name = mo.ui.text(label="Segment's name", placeholder="reached_step_2")
    keep_people = mo.ui.run_button(label="Keep them as a segment")
    mo.hstack([segment_name, keep_people], justify="start", align="end", wrap=True)
    return keep_people, segment_name


@app.cell
def _(dropped_choice, keep_people, options, segment_name, step_choice, steps, ws):
    mo.stop(not keep_people.value)
    _is_dropped = dropped_choice.value and step_choice.value > 1
    _name = segment_name.value.strip()
    _file = pages.tried(
        lambda: ws.save_funnel_segment(steps, step_choice.value, _name, is_dropped=_is_dropped, **options)
    )
    pages.kept_segment(_file)
    return


if __name__ == "__main__":
    app.run()
