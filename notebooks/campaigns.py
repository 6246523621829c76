import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Campaigns")

with app.setup:
    import datetime

    import marimo as mo
    import polars as pl

    import engage


@app.cell
def _():
    ws = engage.Workspace.open(mo.notebook_dir() or ".")
    campaigns = {campaign.title: campaign for campaign in ws.campaigns()}
    return campaigns, ws


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Campaigns

    A **campaign** is a folder under `data/campaigns/`. Look at who it would reach and what they would read; nothing
    leaves before you press *Send*, and pressing it twice sends nobody anything twice.
    """)
    return


@app.cell
def _(campaigns):
    mo.stop(not campaigns, mo.callout(mo.md("No campaigns yet. Compose the first one below."), kind="info"))
    campaign_choice = mo.ui.dropdown(list(campaigns), value=next(iter(campaigns)), label="Campaign")
    return (campaign_choice,)


@app.cell
def _():
    day_choice = mo.ui.date(label="As of", value=datetime.date(1997, 2, 1))
    now_choice = mo.ui.checkbox(label="now", value=False)
    return day_choice, now_choice


@app.cell
def _(campaign_choice, day_choice, now_choice):
    mo.hstack([campaign_choice, day_choice, now_choice], justify="start")
    return


@app.cell
def _(campaign_choice, campaigns, day_choice, now_choice, ws):
    definition = campaigns[campaign_choice.value]
    as_of = None if now_choice.value else day_choice.value
    campaign = ws.campaign(definition.campaign_id)
    _quiet = definition.quiet_hours
    _facts = {
        "channel": definition.channel,
        "whom": definition.segment or ("a select" if definition.sql else "everyone"),
        "status": definition.status,
        "delivery": definition.delivery_type,
        "labels": ", ".join(definition.labels) or "none",
        "held out": f"{definition.control_percent:g} %",
        "variants": ", ".join(f"{v.name or 'one'} ({v.weight:g})" for v in definition.variants),
        "goal": f"{definition.goal.event} within {definition.goal.within.days} days",
        "caps": ", ".join(f"{cap.most} a {cap.period} {cap.name}".strip() for cap in definition.caps) or "workspace's",
        "quiet hours": f"{_quiet.begin:%H:%M}–{_quiet.end:%H:%M}" if _quiet else "none",
    }
    mo.hstack([mo.stat(value, label=name) for name, value in _facts.items()], justify="start", gap=1, wrap=True)
    return as_of, campaign, definition


@app.cell
def _(definition):
    plan_button = mo.ui.run_button(label=f"Plan {definition.campaign_id}")
    return (plan_button,)


@app.cell
def _():
    send_button = mo.ui.run_button(label="Send", kind="success")
    return (send_button,)


@app.cell
def _():
    approve_text = mo.ui.text(label="Approve plan", placeholder="the plan's id")
    return (approve_text,)


@app.cell
def _(approve_text, plan_button, send_button):
    mo.hstack([plan_button, approve_text, send_button], justify="start", align="end")
    return


@app.cell
def _(as_of, campaign, plan_button, send_button):
    mo.stop(not (plan_button.value or send_button.value), mo.md("*Press* Plan *to see who would be reached.*"))
    try:
        looked = campaign.dry_run(as_of)
    except (engage.EngageError, engage.ConfigurationError) as _error:
        mo.stop(True, mo.callout(mo.md(str(_error)), kind="danger"))
    planned, messages, _takes = looked.plan, looked.samples, looked.estimate
    _counts = planned.run.counts
    _reasons = pl.DataFrame(
        {
            "outcome": ["to send", "held out", *(f"left out: {why}" for why in _counts.excluded)],
            "people": [_counts.send, _counts.held_out, *_counts.excluded.values()],
        }
    )
    _takes_long = f"{_takes.seconds:,.0f} s" if _takes.seconds is not None else "no limit set"
    _costs = f"{_takes.cost:,.2f} {_takes.currency}" if _takes.cost is not None else "no price set"
    mo.vstack(
        [
            mo.hstack(
                [
                    mo.stat(f"{_counts.audience:,}", label="audience"),
                    mo.stat(f"{_counts.send:,}", label="to send"),
                    mo.stat(_takes_long, label="takes about"),
                    mo.stat(_costs, label="costs about"),
                    mo.stat(planned.plan_id, label="plan", caption="needs approval" if _takes.needs_approval else ""),
                ],
                justify="start",
                gap=1,
                wrap=True,
            ),
            mo.ui.table(_reasons, selection=None, show_download=False),
        ]
    )
    return messages, planned


@app.cell
def _(messages):
    def _shown(message):
        _head = mo.md(
            f"**To** {message.get('address')} · **Variant** {message.get('variant') or '–'} · "
            f"**Subject** {message.get('subject', '–')}"
        )
        if "error" in message:
            return mo.vstack([_head, mo.callout(message["error"], kind="warn")])
        if message.get("html"):
            return mo.vstack([_head, mo.iframe(message["html"], height="380px")])
        return mo.vstack([_head, mo.plain_text(str(message.get("text") or message.get("body") or ""))])

    mo.stop(not messages, mo.md("*Nobody is to be sent anything.*"))
    mo.ui.tabs({f"{number}. {m['user_id']}": _shown(m) for number, m in enumerate(messages, 1)}, lazy=False)
    return


@app.cell
def _(as_of, approve_text, campaign, planned, send_button):
    mo.stop(not send_button.value)
    with mo.status.progress_bar(total=max(planned.run.counts.send, 1), title="Sending") as bar:
        _done = [0]

        def _told(progress):
            bar.update(increment=progress.done - _done[0])
            _done[0] = progress.done

        try:
            summary = campaign.send(as_of, approve=approve_text.value.strip() or None, report=_told)
        except (engage.EngageError, engage.ConfigurationError) as _error:
            mo.stop(True, mo.callout(mo.md(str(_error)), kind="danger"))
    mo.ui.table(
        pl.DataFrame({"outcome": list(summary.counts()), "people": list(summary.counts().values())}), selection=None
    )
    return (summary,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Test

    Send one message to yourself, filled with a real person's details. Nothing of it is recorded.
    """)
    return


@app.cell
def _():
    test_form = (
        mo.md("{address} {user}")
        .batch(address=mo.ui.text(label="To", placeholder="you@example.com"), user=mo.ui.text(label="Details of user"))
        .form(submit_button_label="Send a test", show_clear_button=False)
    )
    test_form
    return (test_form,)


@app.cell
def _(campaign, test_form):
    mo.stop(not test_form.value)
    try:
        _outcome = campaign.test_send(test_form.value["address"], user=test_form.value["user"])
        _told = mo.callout(f"{_outcome.status} {_outcome.reason or ''}", kind="success")
    except (engage.EngageError, engage.ConfigurationError) as _error:
        _told = mo.callout(mo.md(str(_error)), kind="danger")
    _told
    return


@app.cell(hide_code=True)
def _():
    mo.md("""
    ## Compose

    Makes a folder `data/campaigns/<name>/` that can be edited, reviewed and kept in git. It is a draft until it is
    sent or launched.
    """)
    return


@app.cell
def _(ws):
    _segments = [file.name for file in ws.segments()]
    _labels = [label.name for label in ws.labels()]
    compose_form = (
        mo.md("""
        {name} {title} {channel}

        {segment} {labels} {control}

        **Variant A**

        {subject}

        {body}

        **Variant B** (leave empty for one variant; {weight} of the people get it)

        {subject_b}

        {body_b}

        **Limits** {per_day} {per_week} {quiet_from} {quiet_to}
        """)
        .batch(
            name=mo.ui.text(label="Name", placeholder="spring-sale"),
            title=mo.ui.text(label="Title", placeholder="Spring sale"),
            channel=mo.ui.dropdown(["email", "sms", "push", "app_inbox"], value="email", label="Channel"),
            segment=mo.ui.dropdown(_segments, value=_segments[0] if _segments else None, label="Segment"),
            labels=mo.ui.multiselect(_labels, label="Labels"),
            control=mo.ui.number(0, 90, value=10, label="Held out, %"),
            subject=mo.ui.text(label="Subject or title", full_width=True),
            body=mo.ui.text_area(
                label="Text", full_width=True, placeholder="Hello {{ profile.first_name | default('there') }}"
            ),
            weight=mo.ui.number(0, 100, value=50, label="%"),
            subject_b=mo.ui.text(label="Subject or title", full_width=True),
            body_b=mo.ui.text_area(label="Text", full_width=True),
            per_day=mo.ui.number(0, 100, value=2, label="most a day"),
            per_week=mo.ui.number(0, 100, value=5, label="most a week"),
            quiet_from=mo.ui.text(value="21:00", label="quiet from"),
            quiet_to=mo.ui.text(value="08:00", label="to"),
        )
        .form(submit_button_label="Make the campaign", show_clear_button=True)
    )
    compose_form
    return (compose_form,)


@app.cell
def _(compose_form, ws):
    mo.stop(not compose_form.value)
    _v = compose_form.value
    _heading = {"email": "subject", "push": "title", "app_inbox": "title"}.get(_v["channel"])
    _text = "text" if _v["channel"] == "email" else "body"

    def _content(subject, body):
        return {k: v for k, v in ((_heading, subject), (_text, body)) if k and v}

    _values = {
        "title": _v["title"] or _v["name"],
        "channel": _v["channel"],
        "segment": _v["segment"],
        "labels": list(_v["labels"]),
        "control_percent": _v["control"],
        "caps": {"day": int(_v["per_day"]), "week": int(_v["per_week"])},
        "content": _content(_v["subject"], _v["body"]),
    }
    if _v["quiet_from"] and _v["quiet_to"]:
        _values["quiet_hours"] = {"from": _v["quiet_from"], "to": _v["quiet_to"]}
    if _v["subject_b"] or _v["body_b"]:
        _values["variants"] = [
            {"name": "A", "weight": 100 - _v["weight"]},
            {"name": "B", "weight": _v["weight"], "content": _content(_v["subject_b"], _v["body_b"])},
        ]
    try:
        _made = ws.create_campaign(_v["name"], _values).definition
        _told = mo.callout(
            mo.md(f"Made `data/campaigns/{_made.campaign_id}/`. Run the notebook again to plan it."), kind="success"
        )
    except (engage.EngageError, engage.ConfigurationError) as _error:
        _told = mo.callout(mo.md(str(_error)), kind="danger")
    _told
    return


if __name__ == "__main__":
    app.run()
