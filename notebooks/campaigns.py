import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="Campaigns", css_file="engage.css")

with app.setup:
    import marimo as mo
    import polars as pl

    from engage import pages
    from engage.campaigns.facts import campaign_facts
    from engage.pages import composer


@app.cell
def _():
    ws = pages.opened()
    get_made, set_made = mo.state("")
    # What was done stands until the next is done, though what its button belongs to is made anew.
    get_told, set_told = mo.state(None)
    return get_made, get_told, set_made, set_told, ws


@app.cell(hide_code=True)
def _(ws):
    pages.header(
        ws,
        "campaigns",
        "A **campaign** is a folder under `data/campaigns/`. See who it would reach and what they would read; nothing "
        "leaves before you press *Send*, and pressing it twice sends nobody anything twice.",
    )
    return


@app.cell
def _(get_made, ws):
    get_made()
    campaigns = {one.campaign_id: one for one in pages.tried(ws.campaigns)}
    _rows = [
        {
            "campaign": one.title,
            "id": one.campaign_id,
            "channel": one.channel,
            "whom": one.segment or ("a select" if one.sql else "everyone"),
            "status": one.status,
            "type": one.delivery_type,
            "labels": ", ".join(one.labels),
        }
        for one in campaigns.values()
    ]
    pages.table(
        pl.DataFrame(_rows), page_size=6, format_mapping={"labels": pages.label_links}
    ) if _rows else pages.nothing(
        "**No campaigns yet.** Compose the first one below, or start from one that is known to work.",
        "clever_campaigns",
        "Open Clever Campaigns",
    )
    return (campaigns,)


@app.cell
def _(campaigns, get_made):
    _asked = get_made() or mo.query_params().get("campaign")
    _ways = ["Plan and send", "Edit", "Compose a new one"] if campaigns else ["Compose a new one"]
    _way = "Edit" if mo.query_params().get("edit") else _ways[0]
    way_choice = mo.ui.radio(
        _ways, value=_ways[-1] if mo.query_params().get("segment") and not get_made() else _way, inline=True
    )
    campaign_choice = mo.ui.dropdown(
        {one.title: name for name, one in campaigns.items()},
        value=next((one.title for name, one in campaigns.items() if name == _asked), None)
        or next((one.title for one in campaigns.values()), None),
        label="Campaign",
    )
    way_choice
    return campaign_choice, way_choice


@app.cell
def _(ws):
    times = pages.moments(ws)
    time_choice = mo.ui.dropdown(list(times), value="now", label="As of", allow_select_none=False)
    day_choice = mo.ui.date(label="day")
    return day_choice, time_choice, times


@app.cell
def _(way_choice):
    is_sending, is_editing = way_choice.value == "Plan and send", way_choice.value == "Edit"
    return is_editing, is_sending


@app.cell
def _(campaign_choice, day_choice, is_sending, time_choice, times):
    mo.stop(not is_sending)
    _day = [day_choice] if times[time_choice.value] == "day" else []
    mo.hstack([campaign_choice, time_choice, *_day], justify="start", wrap=True)
    return


@app.cell
def _(campaign_choice, campaigns, day_choice, is_sending, time_choice, times, ws):
    mo.stop(not is_sending or campaign_choice.value not in campaigns)
    as_of = day_choice.value if times[time_choice.value] == "day" else times[time_choice.value]
    definition = campaigns[campaign_choice.value]
    campaign = ws.campaign(definition.campaign_id)
    pages.facts(campaign_facts(definition))
    return as_of, campaign, definition


@app.cell
def _(definition):
    plan_button = mo.ui.run_button(label="Plan", tooltip=f"See whom {definition.campaign_id} would reach")
    send_button = mo.ui.run_button(label="Send", kind="success")
    approve_text = mo.ui.text(label="Approve plan", placeholder="its id, if asked for")
    launch_button = mo.ui.run_button(label="Launch", tooltip="Let the worker send what falls due by its schedule")
    pause_button, stop_button = mo.ui.run_button(label="Pause"), mo.ui.run_button(label="Stop for good", kind="danger")
    _life = {
        "draft": [launch_button],
        "scheduled": [pause_button, stop_button],
        "running": [pause_button, stop_button],
        "paused": [launch_button, stop_button],
    }.get("draft" if definition.launched_at is None else definition.status, [])
    mo.hstack([plan_button, approve_text, send_button, *_life], justify="start", align="end", wrap=True)
    return (
        approve_text,
        launch_button,
        pause_button,
        plan_button,
        send_button,
        stop_button,
    )


@app.cell
def _(approve_text, campaign, launch_button, pause_button, set_made, set_told, stop_button):
    mo.stop(not (launch_button.value or pause_button.value or stop_button.value))
    if launch_button.value:
        _changed = pages.tried(lambda: campaign.launch(approve=approve_text.value.strip() or None))
    else:
        _changed = pages.tried(campaign.pause if pause_button.value else campaign.stop)
    set_told(pages.done(f"{_changed.definition.title} is {_changed.definition.status}."))
    set_made(_changed.definition.campaign_id)
    return


@app.cell
def _(get_told, is_sending):
    get_told() if is_sending else None
    return


@app.cell
def _(as_of, campaign, plan_button, send_button):
    mo.stop(not (plan_button.value or send_button.value), mo.md("*Press* Plan *to see who would be reached.*"))
    with mo.status.spinner(title="Planning …"):
        looked = pages.tried(lambda: campaign.dry_run(as_of))
    planned, messages, _takes = looked.plan, looked.samples, looked.estimate
    _counts = planned.counts
    _by = {f"to send by {run.channel}": run.counts.send for run in planned.runs}
    _outcomes = (_by if planned.others else {"to send": _counts.send}) | {"held out": _counts.held_out}
    _outcomes |= {f"left out: {why.replace('_', ' ')}": n for why, n in _counts.excluded.items()}
    _takes_long = f"{_takes.seconds:,.0f} s" if _takes.seconds is not None else "no limit set"
    _costs = f"{_takes.cost:,.2f} {_takes.currency}" if _takes.cost is not None else "no price set"
    mo.vstack(
        [
            mo.hstack(
                [
                    mo.stat(f"{_counts.audience:,}", label="audience", bordered=True),
                    mo.stat(f"{_counts.send:,}", label="to send", bordered=True),
                    mo.stat(_takes_long, label="takes about", bordered=True),
                    mo.stat(_costs, label="costs about", bordered=True),
                ],
                widths="equal",
                wrap=True,
            ),
            mo.md(
                f"Plan `{planned.plan_id}`"
                + (": **needs approval**, copy it into the field above." if _takes.needs_approval else "")
            ),
            pages.table(pl.DataFrame({"outcome": list(_outcomes), "people": list(_outcomes.values())})),
        ]
    )
    return messages, planned


@app.cell
def _(as_of, approve_text, campaign, definition, planned, send_button):
    mo.stop(not send_button.value)
    with mo.status.progress_bar(total=max(planned.counts.send, 1), title="Sending") as bar:
        _done = [0]

        def _told(progress):
            bar.update(increment=progress.done - _done[0], subtitle=progress.line)
            _done[0] = progress.done

        summary = pages.tried(lambda: campaign.send(as_of, approve=approve_text.value.strip() or None, report=_told))
    _counts = summary.counts()
    _waiting = _counts.get("pending", 0)
    _to = pages.link("reports", label=definition.labels[0]) if definition.labels else pages.link("reports")
    mo.vstack(
        [
            pages.done(
                f"**Sent {_counts.get('sent', 0):,}**, held out {_counts.get('held_out', 0):,}. "
                + (f"{_waiting:,} wait for the end of quiet hours: `engage worker` sends them then. " * bool(_waiting))
                + (f"[See it in the report]({_to})" if _to else "")
            ),
            pages.table(
                pl.DataFrame(
                    {
                        "outcome": [name.replace("excluded:", "left out: ").replace("_", " ") for name in _counts],
                        "people": list(_counts.values()),
                    }
                )
            ),
        ]
    )
    return (summary,)


@app.cell
def _(definition, messages):
    mo.stop(not messages, mo.md("*Nobody is to be sent anything.*"))
    mo.vstack(
        [
            mo.md("## As they would see it"),
            mo.ui.tabs(
                {
                    f"{number}. {m['user_id']}": mo.vstack(
                        [
                            mo.md(f"To `{m.get('address')}` · variant {m.get('variant') or '–'}"),
                            pages.framed(definition.channel, m),
                        ]
                    )
                    for number, m in enumerate(messages[:5], 1)
                },
            ),
        ]
    )
    return


@app.cell
def _(definition):
    test_form = (
        mo.md("{address} {user}")
        .batch(
            address=mo.ui.text(label="To", placeholder="you@example.com"),
            user=mo.ui.text(label="With the details of user", placeholder="a user id"),
        )
        .form(submit_button_label="Send a test", show_clear_button=False, bordered=False)
    )
    mo.vstack(
        [
            mo.md(
                f"### Test {definition.title}\n\nSends one message to yourself, filled with a real person's details. Nothing of it is recorded."
            ),
            test_form,
        ]
    )
    return (test_form,)


@app.cell
def _(campaign, test_form):
    mo.stop(not test_form.value)
    _outcome = pages.tried(
        lambda: campaign.test_send(test_form.value["address"].strip(), user=test_form.value["user"].strip())
    )
    pages.done(f"{_outcome.status} {_outcome.reason or ''}")
    return


@app.cell
def _(campaign_choice, is_editing):
    mo.stop(not is_editing)
    campaign_choice
    return


@app.cell
def _(campaign_choice, campaigns, is_editing, ws):
    draft = pages.Draft(ws, "campaign")
    kept = draft.read(
        name="", title="", channel="email", segment=None, labels=[], control=10, content={}, content_b={}, weight_b=50,
        goal="Charged", within="14 days", per_day=2, per_week=5, quiet_from="21:00", quiet_to="08:00", topic="", user="",
        when="", when_value="", when_after="", when_unless="", when_local="",
    )  # fmt: skip
    edited = campaigns.get(campaign_choice.value) if is_editing else None
    if edited is not None:
        kept = {**kept, "user": "", **pages.tried(lambda: composer.form_values(edited))}
    return draft, edited, kept


@app.cell
def _(edited, is_sending, kept):
    mo.stop(is_sending)
    # Here and below, a cell shows the fields it makes: such a cell isn't run again, and redrawn, as one types.
    channel_choice = mo.ui.dropdown(
        [kept["channel"]] if edited else [str(channel) for channel in composer.COMPOSED],
        value=kept["channel"],
        label="Channel",
        allow_select_none=False,
    )
    channel_choice
    return (channel_choice,)


@app.cell
def _(edited, is_sending, kept, ws):
    mo.stop(is_sending)
    _segments = [file.name for file in ws.segments()] + [composer.AS_IT_IS] * (kept["segment"] == composer.AS_IT_IS)
    _labels = [label.name for label in ws.labels()]
    _segment = kept["segment"] if edited else mo.query_params().get("segment") or kept["segment"]
    base_fields = mo.ui.dictionary(
        {
            "title": mo.ui.text(kept["title"], label="Title", placeholder="Spring sale", debounce=True),
            "name": mo.ui.text(
                kept["name"], label="Name (its folder)", placeholder="spring-sale", debounce=True, disabled=bool(edited)
            ),
            "segment": mo.ui.dropdown(
                {"— everyone —": None} | {name: name for name in _segments},
                value=_segment if _segment in _segments else "— everyone —",
                label="Whom",
                allow_select_none=False,
            ),
            "labels": mo.ui.multiselect(
                _labels, value=[one for one in kept["labels"] if one in _labels], label="Labels"
            ),
            "control": mo.ui.number(0, 90, value=kept["control"], label="Held out, %"),
        }
    )
    mo.hstack(list(base_fields.values()), justify="start", align="end", wrap=True)
    return (base_fields,)


@app.cell
def message(channel_choice, draft, edited, kept):
    # Read anew: another channel's fields start with what was typed for the one before.
    _typed = kept if edited else {**kept, **draft.read(content={}, content_b={}, weight_b=50)}

    def _fields(old):
        return mo.ui.dictionary(
            {
                name: (mo.ui.text_area if is_long else mo.ui.text)(
                    str(old.get(name) or ""),
                    label=f"{name.replace('_', ' ').capitalize()}: {about}",
                    debounce=400,
                    full_width=True,
                )
                for name, (about, is_long) in composer.content_fields(channel_choice.value).items()
            }
        )

    content_a, content_b = _fields(_typed["content"]), _fields(_typed["content_b"])
    weight_field = mo.ui.number(0, 100, value=_typed["weight_b"], label="% of the people get variant B")
    mo.vstack(
        [
            mo.md("## Message"),
            *content_a.values(),
            mo.accordion(
                {"Variant B: what differs; leave empty for one variant": mo.vstack([weight_field, *content_b.values()])}
            ),
            mo.md(
                "*What you type is kept: it is still here when you come back. `{{ profile.first_name | default('there') }}` puts in a person's own.*"
            ),
        ]
    )
    return content_a, content_b, weight_field


@app.cell
def preview(channel_choice, edited, form, preview_user, ws):
    def _seen():
        try:
            user = preview_user.value.strip() or ws.some_user()
            if not user:
                return pages.nothing("**Nobody to preview for yet**: the lake has no profiles.")
            values = composer.campaign_values(form)
            if form["segment"] == composer.AS_IT_IS:
                values = {key: value for key, value in values.items() if key != "segment"} | {"sql": edited.sql}
            campaign = ws.draft_campaign(form["name"], values)
            shown = [pages.framed(channel_choice.value, one) for one in campaign.preview(user=user)]
            names = [one.name or "Message" for one in campaign.definition.variants]
        except pages.FAULTS as error:
            return mo.callout(mo.md(str(error)), kind="info")
        return shown[0] if len(shown) == 1 else mo.ui.tabs(dict(zip(names, shown, strict=True)))

    mo.vstack([mo.md("## As they would see it"), preview_user, _seen()])
    return


@app.cell
def _(is_sending, kept):
    mo.stop(is_sending)
    limit_fields = mo.ui.dictionary(
        {
            "goal": mo.ui.text(kept["goal"], label="Goal event"),
            "within": mo.ui.text(kept["within"], label="within"),
            "per_day": mo.ui.number(0, 100, value=kept["per_day"], label="Most a day"),
            "per_week": mo.ui.number(0, 100, value=kept["per_week"], label="a week"),
            "quiet_from": mo.ui.text(kept["quiet_from"], label="Quiet from"),
            "quiet_to": mo.ui.text(kept["quiet_to"], label="to"),
            "topic": mo.ui.text(kept["topic"], label="Consent topic", placeholder="none"),
        }
    )
    when_fields = mo.ui.dictionary(
        {
            "when": mo.ui.dropdown(
                composer.WHEN,
                value=next(text for text, key in composer.WHEN.items() if key == kept["when"]),
                label="When",
                allow_select_none=False,
            ),
            "when_value": mo.ui.text(
                kept["when_value"], label="time, cron or event", placeholder="0 9 * * MON", debounce=True
            ),
            "when_after": mo.ui.text(kept["when_after"], label="so long after the event", placeholder="2 hours"),
            "when_unless": mo.ui.text(kept["when_unless"], label="unless this happens", placeholder="Charged"),
            "when_local": mo.ui.text(kept["when_local"], label="by each one's clock, at", placeholder="09:00"),
        }
    )
    mo.accordion(
        {
            "When": mo.hstack(list(when_fields.values()), justify="start", align="end", wrap=True),
            "Goal, caps, quiet hours, consent": mo.hstack(
                list(limit_fields.values()), justify="start", align="end", wrap=True
            ),
        },
        multiple=True,
    )
    return limit_fields, when_fields


@app.cell
def _(kept):
    preview_user = mo.ui.text(kept["user"], label="Preview for user", placeholder="the first person", debounce=True)
    return (preview_user,)


@app.cell
def _(
    base_fields,
    channel_choice,
    content_a,
    content_b,
    draft,
    is_editing,
    limit_fields,
    preview_user,
    weight_field,
    when_fields,
):
    form = {
        **base_fields.value,
        "channel": channel_choice.value,
        **limit_fields.value,
        **when_fields.value,
        "content": content_a.value,
        "content_b": content_b.value,
        "weight_b": weight_field.value,
    }
    if not is_editing:
        draft.keep({**form, "user": preview_user.value})
    return (form,)


@app.cell
def _(edited, is_sending):
    mo.stop(is_sending)
    make_button = mo.ui.run_button(label="Save the changes" if edited else "Make the campaign", kind="success")
    copy_name = mo.ui.text(label="or copy it as", placeholder=f"{edited.campaign_id}-2" if edited else "")
    copy_button = mo.ui.run_button(label="Copy")
    mo.hstack([make_button, *([copy_name, copy_button] if edited else [])], justify="start", align="end", wrap=True)
    return copy_button, copy_name, make_button


@app.cell
def _(draft, edited, form, make_button, set_made, set_told, ws):
    mo.stop(not make_button.value)
    if edited is None:
        _made = pages.tried(lambda: ws.create_campaign(form["name"].strip(), composer.campaign_values(form))).definition
        draft.forget()
        _told = f"Made `data/campaigns/{_made.campaign_id}/`: a draft until it is sent or launched."
    else:
        _values, _files = pages.tried(lambda: composer.edited_values(form, edited))
        _made = pages.tried(lambda: ws.edit_campaign(edited.campaign_id, _values, _files)).definition
        _told = "Nothing was changed."
        if _values or _files:
            _told = f"Saved {', '.join((*_values, *_files))}. It counts from the next run on; what was planned is sent as planned."
    set_told(pages.done(_told))
    set_made(_made.campaign_id)
    return


@app.cell
def _(copy_button, copy_name, edited, set_made, set_told, ws):
    mo.stop(not copy_button.value)
    _copy = pages.tried(lambda: ws.copy_campaign(edited.campaign_id, copy_name.value.strip())).definition
    set_told(pages.done(f"Made `data/campaigns/{_copy.campaign_id}/`: a draft."))
    set_made(_copy.campaign_id)
    return


@app.cell
def _(get_told, is_sending):
    None if is_sending else get_told()
    return


if __name__ == "__main__":
    app.run()
