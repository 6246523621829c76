// A journey's graph as its file has it, and what can be done to it: functions from one graph to the next.
import dagre from "@dagrejs/dagre";

export const WIDTH = 220;
export const HEIGHT = 76;

/** What each kind is called, the key that adds it, and what a new one says. */
export const KINDS = {
  message: { title: "Message", key: "m", fresh: { channel: "email", content: {} } },
  wait: { title: "Wait", key: "w", fresh: { for: "1 day" } },
  branch: { title: "Branch", key: "b", fresh: { cases: [{ port: "yes", event: "" }] } },
  split: { title: "Split", key: "s", fresh: { weights: { a: 1, b: 1 } } },
  channel: { title: "Best channel", key: "c", fresh: { channels: ["push", "email"] } },
  update: { title: "Update profile", key: "u", fresh: { set: {} } },
  webhook: { title: "Webhook", key: "h", fresh: { content: {} } },
  join: { title: "Join", key: "j", fresh: {} },
  exit: { title: "Exit", key: "x", fresh: {} },
};

export const nodeOf = (graph, id) => (id === "entry" ? { kind: "entry", ...graph.entry } : graph.nodes[id]);

/** Every way out of a node, in order. */
export function ports(node) {
  switch (node.kind) {
    case "exit": return [];
    case "wait": return node.event === undefined ? ["next"] : ["next", "timeout"];
    case "branch": return [...(node.cases || []).map((one) => one.port), "else"];
    case "split": return Object.keys(node.weights || {});
    case "channel": return [...(node.channels || []), "none"];
    default: return ["next"];
  }
}

/** Where each way out leads: a name by port. */
export const ways = (node) => (typeof node.to === "string" ? { next: node.to } : { ...(node.to || {}) });

/** A node with these ways out, written as short as the file allows; ways it does not have are left out. */
function led(node, to) {
  const known = ports(node), { to: _, position, ...rest } = node;
  const kept = Object.fromEntries(known.filter((port) => to[port]).map((port) => [port, to[port]]));
  const short = known.length === 1 && known[0] === "next" ? kept.next : kept;
  const leads = short && (typeof short === "string" || Object.keys(short).length) ? { to: short } : {};
  return { ...rest, ...leads, ...(position ? { position } : {}) };
}

/** Put something else in a node's place; its ways out are kept where it still has them, `renamed` tells old by new. */
export function replaced(graph, id, values, renamed = {}) {
  if (id === "entry") {
    const { kind, ...entry } = values;
    return { ...graph, entry };
  }
  const before = ways(values), to = {};
  for (const port of ports(values)) to[port] = before[renamed[port] ?? port];
  return { ...graph, nodes: { ...graph.nodes, [id]: led(values, to) } };
}

export function connected(graph, source, port, target) {
  if (target === "entry" || (target && !graph.nodes[target])) return graph;
  if (source === "entry") return { ...graph, entry: { ...graph.entry, to: target || "" } };
  const node = graph.nodes[source];
  return { ...graph, nodes: { ...graph.nodes, [source]: led(node, { ...ways(node), [port]: target }) } };
}

export function removed(graph, ids) {
  const gone = new Set(ids.filter((id) => id !== "entry"));
  const nodes = {};
  for (const [id, node] of Object.entries(graph.nodes)) {
    if (gone.has(id)) continue;
    const to = Object.fromEntries(Object.entries(ways(node)).filter(([, other]) => !gone.has(other)));
    nodes[id] = led(node, to);
  }
  return { ...graph, entry: gone.has(graph.entry.to) ? { ...graph.entry, to: "" } : graph.entry, nodes };
}

export function named(graph, old, now) {
  const nodes = {};
  for (const [id, node] of Object.entries(graph.nodes)) {
    const to = Object.fromEntries(Object.entries(ways(node)).map(([port, other]) => [port, other === old ? now : other]));
    const cases = node.cases?.map((one) => (one.message === old ? { ...one, message: now } : one));
    nodes[id === old ? now : id] = led(cases ? { ...node, cases } : node, to);
  }
  return { ...graph, entry: graph.entry.to === old ? { ...graph.entry, to: now } : graph.entry, nodes };
}

function freshName(graph, stem) {
  let number = 1;
  while (graph.nodes[`${stem}${number}`]) number += 1;
  return `${stem}${number}`;
}

const isTaken = (graph, [x, y]) =>
  [graph.entry, ...Object.values(graph.nodes)].some(
    ({ position: at }) => at && Math.abs(at[0] - x) < WIDTH + 10 && Math.abs(at[1] - y) < HEIGHT + 10,
  );

/** Add a node: after another by its first way that leads nowhere, or into its only way; or at a place of its own. */
export function added(graph, kind, after, place) {
  const id = freshName(graph, kind), parent = after && nodeOf(graph, after);
  const fresh = { kind, ...structuredClone(KINDS[kind].fresh) }, onward = ports(fresh)[0];
  const only = parent && (after === "entry" ? graph.entry.to : ports(parent).length === 1 && ways(parent)[ports(parent)[0]]);
  if (parent?.position && graph.nodes[only] && onward) {
    // All that is below makes room.
    const y = parent.position[1] + 150, below = Object.entries(graph.nodes).filter(([, { position: at }]) => at && at[1] >= y - HEIGHT);
    let next = moved(graph, Object.fromEntries(below.map(([name, { position: at }]) => [name, [at[0], at[1] + 150]])));
    next = { ...next, nodes: { ...next.nodes, [id]: { ...fresh, position: [parent.position[0], y] } } };
    next = connected(next, after, after === "entry" ? "next" : ports(parent)[0], id);
    return [connected(next, id, onward, only), id];
  }
  let position = parent?.position ? [parent.position[0], parent.position[1] + 150] : place;
  while (isTaken(graph, position)) position = [position[0] + WIDTH + 30, position[1]];
  let next = { ...graph, nodes: { ...graph.nodes, [id]: { ...fresh, position } } };
  if (parent) {
    const to = after === "entry" ? { next: graph.entry.to } : ways(parent);
    const free = (after === "entry" ? ["next"] : ports(parent)).find((port) => !graph.nodes[to[port]]);
    if (free) next = connected(next, after, free, id);
  }
  return [next, id];
}

/** Some nodes as they can be put in again elsewhere. */
export const copied = (graph, ids) =>
  Object.fromEntries(ids.filter((id) => id !== "entry").map((id) => [id, structuredClone(graph.nodes[id])]));

/** Put copies in, connected among themselves as they were. */
export function pasted(graph, clip) {
  const names = {};
  let next = graph;
  for (const [id, node] of Object.entries(clip)) {
    names[id] = freshName(next, id.replace(/\d+$/, "") || "node");
    let position = [(node.position?.[0] ?? 0) + 30, (node.position?.[1] ?? 0) + 30];
    while (isTaken(next, position)) position = [position[0] + WIDTH + 30, position[1]];
    next = { ...next, nodes: { ...next.nodes, [names[id]]: { ...structuredClone(node), position } } };
  }
  for (const [id, node] of Object.entries(clip)) {
    const to = Object.fromEntries(Object.entries(ways(node)).map(([port, other]) => [port, names[other]]));
    next = { ...next, nodes: { ...next.nodes, [names[id]]: led(next.nodes[names[id]], to) } };
  }
  return [next, Object.values(names)];
}

export function moved(graph, places) {
  const nodes = { ...graph.nodes };
  let entry = graph.entry;
  for (const [id, position] of Object.entries(places))
    if (id === "entry") entry = { ...entry, position };
    else if (nodes[id]) nodes[id] = { ...nodes[id], position };
  return { ...graph, entry, nodes };
}

/** Every connection: source, port, target. */
export const edgesOf = (graph) =>
  [["entry", "next", graph.entry.to], ...Object.entries(graph.nodes).flatMap(([id, node]) =>
    ports(node).map((port) => [id, port, ways(node)[port]]))].filter(([, , target]) => graph.nodes[target]);

/** Places in layers from the top, by dagre. */
export function arranged(graph) {
  const layout = new dagre.graphlib.Graph({ multigraph: true });
  layout.setGraph({ rankdir: "TB", nodesep: 60, edgesep: 160, ranksep: 70 });
  layout.setDefaultEdgeLabel(() => ({}));
  for (const id of ["entry", ...Object.keys(graph.nodes)]) layout.setNode(id, { width: WIDTH, height: HEIGHT });
  for (const [source, port, target] of edgesOf(graph)) layout.setEdge(source, target, {}, port);
  dagre.layout(layout);
  return Object.fromEntries(layout.nodes().map((id) => {
    const { x, y } = layout.node(id);
    return [id, [Math.round((x - WIDTH / 2) / 10) * 10, Math.round((y - HEIGHT / 2) / 10) * 10]];
  }));
}

/** The graph with a place for every node. */
export function placed(graph) {
  const all = [["entry", graph.entry], ...Object.entries(graph.nodes)];
  if (all.every(([, node]) => node.position)) return graph;
  const places = arranged(graph);
  const isDrawn = all.some(([id, node]) => id !== "entry" && node.position);
  return moved(graph, Object.fromEntries(all.filter(([, node]) => !isDrawn || !node.position).map(([id]) => [id, places[id]])));
}

const eventOf = (selector) => (typeof selector === "object" && selector ? selector.event : selector) || "any event";

/** What a node does, in a few words. */
export function about(node) {
  switch (node.kind) {
    case "entry":
      if (node.segment !== undefined) return `segment ${node.segment}${node.cron ? `, ${node.cron}` : ", at launch"}`;
      return node.property !== undefined ? `on their ${node.property}${node.yearly ? ", each year" : ""}` : `on ${eventOf(node.event)}`;
    case "message": return [node.channel?.replaceAll("_", " "), node.content?.subject || node.content?.title || node.content?.body].filter(Boolean).join(" · ");
    case "webhook": return node.content?.url || "to the channel's address";
    case "wait":
      if (node.event !== undefined) return `for ${eventOf(node.event)}, at most ${node.timeout}`;
      return node.for !== undefined ? node.for : `until ${node.until}${node.weekdays?.length ? `, ${node.weekdays.map((day) => day.slice(0, 3)).join(" ")}` : ""}`;
    case "branch":
      return (node.cases || []).map((one) => (one.message ? `${one.message} ${one.did || "clicked"}`
        : one.segment ? `in ${one.segment}` : one.event !== undefined ? eventOf(one.event) : Object.keys(one.where || {}).join(", "))).join(" · ");
    case "split": {
      const total = Object.values(node.weights || {}).reduce((sum, weight) => sum + weight, 0) || 1;
      return Object.entries(node.weights || {}).map(([port, weight]) => `${port} ${Math.round((100 * weight) / total)} %`).join(" · ");
    }
    case "channel": return (node.channels || []).join(", ").replaceAll("_", " ");
    case "update": return Object.keys(node.set || {}).join(", ");
    default: return "";
  }
}
