import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="Journeys", css_file="engage.css")

with app.setup:
    from datetime import UTC, datetime, timedelta

    import marimo as mo

    from engage import pages
    from engage.journeys.canvas import Canvas, choices, figures
    from engage.journeys.simulation import compared


@app.cell
def _():
    ws = pages.opened()
    get_chosen, set_chosen = mo.state(str(mo.query_params().get("journey") or ""))
    get_edits, set_edits = mo.state(0)
    get_launches, set_launches = mo.state(0)
    # What was done stands until the next is done, though what its button belongs to is made anew.
    get_told, set_told = mo.state(None)
    return (
        get_chosen,
        get_edits,
        get_launches,
        get_told,
        set_chosen,
        set_edits,
        set_launches,
        set_told,
        ws,
    )


@app.cell(hide_code=True)
def _(ws):
    pages.header(
        ws,
        "journeys",
        "A **journey** is a file under `data/journeys/`: who enters, what happens to them, where they end. Draw it, see "
        "what it would have done over past weeks, save it, launch it. Press **?** on the canvas for its keys.",
    )
    return


@app.cell
def _(get_chosen, get_edits, ws):
    get_edits()
    names = [one.journey_id for one in ws.journeys()]
    journey_choice = mo.ui.dropdown(
        names, value=get_chosen() if get_chosen() in names else names[0] if names else None, label="Journey"
    )
    return journey_choice, names


@app.cell
def _():
    new_name = mo.ui.text(placeholder="spring_welcome", label="New journey")
    new_button = mo.ui.run_button(label="Draw a new one")
    return new_button, new_name


@app.cell
def _(journey_choice, new_button, new_name):
    mo.hstack([journey_choice, mo.hstack([new_name, new_button], justify="start")], justify="space-between", wrap=True)
    return


@app.cell
def _(new_button, new_name, set_chosen, set_edits, ws):
    mo.stop(not new_button.value)
    _fresh = {"entry": {"event": "App Launched", "to": "done"}, "nodes": {"done": {"kind": "exit"}}}
    pages.tried(lambda: ws.create_journey(new_name.value.strip(), _fresh))
    set_chosen(new_name.value.strip())
    set_edits(lambda edits: edits + 1)
    return


@app.cell
def _(names):
    mo.stop(
        not names,
        pages.nothing(
            "**No journeys yet.** Name a new one above, or start from one that is known to work.",
            "clever_campaigns",
            "Open Clever Campaigns",
        ),
    )
    return


@app.cell
def _(journey_choice, ws):
    mo.stop(not journey_choice.value)
    journey = pages.tried(lambda: ws.journey(journey_choice.value))
    status = journey.status()
    lifts = journey.lifts() if status.height else None
    _lift = journey.lift() if lifts is not None and lifts.height else None
    _live = {"live": figures(status, journey.edges(), lift=_lift)} if status.height else {}
    drawing = Canvas.of(
        journey.values(), choices(ws.engine, [one.name for one in ws.segments()]), _live, journey.check()
    )
    canvas = mo.ui.anywidget(drawing)
    canvas
    return canvas, drawing, journey, lifts, status


@app.cell
def _(canvas, drawing, journey):
    drawn = canvas.value["graph"]
    try:
        _faults = journey.check(drawn)
        drawing.mark(_faults)
        is_valid = True
        _told = (
            mo.md("\n".join(f"- **{fault.node}**: {fault.what}" for fault in _faults))
            if _faults
            else mo.md("No faults: it may be launched once it is saved.")
        )
    except pages.FAULTS as _error:
        _told, is_valid = pages.fault(_error), False
    _told
    return drawn, is_valid


@app.cell
def _(names, ws):
    mo.stop(not names)
    save_button = mo.ui.run_button(label="Save", kind="success")
    simulate_button = mo.ui.run_button(label="Simulate")
    days = mo.ui.number(1, 365, value=30, label="over the days")
    times = {words: moment for words, moment in pages.moments(ws).items() if moment != "day"}
    until_choice = mo.ui.dropdown(list(times), value=next(iter(times)), label="up to", allow_select_none=False)
    against = mo.ui.checkbox(label="beside what is saved")
    mo.hstack([save_button, simulate_button, days, until_choice, against], justify="start", wrap=True)
    return against, days, save_button, simulate_button, times, until_choice


@app.cell
def _(drawn, is_valid, journey, save_button, set_launches, ws):
    mo.stop(not save_button.value or not is_valid)
    pages.tried(lambda: ws.save_journey(journey.definition.journey_id, drawn))
    set_launches(lambda count: count + 1)  # where people would move to depends on what is saved
    pages.done(f"Saved `data/journeys/{journey.definition.journey_id}.toml`")
    return


@app.cell
def _(against, days, drawing, drawn, is_valid, journey, simulate_button, times, until_choice):
    mo.stop(not simulate_button.value or not is_valid)
    _until = times[until_choice.value] or datetime.now(UTC)
    _since = _until - timedelta(days=days.value)
    with mo.status.spinner("Running it over what happened"):
        _found = pages.tried(lambda: journey.simulate(_since, _until, step="1 day", values=drawn))
        _before = journey.simulate(_since, _until, step="1 day") if against.value else None
    drawing.figures = {**drawing.figures, "simulation": figures(_found.nodes, _found.edges, _found.messages)}
    _sent = _found.messages
    _parts = {
        "Messages": pages.table(_sent) if _sent.height else mo.md("None."),
        "People inside, day by day": pages.table(
            _found.inside.pivot("node", index="day", values="people").fill_null(0), page_size=15
        )
        if _found.inside.height
        else mo.md("Nobody is inside at the end of a day."),
        "Left out, and why": pages.table(_found.left_out) if _found.left_out.height else mo.md("Nobody."),
        "Who would be sent what": pages.table(_found.recipients, page_size=15)
        if _found.recipients.height
        else mo.md("Nobody."),
    }
    if _before is not None:
        _words = {"first": "saved", "second": "drawn"}
        _names = {
            f"{name}_{which}": f"{name.capitalize()}, {word}"
            for name in ("entered", "messages", "cost")
            for which, word in _words.items()
        }
        _parts = {"Saved and drawn": pages.table(compared(_before, _found), headings=_names), **_parts}
    mo.vstack(
        [
            mo.hstack(
                [
                    mo.stat(f"{_found.entries:,}", label="would have entered", bordered=True),
                    mo.stat(f"{sum(_sent['messages']):,}", label="messages would be sent", bordered=True),
                    mo.stat(f"{sum(_sent['held_out']):,}", label="held out, to compare", bordered=True),
                    mo.stat(f"{sum(_sent['excluded']):,}", label="left out", bordered=True),
                    mo.stat(f"{max(_sent['busiest_hour'], default=0):,}", label="in the busiest hour", bordered=True),
                    mo.stat(f"{sum(_sent['cost']):,.2f}", label="cost, by data/prices.toml", bordered=True),
                ],
                justify="start",
                wrap=True,
            ),
            mo.ui.tabs(_parts),
        ]
    )
    return


@app.cell
def _(get_launches, journey, status, ws):
    get_launches()
    saved = ws.journey(journey.definition.journey_id)
    _there = saved.inside()
    inside = _there["people"].sum()
    _gone = _there.filter(_there["moves_to"].is_null())["people"].sum()
    _finish = f"finish the version they are in ({inside:,} people)"
    inside_choice = mo.ui.radio(
        {
            _finish: "finish",
            f"move to the new version ({inside - _gone:,} people at nodes it has too, {_gone:,} at nodes it has not)": "move",
            f"leave ({inside:,} people)": "leave",
        },
        value=_finish,
        label="Those inside",
    )
    to_choice = mo.ui.dropdown(
        list(saved.definition.nodes), label="all to the node (none: each to that of the same name)"
    )
    return inside, inside_choice, saved, to_choice


@app.cell
def _(inside, inside_choice, saved):
    launch_button = mo.ui.run_button(label="Launch what is saved")
    pause_button = mo.ui.run_button(label="Pause")
    _now = saved.definition.status
    mo.accordion(
        {
            f"Launch (now: {_now})": mo.vstack(
                [
                    *([inside_choice] if inside else []),
                    mo.hstack([launch_button, *([pause_button] if _now == "running" else [])], justify="start"),
                ]
            )
        }
    )
    return launch_button, pause_button


@app.cell
def _(inside, inside_choice, saved, to_choice):
    mo.stop(not inside or inside_choice.value != "move")
    mo.vstack([to_choice, pages.table(saved.inside(to_choice.value), label="Who would move where; none: they leave")])
    return


@app.cell
def _(
    inside_choice,
    journey,
    launch_button,
    pause_button,
    set_launches,
    set_told,
    to_choice,
    ws,
):
    mo.stop(not launch_button.value and not pause_button.value)
    _saved = ws.journey(journey.definition.journey_id)
    if launch_button.value:
        _to = to_choice.value if inside_choice.value == "move" else None
        pages.tried(lambda: _saved.launch(inside=inside_choice.value, to=_to))
        _words = "It is running: a worker (`engage worker`) moves people on."
    else:
        pages.tried(_saved.pause)
        _words = "It is paused: nobody enters, nothing is sent."
    set_told(pages.done(_words))
    set_launches(lambda count: count + 1)
    return


@app.cell
def _(get_told):
    get_told()
    return


@app.cell
def _(journey, lifts, status):
    mo.stop(not status.height, mo.md("Nobody has entered yet."))
    _lift = (
        pages.table(lifts.drop("campaign", "metric"))
        if lifts is not None and lifts.height
        else mo.md("Nobody was sent or held out of a message yet.")
    )
    mo.ui.tabs(
        {
            "People at each node": pages.table(status),
            "Along each way": pages.table(journey.edges()),
            "Goal, against the control group": _lift,
        }
    )
    return


if __name__ == "__main__":
    app.run()
