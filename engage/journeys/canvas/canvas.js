// The journey canvas: plain DOM and SVG, no dependency, so that nothing is built and nothing is fetched.
const KINDS = ["message", "wait", "branch", "split", "channel", "update", "webhook", "join", "exit"];
const FRESH = {
  message: { channel: "email", content: { subject: "", text: "" } },
  webhook: { content: {} },
  wait: { for: "1 day" },
  branch: { cases: [{ port: "yes", event: "Charged" }] },
  split: { weights: { a: 1, b: 1 } },
  channel: { channels: ["push", "email"] },
  update: { set: {} },
  join: {},
  exit: {},
};
const W = 190, H = 64;

function ports(node) {
  switch (node.kind) {
    case "exit": return [];
    case "wait": return node.event ? ["next", "timeout"] : ["next"];
    case "branch": return [...(node.cases || []).map((c) => c.port), "else"];
    case "split": return Object.keys(node.weights || {});
    case "channel": return [...(node.channels || []), "none"];
    default: return ["next"];
  }
}
const ways = (node) => (typeof node.to === "string" ? { next: node.to } : { ...(node.to || {}) });

function about(node) {
  if (node.kind === "message") return node.channel;
  if (node.kind === "wait") return node.event ? `${node.event.event || node.event}, at most ${node.timeout}` : node.for || `until ${node.until}`;
  if (node.kind === "branch") return (node.cases || []).map((c) => c.event || c.segment || c.message || Object.keys(c.where || {})[0]).join(", ");
  return "";
}

function layout(graph) {
  // A node stands below all that lead to it; a way back up (a loop) does not count.
  const depth = {}, rows = {};
  const visit = (name, d, above) => {
    if (above.has(name) || depth[name] >= d) return;
    depth[name] = d;
    const to = name === "entry" ? [graph.entry.to] : Object.values(ways(graph.nodes[name]));
    for (const other of to) if (graph.nodes[other]) visit(other, d + 1, new Set([...above, name]));
  };
  visit("entry", 0, new Set());
  let last = Math.max(0, ...Object.values(depth));
  for (const name of Object.keys(graph.nodes)) if (!(name in depth)) depth[name] = last + 1;
  for (const [name, d] of Object.entries(depth)) (rows[d] ||= []).push(name);
  const widest = Math.max(...Object.values(rows).map((r) => r.length));
  const at = {};
  for (const [d, names] of Object.entries(rows))
    names.forEach((name, i) => (at[name] = [40 + (i + (widest - names.length) / 2) * 230, 30 + d * 120]));
  return at;
}

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "journey";
  root.tabIndex = 0;
  root.innerHTML = `<div class="bar" role="toolbar" aria-label="Journey"></div><div class="body">
    <div class="pane"><div class="space"><svg></svg></div></div>
    <div class="side"><div class="hint">Pick a node to change it. Drag from a dot to another node to connect them.</div></div></div>`;
  el.append(root);
  const bar = root.querySelector(".bar"), space = root.querySelector(".space"), pane = root.querySelector(".pane");
  const svg = root.querySelector("svg"), side = root.querySelector(".side");
  let graph = structuredClone(model.get("graph")), picked = null, copied = null, zoom = 1;
  let past = [], future = [];

  const place = () => {
    const missing = Object.values(graph.nodes).some((n) => !n.position);
    const at = layout(graph);
    if (!graph.entry.position) graph.entry.position = at.entry;
    if (missing) for (const [name, node] of Object.entries(graph.nodes)) node.position ||= at[name];
  };
  const save = () => { model.set("graph", structuredClone(graph)); model.save_changes(); };
  const change = (act) => { past.push(JSON.stringify(graph)); future = []; act(); draw(); save(); };
  const step = (from, to) => {
    if (!from.length) return;
    to.push(JSON.stringify(graph)); graph = JSON.parse(from.pop());
    if (picked && picked !== "entry" && !graph.nodes[picked]) picked = null;
    draw(); save();
  };
  const fresh = (kind) => { let n = 1; while (graph.nodes[`${kind}${n}`]) n++; return `${kind}${n}`; };
  const add = (kind, values) => change(() => {
    const name = fresh(kind), near = picked && (picked === "entry" ? graph.entry : graph.nodes[picked]);
    const position = near ? [near.position[0], near.position[1] + 120] : [(pane.scrollLeft + 40) / zoom, (pane.scrollTop + 40) / zoom];
    while ([graph.entry, ...Object.values(graph.nodes)].some((n) => Math.abs(n.position[0] - position[0]) < W && Math.abs(n.position[1] - position[1]) < H)) position[0] += 230;
    graph.nodes[name] = { kind, ...structuredClone(values || FRESH[kind]), position };
    // What is added while a node is picked follows it, by its first way that leads nowhere.
    if (picked === "entry") { if (!graph.nodes[graph.entry.to]) graph.entry.to = name; }
    else if (picked) connectFree(picked, name);
    picked = name;
  });
  const connectFree = (from, to) => {
    const node = graph.nodes[from], free = ports(node).find((p) => !graph.nodes[ways(node)[p]]);
    if (free) connect(from, free, to);
  };
  const connect = (from, port, to) => {
    if (from === "entry") { graph.entry.to = to; return; }
    const node = graph.nodes[from], all = { ...ways(node), [port]: to };
    node.to = ports(node).length === 1 && port === "next" ? to : all;
  };
  const remove = (name) => change(() => {
    delete graph.nodes[name];
    for (const node of Object.values(graph.nodes)) {
      const kept = Object.fromEntries(Object.entries(ways(node)).filter(([, to]) => to !== name));
      if (Object.keys(kept).length) node.to = ports(node).length === 1 ? kept.next : kept; else delete node.to;
    }
    picked = null;
  });

  function draw() {
    place();
    space.querySelectorAll(".node").forEach((n) => n.remove());
    svg.innerHTML = "";
    const counts = model.get("counts") || {}, faults = model.get("faults") || {};
    const all = { entry: { kind: "entry", ...graph.entry }, ...graph.nodes };
    let right = 0, bottom = 0;
    for (const [name, node] of Object.entries(all)) {
      const [x, y] = node.position, box = document.createElement("div");
      right = Math.max(right, x + W + 80); bottom = Math.max(bottom, y + H + 120);
      box.className = `node ${node.kind}${picked === name ? " picked" : ""}${faults[name] ? " fault" : ""}`;
      box.style.cssText = `left:${x}px;top:${y}px;width:${W}px;min-height:${H}px`;
      box.dataset.node = name; box.tabIndex = 0; box.setAttribute("role", "button");
      box.setAttribute("aria-label", `${node.kind} ${name}`);
      const head = document.createElement("b"), text = document.createElement("span");
      head.textContent = node.title || name; text.textContent = name === "entry" ? node.event?.event || node.event || node.segment || node.property : about(node);
      box.append(head, text);
      if (counts[name] !== undefined) { const c = document.createElement("i"); c.textContent = counts[name].toLocaleString("en"); box.append(c); }
      if (faults[name]) { box.title = faults[name]; const f = document.createElement("em"); f.textContent = faults[name]; box.append(f); }
      const names = name === "entry" ? ["next"] : ports(node);
      names.forEach((port, i) => {
        const dot = document.createElement("u");
        dot.dataset.port = port; dot.title = port;
        dot.style.left = `${((i + 1) / (names.length + 1)) * 100}%`;
        dot.onpointerdown = (e) => { e.stopPropagation(); e.preventDefault(); draft(e, name, port); };
        box.append(dot);
      });
      box.onpointerdown = (e) => drag(e, name, box);
      box.onfocus = () => { if (picked !== name) { picked = name; mark(); panel(); } };
      space.append(box);
    }
    space.style.cssText = `width:${right}px;height:${bottom}px;transform:scale(${zoom});transform-origin:0 0`;
    svg.setAttribute("width", right); svg.setAttribute("height", bottom);
    for (const [name, node] of Object.entries(all)) {
      const names = name === "entry" ? ["next"] : ports(node), to = name === "entry" ? { next: node.to } : ways(node);
      names.forEach((port, i) => all[to[port]] && line(start(node, i, names.length), [all[to[port]].position[0] + W / 2, all[to[port]].position[1]], port));
    }
    panel();
  }
  const start = (node, i, n) => {
    const box = [...space.querySelectorAll(".node")].find((b) => b.style.left === `${node.position[0]}px` && b.style.top === `${node.position[1]}px`);
    return [node.position[0] + ((i + 1) / (n + 1)) * W, node.position[1] + (box?.offsetHeight || H)];
  };
  function line([x1, y1], [x2, y2], port, id) {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    const bend = Math.max(30, Math.abs(y2 - y1) / 2);
    path.setAttribute("d", `M${x1} ${y1} C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}`);
    if (id) path.id = id;
    svg.append(path);
    if (port && port !== "next") {
      const text = document.createElementNS("http://www.w3.org/2000/svg", "text");
      text.setAttribute("x", x1 + 4); text.setAttribute("y", y1 + 15); text.textContent = port;
      svg.append(text);
    }
    return path;
  }
  const mark = () => space.querySelectorAll(".node").forEach((b) => b.classList.toggle("picked", b.dataset.node === picked));
  const point = (e) => { const r = space.getBoundingClientRect(); return [(e.clientX - r.left) / zoom, (e.clientY - r.top) / zoom]; };
  function drag(e, name, box) {
    picked = name; mark(); panel();
    const node = name === "entry" ? graph.entry : graph.nodes[name], from = point(e), [x, y] = node.position;
    let to = null;
    const move = (m) => { const p = point(m); to = [Math.max(0, Math.round((x + p[0] - from[0]) / 10) * 10), Math.max(0, Math.round((y + p[1] - from[1]) / 10) * 10)]; box.style.left = `${to[0]}px`; box.style.top = `${to[1]}px`; };
    const end = () => { window.removeEventListener("pointermove", move); window.removeEventListener("pointerup", end); if (to && (to[0] !== x || to[1] !== y)) change(() => (node.position = to)); };
    window.addEventListener("pointermove", move); window.addEventListener("pointerup", end);
  }
  function draft(e, name, port) {
    const from = point(e), path = line(from, from, "", "draft");
    const move = (m) => { const p = point(m); path.setAttribute("d", `M${from[0]} ${from[1]} L${p[0]} ${p[1]}`); };
    const end = (m) => {
      window.removeEventListener("pointermove", move); window.removeEventListener("pointerup", end); path.remove();
      const p = point(m), hit = [...space.querySelectorAll(".node")].find((b) => p[0] >= b.offsetLeft && p[0] <= b.offsetLeft + b.offsetWidth && p[1] >= b.offsetTop && p[1] <= b.offsetTop + b.offsetHeight);
      if (hit && hit.dataset.node !== "entry" && hit.dataset.node !== name) change(() => connect(name, port, hit.dataset.node));
    };
    window.addEventListener("pointermove", move); window.addEventListener("pointerup", end);
  }
  function panel() {
    side.innerHTML = "";
    const node = picked === "entry" ? graph.entry : graph.nodes[picked];
    if (!node) { side.innerHTML = `<div class="hint">Pick a node to change it. Drag from a dot to another node to connect them.</div>`; return; }
    const { position, ...told } = node, title = document.createElement("b"), text = document.createElement("textarea"), wrong = document.createElement("em");
    title.textContent = picked; text.value = JSON.stringify(told, null, 2); text.spellcheck = false; text.setAttribute("aria-label", `What ${picked} does`);
    text.onchange = () => {
      let values;
      try { values = JSON.parse(text.value); } catch (error) { wrong.textContent = error.message; return; }
      change(() => { const name = picked; if (name === "entry") graph.entry = { ...values, position }; else graph.nodes[name] = { ...values, position }; });
    };
    side.append(title, text, wrong);
    if (picked !== "entry") {
      const name = document.createElement("input");
      name.value = picked; name.setAttribute("aria-label", "Name");
      name.onchange = () => {
        const old = picked, now = name.value;
        if (!/^[a-z0-9][a-z0-9_]{0,47}$/.test(now) || now === "entry" || graph.nodes[now]) { name.value = old; return; }
        change(() => {
          graph.nodes = Object.fromEntries(Object.entries(graph.nodes).map(([k, v]) => [k === old ? now : k, v]));
          if (graph.entry.to === old) graph.entry.to = now;
          for (const n of Object.values(graph.nodes)) if (typeof n.to === "string") { if (n.to === old) n.to = now; } else for (const p of Object.keys(n.to || {})) if (n.to[p] === old) n.to[p] = now;
          picked = now;
        });
      };
      side.insertBefore(name, text);
    }
  }
  const button = (text, act, label) => { const b = document.createElement("button"); b.textContent = text; b.onclick = act; b.setAttribute("aria-label", label || text); bar.append(b); };
  KINDS.forEach((kind) => button(`+ ${kind}`, () => add(kind), `add ${kind}`));
  const erase = () => picked && picked !== "entry" && remove(picked);
  const zoomed = (by) => { zoom = Math.min(2, Math.max(0.3, zoom * by)); draw(); };
  const tidy = () => change(() => { const at = layout(graph); graph.entry.position = at.entry; for (const [n, v] of Object.entries(graph.nodes)) v.position = at[n]; });
  button("delete", erase); button("undo", () => step(past, future)); button("redo", () => step(future, past));
  button("arrange", tidy); button("−", () => zoomed(1 / 1.2), "zoom out"); button("+", () => zoomed(1.2), "zoom in");
  root.onkeydown = (e) => {
    if (["TEXTAREA", "INPUT"].includes(e.composedPath()[0].tagName)) return;
    const node = picked && (picked === "entry" ? graph.entry : graph.nodes[picked]), by = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, -10], ArrowDown: [0, 10] }[e.key];
    if (e.key === "Delete" || e.key === "Backspace") erase();
    else if ((e.ctrlKey || e.metaKey) && e.key === "z") step(past, future);
    else if ((e.ctrlKey || e.metaKey) && e.key === "y") step(future, past);
    else if ((e.ctrlKey || e.metaKey) && e.key === "c" && picked !== "entry" && node) copied = structuredClone(node);
    else if ((e.ctrlKey || e.metaKey) && e.key === "v" && copied) { const { kind, to, position, ...values } = copied; add(kind, values); }
    else if (by && node) change(() => (node.position = [Math.max(0, node.position[0] + by[0]), Math.max(0, node.position[1] + by[1])]));
    else return;
    e.preventDefault();
    if (picked) space.querySelector(`[data-node="${picked}"]`)?.focus();
  };
  model.on("change:counts", draw); model.on("change:faults", draw);
  model.on("change:graph", () => { const told = model.get("graph"); if (JSON.stringify(told) !== JSON.stringify(graph)) { graph = structuredClone(told); draw(); } });
  draw();
}
export default { render };
