import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Facebook audiences", css_file="engage.css")

with app.setup:
    import tempfile
    from pathlib import Path

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
        f"**{people.height:,}** people opted in to ads and can be matched by " + ", ".join(people.columns[2:]) + "."
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
            done = ws.push_audience(chosen, name_choice.value, replace=replace_choice.value)
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
def _(sync_button, ws):
    sync_button.value  # looked at again once a sync is done
    _syncs = ws.audience_syncs().drop("audience_id", "sync_id")
    mo.stop(_syncs.is_empty())
    mo.vstack(
        [
            mo.md(
                "## What was synced\n\n*Received* and *invalid* are rows, as Facebook counts them; *invalid* is approximate."
            ),
            pages.table(_syncs, headings={"started_at": "When", "members": "Rows"}),
        ]
    )
    return


@app.cell
def _(chosen, people, ws):
    mo.stop(people.is_empty())
    _stem = chosen or "all_users"

    def audience_file(ending, plain):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"audience.{ending}"
            ws.export_audience(path, chosen, plain=plain)
            return path.read_bytes()

    mo.vstack(
        [
            mo.md(
                "## As a file\n\nFor upload by hand in Ads Manager, with Meta's headers. What is in the clear, Ads Manager "
                "hashes in the browser before it leaves."
            ),
            mo.hstack(
                [
                    mo.download(lambda: audience_file("csv", False), filename=f"{_stem}.csv", label="Hashed, .csv"),
                    mo.download(
                        lambda: audience_file("parquet", False), filename=f"{_stem}.parquet", label="Hashed, .parquet"
                    ),
                    mo.download(
                        lambda: audience_file("csv", True), filename=f"{_stem}_plain.csv", label="In the clear, .csv"
                    ),
                ],
                justify="start",
                wrap=True,
            ),
        ]
    )
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
