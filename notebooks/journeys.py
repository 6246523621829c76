import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="Journeys")

with app.setup:
    import datetime

    import marimo as mo

    import engage
    from engage.journeys.canvas import Canvas
    from engage.journeys.definition import journey_from
    from engage.journeys.validation import check_journey


@app.cell
def _():
    ws = engage.Workspace.open(mo.notebook_dir() or ".")
    names = [journey.journey_id for journey in ws.journeys()]
    return names, ws


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Journeys

    A **journey** is a file under `data/journeys/`. Draw it here, see what it would have done, save it as a file that reads
    well in a diff. Add a node with the buttons; drag from a node's dot to connect; arrows move, Delete removes, Ctrl+Z undoes.
    """)
    return


@app.cell
def _(names):
    mo.stop(
        not names, mo.callout(mo.md("No journeys yet. Make one from a playbook: see Clever Campaigns."), kind="info")
    )
    journey_choice = mo.ui.dropdown(names, value=names[0], label="Journey")
    journey_choice
    return (journey_choice,)


@app.cell
def _(journey_choice, ws):
    journey = ws.journey(journey_choice.value)
    status = journey.status()
    counts = {row["node"]: row["entered"] for row in status.iter_rows(named=True)}
    canvas = mo.ui.anywidget(Canvas.of(journey.values(), counts, journey.check()))
    canvas
    return canvas, journey, status


@app.cell
def _():
    save_button = mo.ui.run_button(label="Save")
    simulate_button = mo.ui.run_button(label="Simulate the last 30 days")
    mo.hstack([save_button, simulate_button], justify="start")
    return save_button, simulate_button


@app.cell
def _(canvas, journey, ws):
    try:
        _drawn = journey_from(ws.settings, journey.definition.journey_id, canvas.value["graph"], "canvas")
        _faults = check_journey(ws.engine, _drawn)
        told = mo.md("\n".join(f"- **{fault.node}**: {fault.what}" for fault in _faults) or "No faults.")
        is_valid = True
    except (engage.errors.EngageError, engage.errors.ConfigurationError) as error:
        told, is_valid = mo.callout(str(error), kind="danger"), False
    told
    return (is_valid,)


@app.cell
def _(canvas, is_valid, journey, save_button, ws):
    mo.stop(not save_button.value or not is_valid)
    ws.save_journey(journey.definition.journey_id, canvas.value["graph"])
    mo.callout(f"Saved data/journeys/{journey.definition.journey_id}.toml", kind="success")
    return


@app.cell
def _(is_valid, journey, simulate_button):
    mo.stop(not simulate_button.value or not is_valid)
    _today = datetime.datetime.now(datetime.UTC)
    found = journey.simulate(_today - datetime.timedelta(days=30), _today, step="1 day")
    mo.vstack([mo.md(f"**{found.entries:,} would have entered**"), found.nodes, found.messages])
    return


@app.cell
def _(status):
    mo.accordion({"People at each node": status}) if status.height else mo.md("Nobody has entered yet.")
    return


if __name__ == "__main__":
    app.run()
