import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Audiences")

with app.setup:
    import datetime

    import marimo as mo
    import polars as pl

    import engage


@app.cell
def _():
    ws = engage.Workspace.open(mo.notebook_dir() or ".")
    files = {file.name: file for file in ws.segments()}
    return files, ws


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Audiences

    A **segment** is a SQL file under `sql/segments/` that lists users, one row each. Pick one, change the day it is asked
    for or its parameters, and see who is in it. The SQL is the truth: edit the file, and this page follows.
    """)
    return


@app.cell
def _(files):
    mo.stop(not files, mo.callout(mo.md("No segments yet. Write one into `sql/segments/`."), kind="info"))
    segment_choice = mo.ui.dropdown(list(files), value=next(iter(files)), label="Segment")
    return (segment_choice,)


@app.cell
def _():
    day_choice = mo.ui.date(label="As of", value=datetime.date(1997, 2, 1))
    now_choice = mo.ui.checkbox(label="now", value=False)
    return day_choice, now_choice


@app.cell
def _(files, segment_choice):
    file = files[segment_choice.value]
    params = mo.ui.dictionary(
        {
            name: mo.ui.number(value=value, label=name)
            if isinstance(value, (int, float))
            else mo.ui.text(value=str(value), label=name)
            for name, value in file.params.items()
        }
    )
    return file, params


@app.cell
def _(day_choice, now_choice, params, segment_choice):
    mo.hstack([segment_choice, day_choice, now_choice, *params.values()], justify="start", wrap=True)
    return


@app.cell
def _(day_choice, file, now_choice, params, ws):
    try:
        segment = ws.segment(file.name, as_of=None if now_choice.value else day_choice.value, **params.value)
        users = segment.users()
        fault = None
    except engage.EngageError as error:
        segment, users, fault = None, pl.DataFrame({"user_id": []}), str(error)
    mo.callout(mo.md(fault), kind="danger") if fault else mo.stat(f"{users.height:,}", label=file.title, bordered=True)
    return segment, users


@app.cell
def _(segment, ws):
    mo.stop(segment is None)
    reach = ws.reach(segment)
    mo.ui.table(
        reach,
        selection=None,
        format_mapping={"rate": lambda rate: "–" if rate is None else f"{rate:.1%}"},
        label="Who can be reached: opted in, a live address, not suppressed",
    )
    return


@app.cell
def _(file):
    mo.md(f"```sql\n{file.text.strip()}\n```")
    return


@app.cell
def _(users, ws):
    sample = users.head(200).join(
        ws.sql("select user_id, email, country, language, updated_at from profiles"), on="user_id", how="left"
    )
    mo.ui.table(sample, selection=None, page_size=10, label="The first two hundred")
    return (sample,)


@app.cell
def _(file, users):
    mo.download(data=lambda: users.write_csv().encode(), filename=f"{file.name}.csv", label="Download as .csv")
    return


if __name__ == "__main__":
    app.run()
