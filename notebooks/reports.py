import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="Campaign reports")

with app.setup:
    import altair as alt
    import marimo as mo
    import polars as pl

    import engage


@app.cell
def _():
    ws = engage.Workspace.open(mo.notebook_dir() or ".")
    report = ws.campaign_report()
    return (report,)


@app.cell(hide_code=True)
def _():
    mo.md("""
    # Campaign reports

    One row a campaign, over all channels. **Lift** is the conversion rate of those sent less that of those held out,
    with a 95 % interval; where the interval crosses zero, the campaign may have done nothing.
    """)
    return


@app.cell
def _(report):
    channel = mo.ui.multiselect(sorted(set(report["channel"].drop_nulls())), label="Channel")
    status = mo.ui.multiselect(sorted(set(report["status"].drop_nulls())), label="Status")
    label = mo.ui.multiselect(sorted(set(report["labels"].explode().drop_nulls())), label="Label")
    text = mo.ui.text(placeholder="name contains …", label="Search")
    mo.hstack([channel, status, label, text], justify="start", wrap=True)
    return channel, label, status, text


@app.cell
def _(channel, label, report, status, text):
    shown = report
    if channel.value:
        shown = shown.filter(pl.col("channel").is_in(channel.value))
    if status.value:
        shown = shown.filter(pl.col("status").is_in(status.value))
    if label.value:
        shown = shown.filter(pl.col("labels").list.eval(pl.element().is_in(label.value)).list.any())
    if text.value:
        shown = shown.filter(pl.col("campaign").str.to_lowercase().str.contains(text.value.lower(), literal=True))
    return (shown,)


@app.cell
def _(shown):
    mo.stop(not shown.height, mo.callout(mo.md("No campaign fits. Clear a filter, or send one."), kind="info"))
    mo.ui.table(
        shown.with_columns(pl.col("labels").list.join(", ")).drop("campaign_id"),
        selection=None,
        page_size=20,
        format_mapping=dict.fromkeys(("delivered_rate", "viewed_rate", "clicked_rate", "conversion_rate", "control_rate", "lift", "lift_low", "lift_high"), "{:.1%}"),
    )  # fmt: skip
    return


@app.cell
def _(shown):
    _measured = shown.filter(pl.col("lift").is_not_null())
    mo.stop(not _measured.height, mo.md("*No campaign here has a control group, so there is no lift to show.*"))
    _base = alt.Chart(
        _measured.drop("labels"),
        title=alt.Title("Lift in conversion", subtitle="Dot: difference to the held out. Bar: 95 % interval"),
    )
    lifts = alt.layer(
        alt.Chart(pl.DataFrame({"x": [0.0]})).mark_rule(strokeDash=[4, 4], color="#888").encode(x="x:Q"),
        _base.mark_rule(color="#0b5fa5", strokeWidth=3).encode(
            x=alt.X("lift_low:Q", title="percentage points", axis=alt.Axis(format="+.1%")),
            x2="lift_high:Q",
            y=alt.Y("campaign:N", title=None, sort="-x"),
        ),
        _base.mark_point(filled=True, size=90, color="#0b5fa5").encode(
            x="lift:Q",
            y=alt.Y("campaign:N", title=None, sort="-x"),
            tooltip=[
                alt.Tooltip("campaign:N"),
                alt.Tooltip("lift:Q", format="+.2%"),
                alt.Tooltip("lift_low:Q", title="from", format="+.2%"),
                alt.Tooltip("lift_high:Q", title="to", format="+.2%"),
                alt.Tooltip("lift_p_value:Q", title="p", format=".3f"),
            ],
        ),
    ).properties(width="container", height=alt.Step(36))
    mo.ui.altair_chart(lifts, chart_selection=False, legend_selection=False)
    return


@app.cell
def _(shown):
    mo.download(
        data=lambda: shown.with_columns(pl.col("labels").list.join(", ")).write_csv().encode(),
        filename="campaigns.csv",
        label="Download as .csv",
    )
    return


if __name__ == "__main__":
    app.run()
