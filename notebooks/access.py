import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Access", css_file="engage.css")

with app.setup:
    import marimo as mo
    import polars as pl

    from engage import pages
    from engage.access.roles import Role


@app.cell
def _():
    ws = pages.opened()
    get_changes, set_changes = mo.state(0)
    # What was done stands until the next is done, though the list above it and the forms are made anew.
    get_added, set_added = mo.state(None)
    get_changed, set_changed = mo.state(None)
    return get_added, get_changed, get_changes, set_added, set_changed, set_changes, ws


@app.cell(hide_code=True)
def _(ws):
    pages.header(
        ws,
        "access",
        "Who may sign in and what they may do; and what was done by whom. An admin's page.",
    )
    return


@app.cell
def _(get_changes, ws):
    get_changes()
    people = pages.tried(ws.accounts)
    _rows = [
        {
            "address": one.email,
            "name": one.name,
            "role": one.role.value,
            "signs in with": one.signs_in or "nothing yet",
            "since": one.created_at,
        }
        for one in people
    ]
    mo.vstack(
        [
            mo.md("## People"),
            pages.table(pl.DataFrame(_rows))
            if _rows
            else pages.nothing(
                "**Nobody signs in yet.** On this machine you need no account. To let others in, start `engage up` and open "
                "the link it prints, or add people below and hand them theirs."
            ),
            mo.md(
                "- **viewer**: reports, retention, funnels\n- **analyst**: also segments, people one by one, exports, reports "
                "by mail\n- **marketer**: also campaigns, journeys, labels, tests, pausing\n- **sender**: also approves, "
                "sends and launches\n- **admin**: also people, imports, erasure, this page"
            ),
        ]
    )
    return (people,)


@app.cell
def _(people):
    _ = people  # whoever may not see people is asked nothing
    new_person = (
        mo.md("{email} {name} {role}")
        .batch(
            email=mo.ui.text(placeholder="ada@example.com", label="Address", full_width=True),
            name=mo.ui.text(placeholder="Ada", label="Name"),
            role=mo.ui.dropdown([role.value for role in Role], value="viewer", label="Role", allow_select_none=False),
        )
        .form(submit_button_label="Add", clear_on_submit=True, bordered=False)
    )
    mo.vstack([mo.md("### Add somebody"), new_person])
    return (new_person,)


@app.cell
def _(new_person, set_added, set_changes, ws):
    mo.stop(not new_person.value)
    _given = new_person.value
    _path = pages.tried(lambda: ws.add_account(_given["email"], role=Role(_given["role"]), name=_given["name"]))
    _words = (
        f"Hand this link to {_given['email'].strip()} alone: whoever opens it sets the password. It is good for a day, "
        f"once.\n\n`{pages.origin(ws)}{_path}`"
    )
    set_added(pages.done(_words))
    set_changes(lambda count: count + 1)
    return


@app.cell
def _(get_added):
    get_added()
    return


@app.cell
def _(people):
    change = (
        mo.md("{email} {what}")
        .batch(
            email=mo.ui.dropdown([one.email for one in people], label="Whom", searchable=True),
            what=mo.ui.dropdown(
                [*(f"make {role.value}" for role in Role), "make a new link", "remove"],
                label="What",
                value="make a new link",
            ),
        )
        .form(submit_button_label="Do it", bordered=False)
    )
    mo.vstack([mo.md("### Change somebody's"), change]) if people else mo.md("")
    return (change,)


@app.cell
def _(change, set_changed, set_changes, ws):
    mo.stop(not change.value or not change.value["email"] or not change.value["what"])
    _who, _what = change.value["email"], change.value["what"]
    if _what == "remove":
        pages.tried(lambda: ws.remove_account(_who))
        _said = f"{_who} is gone, and signed out everywhere."
    elif _what == "make a new link":
        _path = pages.tried(lambda: ws.account_link(_who))
        _said = f"Hand it to {_who} alone; it is good for a day, once.\n\n`{pages.origin(ws)}{_path}`"
    else:
        _role = Role(_what.removeprefix("make "))
        pages.tried(lambda: ws.set_role(_who, role=_role))
        _said = f"{_who} is {_role.value} now."
    set_changed(pages.done(_said))
    set_changes(lambda count: count + 1)
    return


@app.cell
def _(get_changed):
    get_changed()
    return


@app.cell
def _(get_changes, people, ws):
    get_changes()
    _ = people
    log = pages.tried(
        lambda: ws.audit(
            "select done_at, who, role, what, object, outcome, via, detail from audit order by done_at desc"
        )
    )
    _faults = ws.check_audit()
    mo.vstack(
        [
            mo.md(
                "## Audit log\n\nWho did what to what, the latest first; times are UTC. It is only ever appended to."
            ),
            pages.fault("The log is not as it was written: " + "; ".join(_faults[:3])) if _faults else mo.md(""),
            pages.table(
                log, page_size=20, headings={"done_at": "When", "via": "From", "object": "On"}, show_download=True
            )
            if log.height
            else pages.nothing("Nothing was done yet that is written down: campaigns made, sent, people added."),
        ]
    )
    return


if __name__ == "__main__":
    app.run()
