import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="People", css_file="engage.css")

with app.setup:
    import marimo as mo

    from engage import pages


@app.cell
def _():
    ws = pages.opened()
    return (ws,)


@app.cell(hide_code=True)
def _(ws):
    pages.header(
        ws,
        "people",
        "Search by the beginning of an id, part of an address or name, an event, a segment or the label of a message they were "
        "sent; what you fill in must all hold. Pick a row to see that person's story.",
    )
    return


@app.cell
def _(ws):
    _asked = mo.query_params()
    _labels = [one.name for one in ws.labels()]
    _segments = [file.name for file in ws.segments()]
    _events = pages.tried(ws.event_counts)
    mo.stop(
        not _events.height and ws.some_user() is None,
        pages.empty_lake("there is nobody to find yet"),
    )
    text = mo.ui.text(str(_asked.get("text") or ""), label="Id, address or name", debounce=300)
    event = mo.ui.dropdown(_events["event_name"].head(500).to_list(), label="Did the event", searchable=True)
    segment = mo.ui.dropdown(
        _segments,
        value=_asked.get("segment") if _asked.get("segment") in _segments else None,
        label="Is in the segment",
    )
    label = mo.ui.dropdown(
        _labels, value=_asked.get("label") if _asked.get("label") in _labels else None, label="Was sent the label"
    )
    mo.hstack([text, event, segment, label], justify="start", wrap=True)
    return event, label, segment, text


@app.cell
def _(event, label, segment, text, ws):
    found = pages.tried(
        lambda: ws.find_people(text.value.strip() or None, event=event.value, segment=segment.value, label=label.value)
    )
    mo.stop(
        not found.height, mo.callout(mo.md("Nobody fits. Take something out, or write less of the name."), kind="info")
    )
    people = pages.table(
        found,
        label="A hundred at most, by id" if found.height == 100 else f"{found.height:,} found",
        headings={"user_id": "User"},
        selection="single",
        show_search=False,
    )
    people
    return (people,)


@app.cell
def _(people, ws):
    mo.stop(not people.value.height, mo.md("*Pick somebody above to see their story.*"))
    who = people.value["User"][0]
    one, story = pages.tried(lambda: (ws.person(who), ws.timeline(who)))

    def _table(frame, nothing):
        return pages.table(frame) if frame.height else mo.md(f"*{nothing}*")

    mo.vstack(
        [
            mo.md(f"## {who}"),
            mo.hstack(
                [
                    mo.stat(f"{one.events:,}", label="events", bordered=True),
                    mo.stat(f"{one.messages:,}", label="messages sent", bordered=True),
                    mo.stat(
                        f"{one.last_seen:%Y-%m-%d}" if one.last_seen else "never", label="last seen", bordered=True
                    ),
                ],
                widths="equal",
                wrap=True,
            ),
            mo.accordion(
                {
                    "Profile": pages.facts({name: str(value) for name, value in one.profile.items()}),
                    "Devices": _table(one.devices, "No device is known."),
                    "Consents": _table(one.consents, "Nothing was said yes or no to."),
                    "Reachable": _table(one.reachable, "There is no address or device to write to."),
                },
                multiple=True,
            ),
            pages.table(story, page_size=20, label="The latest first", format_mapping={"labels": pages.label_links}),
        ]
    )
    return


if __name__ == "__main__":
    app.run()
