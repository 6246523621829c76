import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="People")

with app.setup:
    import marimo as mo

    import engage


@app.cell
def _():
    ws = engage.Workspace.open(mo.notebook_dir() or ".")
    return (ws,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Find people

    Search by the beginning of an id, part of an address or name, an event, a segment or the label of a message they were
    sent; what you fill in must all hold. Pick a row to see that person's story.
    """)
    return


@app.cell
def _():
    text = mo.ui.text(label="Id, address or name", debounce=True)
    event = mo.ui.text(label="Did the event", debounce=True)
    label = mo.ui.text(label="Was sent the label", debounce=True)
    return event, label, text


@app.cell
def _(ws):
    segment = mo.ui.dropdown(["", *(file.name for file in ws.segments())], value="", label="Is in the segment")
    return (segment,)


@app.cell
def _(event, label, segment, text):
    mo.hstack([text, event, segment, label], justify="start", wrap=True)
    return


@app.cell
def _(event, label, segment, text, ws):
    try:
        found = ws.find_people(
            text.value or None, event=event.value or None, segment=segment.value or None, label=label.value or None
        )
        fault = None
    except engage.EngageError as error:
        found, fault = None, str(error)
    mo.stop(fault is not None, mo.callout(mo.md(fault or ""), kind="danger"))
    people = mo.ui.table(found, selection="single", page_size=10, label="At most a hundred, by id")
    people
    return (people,)


@app.cell
def _(people, ws):
    mo.stop(not people.value.height, mo.md("*Pick somebody above.*"))
    who = people.value["user_id"][0]
    one = ws.person(who)
    story = ws.timeline(who)
    mo.vstack(
        [
            mo.hstack(
                [
                    mo.stat(f"{one.events:,}", label="events", bordered=True),
                    mo.stat(f"{one.messages:,}", label="messages sent", bordered=True),
                    mo.stat(
                        f"{one.last_seen:%Y-%m-%d}" if one.last_seen else "never", label="last seen", bordered=True
                    ),
                ],
                justify="start",
            ),
            mo.accordion(
                {
                    "Profile": mo.json(dict(one.profile)),
                    "Devices": mo.ui.table(one.devices, selection=None),
                    "Consents": mo.ui.table(one.consents, selection=None),
                    "Reachable": mo.ui.table(one.reachable, selection=None),
                }
            ),
            mo.ui.table(story, selection=None, page_size=20, label="The latest first"),
        ]
    )
    return


if __name__ == "__main__":
    app.run()
