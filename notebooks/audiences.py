import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Audiences", css_file="engage.css")

with app.setup:
    import tempfile
    from datetime import UTC, datetime, timedelta
    from pathlib import Path

    import marimo as mo

    from engage import pages
    from engage.analysis.charts.behaviour import sizes_line
    from engage.pages import conditions


@app.cell
def _():
    ws = pages.opened()
    get_kept, set_kept = mo.state("")
    # What was done stands until the next is done, though what its button belongs to is made anew.
    get_told, set_told = mo.state(None)
    return get_kept, get_told, set_kept, set_told, ws


@app.cell(hide_code=True)
def _(ws):
    pages.header(
        ws,
        "audiences",
        "A **segment** is a SQL file under `sql/segments/` that lists users, one row each. Look at one, or build a new one "
        "and see its SQL as you do. The SQL is the truth: edit the file, and this page follows.",
    )
    return


@app.cell
def _(get_kept, ws):
    files = {file.name: file for file in ws.segments()}
    _wanted = get_kept() or mo.query_params().get("segment")
    way_choice = mo.ui.radio(
        ["Look at a segment", "Build a new one"],
        value="Look at a segment" if files and not mo.query_params().get("build") else "Build a new one",
        inline=True,
    )
    segment_choice = mo.ui.dropdown(
        list(files), value=_wanted if _wanted in files else next(iter(files), None), label="Segment"
    )
    return files, segment_choice, way_choice


@app.cell
def _(ws):
    times = pages.moments(ws)
    time_choice = mo.ui.dropdown(list(times), value=next(iter(times)), label="As of", allow_select_none=False)
    day_choice = mo.ui.date(label="day")
    return day_choice, time_choice, times


@app.cell
def _(files, segment_choice, way_choice):
    is_new = way_choice.value == "Build a new one"
    file = None if is_new else files.get(segment_choice.value)
    params = mo.ui.dictionary(
        {
            name: mo.ui.number(value=value, label=name)
            if isinstance(value, (int, float))
            else mo.ui.text(value=str(value), label=name)
            for name, value in (file.params if file else {}).items()
        }
    )
    return file, is_new, params


@app.cell
def _(day_choice, is_new, params, segment_choice, time_choice, times, way_choice):
    _day = [day_choice] if times[time_choice.value] == "day" else []
    _which = [] if is_new else [segment_choice]
    mo.vstack([way_choice, mo.hstack([*_which, time_choice, *_day, *params.values()], justify="start", wrap=True)])
    return


@app.cell
def _(day_choice, time_choice, times):
    as_of = day_choice.value if times[time_choice.value] == "day" else times[time_choice.value]
    return (as_of,)


@app.cell
def _(ws):
    draft = pages.Draft(ws, "audience")
    kept = draft.read(match="all", rows=[{"kind": "did"}])
    row_count = mo.ui.number(1, 8, value=max(1, len(kept["rows"])), label="Conditions")
    match_choice = mo.ui.dropdown(
        {"all of them hold": "all", "one of them holds": "any"},
        value="one of them holds" if kept["match"] == "any" else "all of them hold",
        label="People of whom",
        allow_select_none=False,
    )
    return draft, kept, match_choice, row_count


@app.cell
def _(is_new, match_choice, row_count):
    mo.stop(not is_new)
    _grouped = (
        "One of a **group** is enough: give two conditions the same letter for *this or that*, *and …*"
        if match_choice.value == "all"
        else "All of a **group** must hold: give two conditions the same letter for *this and that*, *or …*"
    )
    mo.vstack([mo.md("## Who"), mo.hstack([match_choice, row_count], justify="start", wrap=True), mo.md(_grouped)])
    return


@app.cell
def _(kept, row_count):
    _kinds = {value: words for words, value in conditions.KINDS.items()}
    row_kinds = mo.ui.array(
        [
            mo.ui.dropdown(
                conditions.KINDS,
                value=_kinds.get(kept["rows"][n].get("kind") if n < len(kept["rows"]) else "did", "did an event"),
                allow_select_none=False,
            )
            for n in range(int(row_count.value or 1))
        ]
    )
    return (row_kinds,)


@app.cell
def _(ws):
    event_names = pages.tried(ws.event_counts)["event_name"].head(500).to_list()
    label_names = [one.name for one in ws.labels()]
    campaign_names, channel_names = pages.sent_values(ws, "campaign_id", "channel")
    return campaign_names, channel_names, event_names, label_names


@app.cell
def _(campaign_names, channel_names, event_names, files, kept, label_names, row_kinds):
    def _pick(options, value, **more):
        words = options if isinstance(options, dict) else {one: one for one in options}
        chosen = next((word for word, one in words.items() if one == value), None)
        return mo.ui.dropdown(words, value=chosen, **more)

    def _row(n, kind):
        old = kept["rows"][n] if n < len(kept["rows"]) else {}
        window = {
            "since": mo.ui.text(str(old.get("since") or ""), label="since", placeholder="30 days ago", debounce=True),
            "before": mo.ui.text(str(old.get("before") or ""), label="before", placeholder="2026-03-01", debounce=True),
        }
        group = {"group": _pick(conditions.GROUPS, old.get("group"), label="group")}
        compared = {
            "property": mo.ui.text(
                str(old.get("property") or ""), label="property", placeholder="country", debounce=True
            ),
            "operator": _pick(conditions.OPERATORS, old.get("operator") or "eq", allow_select_none=False),
            "value": mo.ui.text(str(old.get("value") or ""), placeholder="DE", debounce=True),
        }
        if kind in ("did", "did_not"):
            fields = {"event": _pick(event_names, old.get("event"), searchable=True, label="event")}
            if kind == "did":
                ways = {"at least": "at_least", "at most": "at_most", "exactly": "exactly"}
                fields["times"] = _pick(ways, old.get("times") or "at_least", allow_select_none=False)
                count = old.get("count")
                fields["count"] = mo.ui.number(0, 1_000_000, value=1 if count is None else int(count), label="times")
                fields["occurrence"] = _pick(
                    conditions.OCCURRENCES, old.get("occurrence") or "any", allow_select_none=False
                )
            return mo.ui.dictionary(fields | window | compared | group)
        if kind == "profile":
            return mo.ui.dictionary(compared | group)
        if kind in ("sent", "not_sent"):
            fields = {
                "label": _pick(label_names, old.get("label"), label="label"),
                "campaign": _pick(campaign_names, old.get("campaign"), label="campaign"),
                "channel": _pick(channel_names, old.get("channel"), label="channel"),
            }
            if kind == "sent":
                fields["reaction"] = _pick(conditions.REACTIONS, old.get("reaction") or "", allow_select_none=False)
            return mo.ui.dictionary(fields | window | group)
        return mo.ui.dictionary({"segment": _pick(list(files), old.get("segment"), label="segment")} | group)

    row_fields = mo.ui.array([_row(n, kind) for n, kind in enumerate(row_kinds.value)])
    return (row_fields,)


@app.cell
def _(is_new, row_fields, row_kinds):
    mo.stop(not is_new)
    mo.vstack(
        [
            mo.hstack([mo.md(f"**{n}**"), kind, *fields.values()], justify="start", align="end", wrap=True)
            for n, (kind, fields) in enumerate(zip(row_kinds.elements, row_fields.elements, strict=True), 1)
        ],
        gap=1,
    )
    return


@app.cell
def _(draft, file, is_new, match_choice, row_fields, row_kinds, ws):
    rows = list(zip(row_kinds.value, row_fields.value, strict=True))
    mo.stop(file is None and not is_new, mo.md("*There is no segment yet. Build one.*"))
    if is_new:
        draft.keep({"match": match_choice.value, "rows": [{"kind": kind, **row} for kind, row in rows]})
        try:
            sql = ws.build_segment(conditions.rows_condition(rows, match=match_choice.value))
        except pages.FAULTS as _error:
            mo.stop(True, mo.callout(mo.md(f"{_error}"), kind="info"))
    else:
        sql = file.text.strip()
    mo.md(f"```sql\n{sql.strip()}\n```") if is_new else mo.accordion({"The SQL": mo.md(f"```sql\n{sql}\n```")})
    return (sql,)


@app.cell
def _(as_of, file, is_new, params, sql, times, ws):
    segment = pages.tried(
        lambda: ws.people(sql, as_of) if is_new else ws.segment(file.name, as_of=as_of, **params.value)
    )
    size = pages.tried(segment.count)
    _title = "people" if is_new else file.title
    if size:
        _reach = pages.tried(lambda: ws.reach(segment)).select("channel", "reachable", "rate")
        _rest = pages.table(_reach, label="Who can be reached: opted in, a live address, not suppressed")
    elif times[next(iter(times))] is None and ws.latest_event() is None:
        _rest = pages.empty_lake("nobody is in any segment yet")
    else:
        _rest = mo.md("*Nobody is in it at that time. Try another day, or ask for less.*")
    mo.vstack([mo.stat(f"{size:,}", label=_title, bordered=True), _rest])
    return segment, size


@app.cell
def _(is_new):
    mo.stop(not is_new)
    name_text = mo.ui.text(label="Name", placeholder="two_orders_lately", full_width=True)
    title_text = mo.ui.text(label="Title", placeholder="People who ordered twice in the last 30 days", full_width=True)
    keep_button = mo.ui.run_button(label="Save the segment", kind="success")
    mo.vstack(
        [
            mo.md("## Keep it"),
            mo.hstack([name_text, title_text, keep_button], align="end", wrap=True, widths=[2, 4, 2]),
        ]
    )
    return keep_button, name_text, title_text


@app.cell
def _(draft, keep_button, name_text, set_kept, set_told, sql, title_text, ws):
    mo.stop(not keep_button.value)
    _file = pages.tried(lambda: ws.save_segment(sql, name_text.value.strip(), title_text.value))
    draft.forget()
    set_told(pages.done(f"Kept as `sql/segments/{_file.name}`."))
    set_kept(_file.stem)
    return


@app.cell
def _(get_told):
    get_told()
    return


@app.cell
def _(file, is_new):
    mo.stop(is_new)
    _ways = {
        "Send them a campaign": pages.link("campaigns", segment=file.name),
        "Make a Facebook audience of them": pages.link("facebook_audiences", segment=file.name),
        "Find one of them": pages.link("people", segment=file.name),
    }
    mo.md(" · ".join(f"[{words}]({to})" for words, to in _ways.items() if to))
    return


@app.cell
def _(segment, size, ws):
    mo.stop(not size)
    sample = pages.tried(lambda: ws.some_people(segment))
    pages.table(sample, label="The first two hundred, by id")
    return


@app.cell
def _(files, is_new, segment_choice):
    mo.stop(is_new or len(files) < 2)
    other_choice = mo.ui.dropdown(
        [name for name in files if name != segment_choice.value], label="Compare with", searchable=True
    )
    every_choice = mo.ui.dropdown(["day", "week", "month"], value="week", label="Each", allow_select_none=False)
    return every_choice, other_choice


@app.cell
def _(as_of, ws):
    until = as_of if isinstance(as_of, datetime) else ws.moment(as_of) or datetime.now(UTC)
    return (until,)


@app.cell
def _(as_of, every_choice, other_choice, segment, size, until, ws):
    mo.stop(not size)
    _back = {"day": 30, "week": 7 * 16, "month": 365}[every_choice.value]
    _sizes = pages.tried(lambda: ws.segment_sizes(segment, until - timedelta(days=_back), until, every_choice.value))
    _shared = (
        pages.table(pages.tried(lambda: ws.segment_overlap(segment, other_choice.value, as_of)))
        if other_choice.value
        else mo.md("*Choose another segment to see how many people they share.*")
    )
    mo.vstack(
        [
            mo.md("## Size over time"),
            every_choice,
            pages.chart(sizes_line(_sizes)),
            mo.md("## Overlap"),
            other_choice,
            _shared,
        ]
    )
    return


@app.cell
def _():
    _spans = {"day": 1, "7 days": 7, "30 days": 30, "90 days": 90}
    span_choice = mo.ui.dropdown(_spans, value="30 days", label="In the last", allow_select_none=False)
    return (span_choice,)


@app.cell
def _(segment, size, span_choice, until, ws):
    mo.stop(not size)
    _moved = pages.tried(lambda: ws.segment_moved(segment, until - timedelta(days=span_choice.value), until))
    _numbers = dict(_moved["change"].value_counts().rows())
    mo.vstack(
        [
            mo.md("## Who came and went"),
            span_choice,
            mo.hstack(
                [
                    mo.stat(f"{_numbers.get('came_in', 0):,}", label="came in", bordered=True),
                    mo.stat(f"{_numbers.get('dropped_out', 0):,}", label="dropped out", bordered=True),
                ],
                justify="start",
            ),
            mo.accordion({"Who": pages.table(_moved)}) if _moved.height else mo.md(""),
        ]
    )
    return


@app.cell
def _():
    value_text = mo.ui.text(label="Profile property", placeholder="country", debounce=True)
    return (value_text,)


@app.cell
def _(segment, size, value_text, ws):
    mo.stop(not size)
    _property = value_text.value.strip()
    mo.vstack(
        [
            mo.md("## What they are"),
            value_text,
            pages.table(pages.tried(lambda: ws.segment_breakdown(segment, _property)))
            if _property
            else mo.md("*Name a property of their profiles to see how many have each value.*"),
        ]
    )
    return


@app.cell
def _():
    columns_text = mo.ui.text(label="Properties beside the id", placeholder="email, country", debounce=True)
    return (columns_text,)


@app.cell
def _(columns_text, file, segment, size, ws):
    mo.stop(not size)
    _beside = tuple(name.strip() for name in columns_text.value.split(",") if name.strip())
    _stem = "people" if file is None else file.name

    def people_file(ending):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"people.{ending}"
            ws.export_people(segment, path, _beside)
            return path.read_bytes()

    mo.vstack(
        [
            mo.md("## Export"),
            mo.hstack(
                [
                    columns_text,
                    mo.download(lambda: people_file("csv"), filename=f"{_stem}.csv", label=".csv"),
                    mo.download(lambda: people_file("parquet"), filename=f"{_stem}.parquet", label=".parquet"),
                ],
                justify="start",
                align="end",
                wrap=True,
            ),
        ]
    )
    return


if __name__ == "__main__":
    app.run()
