import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Facebook audiences")

with app.setup:
    import marimo as mo

    from engage import pages


@app.cell
def _():
    ws = pages.opened()
    names = [file.name for file in ws.segments()]
    return names, ws


@app.cell(hide_code=True)
def _(ws):
    pages.header(
        ws,
        "facebook_audiences",
        "A **custom audience** at Facebook, made from everyone or from a segment, and kept in step: only the difference to what "
        "Facebook last confirmed is sent. E-mail addresses and phone numbers leave hashed, and only of people who **opted in to "
        "ads** (`Channel Subscribed` on the channel `facebook_audience`). It needs `account` under "
        "`[tool.engage.channels.facebook_audience]` and `FACEBOOK_ACCESS_TOKEN` in the environment.",
    )
    return


@app.cell
def _(names):
    everyone = "— all users —"
    choices = {everyone: None} | {name: name for name in names}
    _asked = mo.query_params().get("segment")
    segment_choice = mo.ui.dropdown(choices, value=_asked if _asked in names else everyone, label="People")
    return (segment_choice,)


@app.cell
def _():
    name_choice = mo.ui.text(value="Engaged people", label="Audience at Facebook")
    return (name_choice,)


@app.cell
def _():
    replace_choice = mo.ui.checkbox(label="send everything anew", value=False)
    return (replace_choice,)


@app.cell
def _(name_choice, replace_choice, segment_choice):
    mo.hstack([segment_choice, name_choice, replace_choice], justify="start", wrap=True)
    return


@app.cell
def _(segment_choice):
    chosen = segment_choice.value
    return (chosen,)


@app.cell
def _(chosen, ws):
    people = pages.tried(lambda: ws.audience_people(chosen))
    mo.md(
        f"**{people.height:,}** people opted in to ads and can be matched by " + ", ".join(people.columns[1:]) + "."
    ) if people.height else pages.nothing(
        "**Nobody here has opted in to ads** and has an address to be matched by. Record a `Channel Subscribed` on the channel "
        "`facebook_audience` for those who say yes, or choose another segment.",
        "audiences",
        "Open Audiences",
    )
    return (people,)


@app.cell
def _():
    sync_button = mo.ui.run_button(label="Bring it into step")
    sync_button
    return (sync_button,)


@app.cell
def _(chosen, name_choice, replace_choice, sync_button, ws):
    mo.stop(not sync_button.value)
    try:
        with mo.status.spinner(title="Bringing it into step …"):
            done = ws.sync_audience(name_choice.value, chosen, replace=replace_choice.value)
        told = mo.callout(
            mo.md(
                f"**{done.name}** has {done.members:,} rows: {done.added:,} added, {done.removed:,} removed. Facebook "
                f"received {done.received:,}, of which {done.invalid:,} could not be used."
            ),
            kind="success",
        )
    except pages.FAULTS as error:
        told = pages.fault(error)
    told
    return


@app.cell
def _():
    list_button = mo.ui.run_button(label="List the account's audiences")
    list_button
    return (list_button,)


@app.cell
def _(list_button, ws):
    mo.stop(not list_button.value)
    try:
        listed = pages.table(ws.facebook_audiences())
    except pages.FAULTS as error:
        listed = pages.fault(error)
    listed
    return


if __name__ == "__main__":
    app.run()
