import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Clever Campaigns", css_file="engage.css")

with app.setup:
    import marimo as mo

    from engage import pages
    from engage.query.files import parse_value


@app.cell
def _():
    ws = pages.opened()
    books = {book.title: book for book in ws.playbooks()}
    return books, ws


@app.cell(hide_code=True)
def _(ws):
    pages.header(
        ws,
        "clever_campaigns",
        "Ready-made journeys that fill themselves in from your own data. See what one would have done over the past 30 "
        "days; add it, and ordinary files are written, as a draft: a segment in SQL and a journey, which are yours to "
        "change.",
    )
    return


@app.cell
def _(books):
    _wanted = [title for title, book in books.items() if book.name == mo.query_params().get("playbook")]
    book_choice = mo.ui.radio(list(books), value=(_wanted or list(books))[0], label="What is to happen?")
    return (book_choice,)


@app.cell
def _(ws):
    times = {words: moment for words, moment in pages.moments(ws).items() if moment != "day"}
    time_choice = mo.ui.dropdown(list(times), value=next(iter(times)), label="As of", allow_select_none=False)
    return time_choice, times


@app.cell
def _(book_choice, time_choice):
    mo.vstack([book_choice, time_choice])
    return


@app.cell
def _(book_choice, books, time_choice, times, ws):
    moment = times[time_choice.value]
    book = books[book_choice.value]
    with mo.status.spinner("Asking your data"):
        suggested = pages.tried(lambda: ws.fill_playbook(book.name, as_of=moment))
    mo.md(f"## {book.title}\n\n**Why.** {book.why}\n\n**When.** {book.when}\n\n**Expect.** {book.expect}")
    return book, moment, suggested


@app.cell
def _(book, suggested):
    answers = mo.ui.dictionary(
        {
            key: mo.ui.text(str(suggested.answers[key]), label=f"{about} (`{key}`)", full_width=True)
            for key, about in book.asks.items()
        }
    )
    mo.vstack([mo.md("### As your data suggests"), *answers.elements.values()])
    return (answers,)


@app.cell
def _(answers, book, moment, ws):
    given = {key: parse_value(text.strip()) for key, text in answers.value.items()}
    filled = pages.tried(lambda: ws.fill_playbook(book.name, given, moment))
    _reach = [
        mo.stat(f"{people:,}", label=f"people in {segment}", bordered=True) for segment, people in filled.reach.items()
    ]
    _sql = {f"The segment {segment}, in SQL": mo.md(f"```sql\n{sql}\n```") for segment, sql in filled.segments.items()}
    mo.vstack([*([mo.hstack(_reach, justify="start")] if _reach else []), *([mo.accordion(_sql)] if _sql else [])])
    return filled, given


@app.cell
def _(book):
    try_button = mo.ui.run_button(label="What would it have done?")
    name = mo.ui.text(book.name, label="Name")
    add_button = mo.ui.run_button(label="Add as a draft", kind="success")
    mo.hstack([try_button, name, add_button], justify="start", wrap=True)
    return add_button, name, try_button


@app.cell
def _(filled, moment, try_button, ws):
    mo.stop(not try_button.value)
    with mo.status.spinner("Running it over the past 30 days"):
        _found = pages.tried(lambda: ws.preview_playbook(filled, moment))
    _sent = _found.messages
    _nodes = _found.nodes.select("node", "entered", "people", "median_seconds").with_columns(
        (_found.nodes["median_seconds"] / 86_400).alias("median_days")
    )
    mo.vstack(
        [
            mo.hstack(
                [
                    mo.stat(f"{_found.entries:,}", label="would have entered", bordered=True),
                    mo.stat(f"{sum(_sent['messages']):,}", label="messages would be sent", bordered=True),
                    mo.stat(f"{sum(_sent['held_out']):,}", label="held out, to compare", bordered=True),
                    mo.stat(f"{sum(_sent['excluded']):,}", label="left out", bordered=True),
                    mo.stat(f"{sum(_sent['cost']):,.2f}", label="cost, by data/prices.toml", bordered=True),
                ],
                justify="start",
                wrap=True,
            ),
            mo.ui.tabs(
                {
                    "Step by step": pages.table(_nodes.drop("median_seconds"), page_size=20),
                    "Messages": pages.table(_sent) if _sent.height else mo.md("None."),
                    "Left out, and why": pages.table(_found.left_out) if _found.left_out.height else mo.md("Nobody."),
                }
            )
            if _found.entries
            else pages.nothing(
                "**Nobody would have entered in the past 30 days.** Change the answers above, or wait for the events."
            ),
        ]
    )
    return


@app.cell
def _(add_button, book, given, moment, name, ws):
    mo.stop(not add_button.value)
    with mo.status.spinner("Writing its files"):
        _made = pages.tried(lambda: ws.create_from_playbook(book.name, name.value.strip(), given, moment))
    _to = pages.link("journeys", journey=name.value.strip())
    mo.vstack(
        [
            pages.done(
                f"Made `data/journeys/{name.value.strip()}.toml`, a draft. In the past 30 days "
                f"{_made.simulation.entries:,} would have entered."
            ),
            mo.md(f"[Open it on the canvas]({_to})") if _to else mo.md("Open it in the journeys notebook."),
        ]
    )
    return


if __name__ == "__main__":
    app.run()
