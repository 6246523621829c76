import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Message settings", css_file="engage.css")

with app.setup:
    import marimo as mo
    import polars as pl

    from engage import pages


@app.cell
def _():
    ws = pages.opened()
    get_changes, set_changes = mo.state(0)
    return get_changes, set_changes, ws


@app.cell(hide_code=True)
def _(ws):
    pages.header(
        ws,
        "message_settings",
        "Labels, senders, consent, limits, and how the channels fare. A **label** goes on a campaign when it is made or edited; "
        "every message sent carries it, and segments, retention and reports can pick out the people who were sent it.",
    )
    return


@app.cell
def _(get_changes, ws):
    get_changes()
    _sent = dict(ws.label_report().select("label", "users_sent").rows())
    _rows = [
        {
            "label": one.name,
            "what for": one.description,
            "people sent": _sent.get(one.name, 0),
            "made": one.created_at[:10],
        }
        for one in ws.labels()
    ]
    mo.vstack(
        [
            mo.md("## Message labels"),
            pages.table(pl.DataFrame(_rows), format_mapping={"label": pages.label_links})
            if _rows
            else mo.callout(mo.md("No label yet. Make the first one below, e.g. *Onboarding*."), kind="info"),
        ]
    )
    return


@app.cell
def _():
    new_label = (
        mo.md("{name} {description}")
        .batch(
            name=mo.ui.text(placeholder="Onboarding", label="Name"),
            description=mo.ui.text(placeholder="first two weeks", label="What for", full_width=True),
        )
        .form(submit_button_label="Make label", clear_on_submit=True, bordered=False)
    )
    new_label
    return (new_label,)


@app.cell
def _(new_label, set_changes, ws):
    mo.stop(not new_label.value)
    try:
        _made = ws.create_label(new_label.value["name"], new_label.value["description"])
        set_changes(lambda count: count + 1)
        _said = mo.callout(f"{_made.name} is there.", kind="success")
    except pages.FAULTS as _error:
        _said = pages.fault(_error)
    _said
    return


@app.cell
def _(ws):
    channels = ws.channels()
    mo.vstack(
        [
            mo.md(
                "## Channels\n\nWho sends what: `[tool.engage.channels.<channel>]` in `pyproject.toml`; secrets come "
                "from the environment."
            ),
            pages.table(channels, wrapped_columns=["note"]),
        ]
    )
    return


@app.cell
def _(ws):
    _senders = [
        {"channel": name, "sender": str(options.get("from") or options.get("sender") or "–")}
        for name in ws.channels()["channel"]
        if (options := ws.settings.channel(name))
    ]
    mo.vstack(
        [
            mo.md("## Senders\n\nWho messages come from: `from` in the channel's table; a campaign may have its own."),
            pages.table(pl.DataFrame(_senders))
            if _senders
            else mo.callout(
                mo.md(
                    'No sender is set. Write e.g. `from = "Ada at Example <ada@example.com>"` under `[tool.engage.channels.email]`.'
                ),
                kind="info",
            ),
        ]
    )
    return


@app.cell
def _(ws):
    test_channel = (
        mo.md("{channel} {address}")
        .batch(
            channel=mo.ui.dropdown(ws.channels()["channel"].to_list(), value="email", label="Try the channel"),
            address=mo.ui.text(placeholder="you@example.com", label="with an address of yours", full_width=True),
        )
        .form(submit_button_label="Send a test message", bordered=False)
    )
    test_channel
    return (test_channel,)


@app.cell
def _(test_channel, ws):
    mo.stop(not test_channel.value)
    _outcome = pages.tried(
        lambda: ws.test_channel(test_channel.value["channel"], test_channel.value["address"].strip())
    )
    pages.done(f"{_outcome.status} {_outcome.reason or ''}")
    return


@app.cell
def _(get_changes, ws):
    get_changes()
    suppressed = pages.tried(ws.suppressions)
    consents = ws.sql(
        "select channel, case topic when '' then 'everything' else topic end as topic, "
        "count(*) filter (where subscribed) as said_yes, count(*) filter (where not subscribed) as said_no "
        "from consents group by all order by all"
    )
    mo.vstack(
        [
            mo.md("## Consent\n\nWhat people said yes or no to, by channel and topic."),
            pages.table(consents)
            if consents.height
            else mo.md("*Nobody said anything yet: everyone with an address may be written to.*"),
            mo.md(f"## Suppressed addresses\n\n{suppressed.height:,} addresses are never written to."),
            pages.table(suppressed, page_size=8) if suppressed.height else mo.md(""),
        ]
    )
    return


@app.cell
def _():
    suppression = (
        mo.md("{what} {channel} {address}")
        .batch(
            what=mo.ui.dropdown(["suppress", "take off the list"], value="suppress", label="What"),
            channel=mo.ui.dropdown(["email", "sms"], value="email", label="Channel"),
            address=mo.ui.text(placeholder="ada@example.com", full_width=True, label="Address"),
        )
        .form(submit_button_label="Do it", clear_on_submit=True, bordered=False)
    )
    suppression
    return (suppression,)


@app.cell
def _(set_changes, suppression, ws):
    mo.stop(not suppression.value)
    _given = suppression.value
    _do = ws.suppress if _given["what"] == "suppress" else ws.unsuppress
    try:
        _do(_given["channel"], _given["address"].strip())
        set_changes(lambda count: count + 1)
        _told = mo.callout("Done.", kind="success")
    except pages.FAULTS as _error:
        _told = pages.fault(_error)
    _told
    return


@app.cell
def _(ws):
    _names = ("delivery", "caps", "quiet_hours", "global_control_percent")
    _rows = [
        {"setting": name, "value": str(ws.settings.options[name])} for name in _names if name in ws.settings.options
    ]
    _own = [
        {
            "campaign": one.campaign_id,
            "held out": f"{one.control_percent:g} %",
            "messages a second": one.throttle_per_second,
            "priority": one.priority,
            "topic": one.topic,
            "own caps": len(one.caps),
        }
        for one in ws.campaigns()
    ]
    mo.vstack(
        [
            mo.md(
                "## Limits\n\nPace, caps, quiet hours and the share nobody writes to: `[tool.engage]` in `pyproject.toml`, and "
                "each campaign's own `campaign.toml`."
            ),
            pages.table(pl.DataFrame(_rows)) if _rows else mo.md("*None are set: the defaults hold.*"),
            pages.table(pl.DataFrame(_own)) if _own else mo.md(""),
        ]
    )
    return


if __name__ == "__main__":
    app.run()
