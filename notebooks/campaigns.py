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
    mo.stop(not campaigns, mo.callout(mo.md("No campaigns yet. Make a folder under `data/campaigns/`."), kind="info"))
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
    _facts = {
        "channel": definition.channel,
        "segment": definition.segment or definition.sql or "everyone",
        "labels": ", ".join(definition.labels) or "none",
        "held out": f"{definition.control_percent:g} %",
        "goal": f"{definition.goal.event} within {definition.goal.within.days} days",
    }
    mo.hstack([mo.stat(value, label=name) for name, value in _facts.items()], justify="start", gap=1, wrap=True)
    return as_of, campaign, definition


@app.cell
def _(definition):
    plan_button = mo.ui.run_button(label=f"Plan {definition.campaign_id}")
    send_button = mo.ui.run_button(label="Send", kind="success")
    mo.hstack([plan_button, send_button], justify="start")
    return plan_button, send_button


@app.cell
def _(as_of, campaign, plan_button, send_button):
    mo.stop(not (plan_button.value or send_button.value), mo.md("*Press* Plan *to see who would be reached.*"))
    try:
        planned = campaign.plan(as_of)
        messages = campaign.preview(as_of, 3)
    except (engage.EngageError, engage.ConfigurationError) as _error:
        mo.stop(True, mo.callout(mo.md(str(_error)), kind="danger"))
    _counts = planned.run.counts
    _excluded = [mo.stat(f"{n:,}", label=f"left out: {why}") for why, n in _counts.excluded.items()]
    mo.hstack(
        [
            mo.stat(f"{_counts.send:,}", label="to send"),
            mo.stat(f"{_counts.held_out:,}", label="held out"),
            *_excluded,
            mo.stat(planned.plan_id, label="plan"),
        ],
        justify="start",
        gap=1,
    )
    return messages, planned


@app.cell
def _(messages):
    mo.vstack(
        [
            mo.md(f"**To** {message.get('address')} · **Subject** {message.get('subject', '–')}\n\n{message['error']}")
            if "error" in message
            else mo.vstack(
                [
                    mo.md(f"**To** {message.get('address')} · **Subject** {message.get('subject', '–')}"),
                    mo.iframe(message["html"], height="380px")
                    if message.get("html")
                    else mo.plain_text(str(message.get("text") or message.get("body") or "")),
                ]
            )
            for message in messages[:1]
        ]
    )
    return


@app.cell
def _(as_of, campaign, planned, send_button):
    mo.stop(not send_button.value)
    with mo.status.progress_bar(total=max(planned.run.counts.send, 1), title="Sending") as bar:
        _done = [0]

        def _told(progress):
            bar.update(increment=progress.done - _done[0])
            _done[0] = progress.done

        try:
            summary = campaign.send(as_of, report=_told)
        except (engage.EngageError, engage.ConfigurationError) as _error:
            mo.stop(True, mo.callout(mo.md(str(_error)), kind="danger"))
    mo.ui.table(
        pl.DataFrame({"outcome": list(summary.counts()), "people": list(summary.counts().values())}), selection=None
    )
    return (summary,)


if __name__ == "__main__":
    app.run()
