// What is picked, as fields: one form for each kind of node, one for a connection, one for the journey itself.
import { useEffect, useState } from "react";
import { Choice, Conditions, Field, Json, List, Rows, Text, Tick, Value } from "./fields.jsx";
import { KINDS, nodeOf, ports, ways } from "./graph.js";

const DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const LENGTH = "such as 30 minutes, 2 days, 1 week";

/** An object without keys that say nothing. */
const cleaned = (values) => Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
const orNot = (text) => (text === "" ? undefined : text);
const whole = (text) => (text === "" || Number.isNaN(+text) ? undefined : Math.round(+text));

function EventField({ label, value, onChange, choices }) {
  const name = typeof value === "object" && value ? value.event : value, where = (typeof value === "object" && value?.where) || {};
  const put = (event, conditions) => onChange(Object.keys(conditions).length ? { event, where: conditions } : event);
  return <>
    <Text label={label} value={name} options={choices.events} onChange={(now) => put(now, where)} />
    <Conditions label="Where its properties" value={where} properties={choices.properties} onChange={(now) => put(name, now)} />
  </>;
}

function Entry({ node, put, choices }) {
  const kind = node.segment !== undefined ? "segment" : node.property !== undefined ? "property" : "event";
  const { event, segment, property, cron, offset_days, yearly, time, ...rest } = node;
  const begin = { event: { event: "" }, segment: { segment: "", cron: "0 9 * * *" }, property: { property: "", time: "09:00" } };
  const set = (values) => put(cleaned({ ...node, ...values }));
  return <>
    <Choice label="Who enters" value={kind} options={[["event", "whoever does an event"], ["segment", "people in a segment"], ["property", "on a date in the profile"]]}
      onChange={(now) => put({ ...begin[now], ...rest })} />
    {kind === "event" && <EventField label="Event" value={node.event} choices={choices} onChange={(now) => set({ event: now })} />}
    {kind === "segment" && <>
      <Text label="Segment" value={node.segment} options={choices.segments} onChange={(now) => set({ segment: now })} />
      <Text label="Asked at (cron)" value={node.cron} placeholder="once, at launch" hint="minute hour day month weekday; empty: once, at launch" onChange={(now) => set({ cron: orNot(now) })} />
    </>}
    {kind === "property" && <>
      <Text label="Property" value={node.property} options={choices.profile} onChange={(now) => set({ property: now })} />
      <Text label="Days after it" type="number" value={node.offset_days} hint="negative: before" onChange={(now) => set({ offset_days: whole(now) })} />
      <Text label="Time of day" type="time" value={node.time ?? "09:00"} hint="by the person's own clock" onChange={(now) => set({ time: orNot(now) })} />
      <Tick label="each year" checked={node.yearly} onChange={(now) => set({ yearly: now || undefined })} />
    </>}
    <Conditions label="Where their profile's" value={node.where} properties={choices.profile} onChange={(now) => set({ where: Object.keys(now).length ? now : undefined })} />
    <Text label="May enter again after" value={node.again_after} placeholder="never" hint={`${LENGTH}; empty: once only`} onChange={(now) => set({ again_after: orNot(now) })} />
    <Text label="At most, per person" type="number" value={node.most_per_person} onChange={(now) => set({ most_per_person: whole(now) })} />
    <Text label="At most, in all" type="number" value={node.limit} onChange={(now) => set({ limit: whole(now) })} />
  </>;
}

function Content({ channel, content, put, choices }) {
  const fields = choices.fields[channel] || [], [all, setAll] = useState(false);
  const here = fields.filter((one) => all || one.required || one.common || content[one.name] !== undefined);
  const set = (name, value) => put(cleaned({ ...content, [name]: value === "" ? undefined : value }));
  return <fieldset className="jc-rows"><legend>What it says</legend>
    {here.map(({ name, about, kind, required }) => kind === "json"
      ? <Value key={name} label={name} hint={about} value={content[name]} onChange={(now) => set(name, now)} />
      : <Text key={name} label={name} hint={`${about}${required ? "; needed" : ""}`} long={kind === "text"} value={content[name]} onChange={(now) => set(name, now)} />)}
    {here.length < fields.length && <button type="button" onClick={() => setAll(true)}>More fields</button>}
    {!fields.length && <small>Nothing: this channel adds people to a list.</small>}
  </fieldset>;
}

function Message({ node, put, choices, isWebhook }) {
  const { kind, channel, content, to, title, position, ...rest } = node;
  const options = Object.keys(choices.fields).map((one) => [one, one.replaceAll("_", " ") + (choices.ready.includes(one) ? "" : " (not set up)")]);
  return <>
    {!isWebhook && <Choice label="Channel" value={channel} options={options} onChange={(now) => {
      // What the other channel has no word for is left out; what is called otherwise there is taken over.
      const known = choices.fields[now].map((one) => one.name), said = content || {};
      const head = said.subject ?? said.title, body = said.body ?? said.text;
      const taken = cleaned({ ...Object.fromEntries(Object.entries(said).filter(([name]) => known.includes(name))),
        ...(known.includes("subject") ? { subject: head, text: body } : { title: known.includes("title") ? head : undefined, body: known.includes("body") ? body : undefined }) });
      put({ ...node, channel: now, content: taken });
    }} />}
    <Content channel={isWebhook ? "webhook" : channel} content={content || {}} choices={choices} put={(now) => put({ ...node, content: now })} />
    <Json label="Anything else, as JSON" hint="variants, topic, provider, caps, quiet_hours … as campaigns have them" value={Object.keys(rest).length ? rest : undefined}
      onChange={(now) => put(cleaned({ kind, channel, title, content, to, position, ...now }))} />
  </>;
}

function Wait({ node, put, choices }) {
  const mode = node.event !== undefined ? "event" : node.until !== undefined ? "until" : "for";
  const { event, timeout, until, weekdays, for: _, where, ...rest } = node;
  const begin = { for: { for: "1 day" }, until: { until: "09:00" }, event: { event: "", timeout: "3 days" } };
  const selector = where ? { event, where } : event, days = weekdays || [];
  return <>
    <Choice label="Wait" value={mode} options={[["for", "for a time"], ["until", "until a time of day"], ["event", "until they do something"]]}
      onChange={(now) => put({ ...rest, ...begin[now] })} />
    {mode === "for" && <Text label="How long" value={node.for} hint={LENGTH} onChange={(now) => put({ ...node, for: now })} />}
    {mode === "until" && <>
      <Text label="Time of day" type="time" value={until} hint="by the person's own clock" onChange={(now) => put({ ...node, until: now })} />
      <fieldset className="jc-days"><legend>On</legend>
        {DAYS.map((day) => <Tick key={day} label={day.slice(0, 3)} checked={!days.length || days.includes(day)} onChange={(isOn) => {
          const now = DAYS.filter((one) => (one === day ? isOn : !days.length || days.includes(one)));
          put(cleaned({ ...node, weekdays: now.length && now.length < 7 ? now : undefined }));
        }} />)}
      </fieldset>
    </>}
    {mode === "event" && <>
      <EventField label="Event" value={selector} choices={choices} onChange={(now) => put({ ...rest, timeout,
        ...(typeof now === "object" && now ? { event: now.event, where: now.where } : { event: now }) })} />
      <Text label="At most" value={timeout} hint={`${LENGTH}; then the way is timeout`} onChange={(now) => put({ ...node, timeout: now })} />
    </>}
  </>;
}

function Case({ one, put, graph, choices, number }) {
  const kind = one.message !== undefined ? "message" : one.segment !== undefined ? "segment" : one.event !== undefined ? "event" : "where";
  const begin = { event: { event: "" }, message: { message: "", did: "clicked" }, segment: { segment: "" }, where: { where: {} } };
  const messages = Object.entries(graph.nodes).filter(([, node]) => node.kind === "message").map(([id]) => id);
  const since = one.within === undefined ? "entry" : one.within === "ever" ? "ever" : "within";
  return <div className="jc-case">
    <Text label={`Way ${number}`} value={one.port} onChange={(now) => put({ ...one, port: now })} />
    <Choice label={`if ${number}`} value={kind} options={[["event", "they did an event"], ["message", "they saw or clicked a message"], ["where", "their profile says"], ["segment", "they are in a segment"]]}
      onChange={(now) => put({ port: one.port, ...begin[now] })} />
    {kind === "event" && <>
      <Text label="Event" value={one.event} options={choices.events} onChange={(now) => put({ ...one, event: now })} />
      <Conditions label="Where its properties" value={one.where} properties={choices.properties}
        onChange={(now) => put(cleaned({ ...one, where: Object.keys(now).length ? now : undefined }))} />
      <Choice label="Since" value={since} options={[["entry", "they entered the journey"], ["ever", "ever"], ["within", "within a time"]]}
        onChange={(now) => put(cleaned({ ...one, within: { entry: undefined, ever: "ever", within: "7 days" }[now] }))} />
      {since === "within" && <Text label="Within" value={one.within} hint={LENGTH} onChange={(now) => put({ ...one, within: now })} />}
      <Text label="At least, times" type="number" value={one.at_least ?? 1} onChange={(now) => put(cleaned({ ...one, at_least: whole(now) > 1 ? whole(now) : undefined }))} />
    </>}
    {kind === "message" && <>
      <Choice label="Message" value={one.message} options={[["", "choose one"], ...messages.map((id) => [id, id])]} onChange={(now) => put({ ...one, message: now })} />
      <Choice label="was" value={one.did || "clicked"} options={["sent", "delivered", "viewed", "clicked"].map((did) => [did, did])} onChange={(now) => put({ ...one, did: now })} />
    </>}
    {kind === "where" && <Conditions label="Where" value={one.where} properties={choices.profile} onChange={(now) => put({ ...one, where: now })} />}
    {kind === "segment" && <Text label="Segment" value={one.segment} options={choices.segments} onChange={(now) => put({ ...one, segment: now })} />}
  </div>;
}

/** Ways out whose names changed in place, old by new. */
const renames = (before, now) => (before.length === now.length ? Object.fromEntries(now.map((port, index) => [port, before[index]])) : {});

function Branch({ node, put, graph, choices }) {
  const cases = node.cases || [];
  return <Rows label="Ways" add="Add a way" value={cases} empty={{ port: `way${cases.length + 1}`, event: "" }} isReady={(one) => one.port}
    onChange={(now) => put({ ...node, cases: now }, renames(cases.map((one) => one.port), now.map((one) => one.port)))}>
    {(one, set, index) => <Case one={one} put={set} graph={graph} choices={choices} number={index + 1} />}
  </Rows>;
}

function Split({ node, put }) {
  const rows = Object.entries(node.weights || {}).map(([port, weight]) => ({ port, weight }));
  return <Rows label="Ways and their weights" add="Add a way" value={rows} empty={{ port: "abcdefgh"[rows.length] || "", weight: 1 }} isReady={(row) => row.port}
    onChange={(now) => put({ ...node, weights: Object.fromEntries(now.map(({ port, weight }) => [port, weight])) },
      renames(rows.map((row) => row.port), now.map((row) => row.port)))}>
    {(row, set, index) => <>
      <input aria-label={`way ${index + 1}`} value={row.port} onChange={(event) => set({ ...row, port: event.target.value })} />
      <input aria-label={`weight ${index + 1}`} type="number" min="0" step="any" value={row.weight} onChange={(event) => set({ ...row, weight: Math.max(0, +event.target.value || 0) })} />
    </>}
  </Rows>;
}

function Channels({ node, put, choices }) {
  return <>
    <Rows label="Channels, the preferred first" add="Add a channel" value={(node.channels || []).map((name) => ({ name }))} empty={{ name: "" }} isReady={(row) => row.name}
      onChange={(now) => put({ ...node, channels: [...new Set(now.map((row) => row.name))] })}>
      {(row, set, index) => <select aria-label={`channel ${index + 1}`} value={row.name} onChange={(event) => set({ name: event.target.value })}>
        <option value="">choose one</option>{Object.keys(choices.fields).map((one) => <option key={one}>{one}</option>)}
      </select>}
    </Rows>
    <Choice label="Best is" value={node.by || "preference"} options={[["preference", "the first that reaches them"], ["engagement", "the one they answer most"]]}
      onChange={(now) => put(cleaned({ ...node, by: now === "engagement" ? now : undefined }))} />
  </>;
}

function Update({ node, put, choices }) {
  return <Rows label="Properties" add="Add a property" value={Object.entries(node.set || {}).map(([name, value]) => ({ name, value }))} empty={{ name: "", value: "" }}
    isReady={(row) => row.name} onChange={(now) => put({ ...node, set: Object.fromEntries(now.map(({ name, value }) => [name, value])) })}>
    {(row, set, index) => <>
      <input aria-label={`property ${index + 1}`} placeholder="property" value={row.name} onChange={(event) => set({ ...row, name: event.target.value })} />
      <Value label={`value ${index + 1}`} value={row.value} onChange={(now) => set({ ...row, value: now })} />
    </>}
  </Rows>;
}

const FORMS = { entry: Entry, message: Message, webhook: (given) => <Message {...given} isWebhook />, wait: Wait, branch: Branch, split: Split, channel: Channels, update: Update };

/** Where each way out leads: the keyboard's way to connect. */
function Ways({ id, graph, connect }) {
  const node = nodeOf(graph, id), to = id === "entry" ? { next: graph.entry.to } : ways(node), all = id === "entry" ? ["next"] : ports(node);
  if (!all.length) return null;
  const others = Object.keys(graph.nodes).filter((one) => one !== id);
  return <fieldset className="jc-rows"><legend>Leads to</legend>
    {all.map((port) => <Choice key={port} label={port} value={graph.nodes[to[port]] ? to[port] : ""}
      options={[["", "nowhere"], ...others.map((one) => [one, graph.nodes[one].title ? `${graph.nodes[one].title} (${one})` : one])]} onChange={(target) => connect(id, port, target || undefined)} />)}
  </fieldset>;
}

function Name({ id, graph, rename }) {
  const [text, setText] = useState(id), [wrong, setWrong] = useState("");
  useEffect(() => { setText(id); setWrong(""); }, [id]);
  const done = () => {
    if (text === id) return setWrong("");
    if (!/^[a-z0-9][a-z0-9_]{0,47}$/.test(text) || text === "entry") return setWrong("lower-case letters, digits and _");
    if (graph.nodes[text]) return setWrong("is taken");
    return rename(id, text);
  };
  return <Field label="Name" hint={wrong}>
    <input aria-label="Name" aria-invalid={!!wrong} value={text} onChange={(event) => setText(event.target.value)} onBlur={done}
      onKeyDown={(event) => event.key === "Enter" && done()} />
  </Field>;
}

function JourneyForm({ graph, put, choices }) {
  const { entry, nodes, goal = {}, exit = {}, title, labels, control_percent, status, ...rest } = graph;
  const set = (values) => put(cleaned({ ...graph, ...values }));
  const part = (values) => (Object.keys(cleaned(values)).length ? cleaned(values) : undefined);
  return <>
    <h3>The journey</h3>
    <Text label="Title" value={title} onChange={(now) => set({ title: orNot(now) })} />
    <List label="Labels" value={labels} hint="message labels, parted by commas" onChange={(now) => set({ labels: now.length ? now : undefined })} />
    <Text label="Control group, %" type="number" value={control_percent} hint="walk it and are sent nothing" onChange={(now) => set({ control_percent: now === "" ? undefined : +now })} />
    <Text label="Goal" value={typeof goal.event === "string" ? goal.event : goal.event?.event} options={choices.events} placeholder="Charged" onChange={(now) => set({ goal: part({ ...goal, event: orNot(now) }) })} />
    <Text label="Goal within" value={goal.within} placeholder="14 days" hint={LENGTH} onChange={(now) => set({ goal: part({ ...goal, within: orNot(now) }) })} />
    <Tick label="reaching the goal ends the walk" checked={goal.ends ?? true} onChange={(now) => set({ goal: part({ ...goal, ends: now ? undefined : false }) })} />
    {(exit.events || []).every((one) => typeof one === "string")
      && <List label="Events that end the walk" value={exit.events} hint="parted by commas" onChange={(now) => set({ exit: now.length ? { ...exit, events: now } : undefined })} />}
    <Json label="Anything else, as JSON" hint="start, end, topic, caps, quiet_hours, transactional …" value={Object.keys(rest).length ? rest : undefined}
      onChange={(now) => put(cleaned({ title, status, labels, control_percent, entry, goal: graph.goal, exit: graph.exit, ...now, nodes }))} />
  </>;
}

export function Panel({ graph, picked, faults, choices, act }) {
  if (picked.nodes.length === 1 && nodeOf(graph, picked.nodes[0])) {
    const id = picked.nodes[0], node = nodeOf(graph, id), Form = FORMS[node.kind];
    return <>
      <h3>{id === "entry" ? "Entry" : KINDS[node.kind]?.title || node.kind}</h3>
      {(faults[id] || []).map((what) => <p key={what} className="jc-what">{what}</p>)}
      {id !== "entry" && <Name id={id} graph={graph} rename={act.rename} />}
      {id !== "entry" && <Text label="Title" value={node.title} placeholder={id} onChange={(now) => act.replace(id, cleaned({ ...node, title: orNot(now) }))} />}
      {Form && <Form key={id} node={node} graph={graph} choices={choices} put={(now, renamed) => act.replace(id, now, renamed)} />}
      <Ways id={id} graph={graph} connect={act.connect} />
      {id !== "entry" && <button type="button" className="jc-danger" onClick={act.remove}>Delete this node</button>}
    </>;
  }
  if (picked.nodes.length > 1) return <>
    <h3>{picked.nodes.length} nodes</h3>
    <p className="jc-hint">Move them together, copy them with Ctrl+C, delete them with Delete.</p>
    <button type="button" className="jc-danger" onClick={act.remove}>Delete them</button>
  </>;
  if (picked.edges.length) {
    const [source, port] = picked.edges[0].split(":");
    return <>
      <h3>Connection</h3>
      <p className="jc-hint">From {source}, way {port}. Drag either end elsewhere, or delete it.</p>
      <button type="button" className="jc-danger" onClick={act.remove}>Delete this connection</button>
    </>;
  }
  return <JourneyForm graph={graph} choices={choices} put={act.journey} />;
}
