import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Clever Campaigns")

with app.setup:
    import marimo as mo

    import engage


@app.cell
def _():
    ws = engage.Workspace.open(mo.notebook_dir() or ".")
    books = {book.title: book for book in ws.playbooks()}
    return books, ws


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Clever Campaigns

    Ready-made journeys that fill themselves in from your own data. Adding one writes ordinary files, as a draft: a
    segment in SQL and a journey, which are yours to change.
    """)
    return


@app.cell
def _(books):
    book_choice = mo.ui.radio(list(books), value=next(iter(books)), label="What is to happen?")
    book_choice
    return (book_choice,)


@app.cell
def _(book_choice, books, ws):
    book = books[book_choice.value]
    filled = ws.fill_playbook(book.name)
    _reach = "".join(f"\n\n**{people:,}** people are in `{segment}` now." for segment, people in filled.reach.items())
    mo.md(f"**Why.** {book.why}\n\n**When.** {book.when}\n\n**Expect.** {book.expect}{_reach}")
    return book, filled


@app.cell
def _(filled):
    answers = mo.ui.dictionary({key: mo.ui.text(str(value), label=key) for key, value in filled.answers.items()})
    mo.vstack([mo.md("Suggested by your data:"), answers])
    return (answers,)


@app.cell
def _(book):
    name = mo.ui.text(book.name, label="Name")
    add_button = mo.ui.run_button(label="Add as a draft")
    mo.hstack([name, add_button], justify="start")
    return add_button, name


@app.cell
def _(add_button, answers, book, filled, name, ws):
    mo.stop(not add_button.value)
    _given = {
        key: int(text) if isinstance(filled.answers[key], int) and text.isdigit() else text
        for key, text in answers.value.items()
    }
    try:
        made = ws.create_from_playbook(book.name, name.value, _given)
        _shown = mo.vstack(
            [
                mo.callout(f"Made data/journeys/{name.value}.toml", kind="success"),
                mo.md(f"In the past 30 days {made.simulation.entries:,} would have entered."),
                made.simulation.messages,
            ]
        )
    except (engage.errors.EngageError, engage.errors.ConfigurationError) as error:
        _shown = mo.callout(str(error), kind="danger")
    _shown
    return


if __name__ == "__main__":
    app.run()
