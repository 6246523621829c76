// The journey canvas: an anywidget around React Flow. The graph, as its file has it, is the widget's `graph`.
import { useCallback, useEffect, useMemo, useReducer, useRef, useState } from "react";
import { createRoot } from "react-dom/client";
import { Background, ConnectionLineType, Controls, MarkerType, MiniMap, Panel as Corner, ReactFlow, ReactFlowProvider, useEdgesState, useNodesState, useReactFlow } from "@xyflow/react";
import "@xyflow/react/dist/style.css";
import "./canvas.css";
import * as graphs from "./graph.js";
import { begun, step } from "./history.js";
import { Panel } from "./panel.jsx";
import { Step, Way } from "./step.jsx";

const nodeTypes = { step: Step };
const edgeTypes = { way: Way };
let clip = null; // what was copied, on any canvas of the page

const isDark = () => document.body.classList.contains("dark") || document.body.dataset.theme === "dark" || document.documentElement.classList.contains("dark");

/** Focus a node once it is drawn: it stays hidden until it was measured. */
function focusOn(root, wanted, frames = 600) {
  const id = wanted.current;
  if (!id) return;
  const box = root.current?.querySelector(`.react-flow__node[data-id="${id}"]`);
  if (box && getComputedStyle(box).visibility !== "hidden") box.focus({ preventScroll: true });
  else if (frames) requestAnimationFrame(() => focusOn(root, wanted, frames - 1));
}

function useTheme() {
  const [dark, setDark] = useState(isDark);
  useEffect(() => {
    const seen = new MutationObserver(() => setDark(isDark()));
    for (const one of [document.body, document.documentElement]) seen.observe(one, { attributes: true, attributeFilter: ["class", "data-theme"] });
    return () => seen.disconnect();
  }, []);
  return dark ? "dark" : "light";
}

function useTrait(model, name) {
  const [value, setValue] = useState(() => model.get(name));
  useEffect(() => {
    const changed = () => setValue(model.get(name));
    model.on(`change:${name}`, changed);
    return () => model.off(`change:${name}`, changed);
  }, [model, name]);
  return value;
}

function Flow({ model }) {
  const [state, dispatch] = useReducer(step, null, () => begun(graphs.placed(model.get("graph"))));
  const { graph } = state;
  const faults = useTrait(model, "faults"), figures = useTrait(model, "figures"), choices = useTrait(model, "choices");
  const [overlay, setOverlay] = useState("");
  const [nodes, setNodes, onNodesChange] = useNodesState([]);
  const [edges, setEdges, onEdgesChange] = useEdgesState([]);
  const [help, setHelp] = useState(false);
  const root = useRef(null), pane = useRef(null), side = useRef(null);
  const sent = useRef(JSON.stringify(model.get("graph"))), picks = useRef(null), wanted = useRef(null), leave = useRef(null);
  const flow = useReactFlow(), theme = useTheme();

  /** All of it where that can be read, else its beginning. */
  const settle = useCallback((duration) => {
    const { width, height } = pane.current?.getBoundingClientRect() || {}, box = flow.getNodesBounds(flow.getNodes());
    if (!width || !box.width) return;
    const zoom = Math.min(1, Math.max(0.7, Math.min(width / box.width, height / box.height) * 0.92));
    const fits = box.height * zoom <= height;
    flow.setViewport({ zoom, x: (width - box.width * zoom) / 2 - box.x * zoom, y: (fits ? (height - box.height * zoom) / 2 : 24) - box.y * zoom }, { duration });
  }, [flow]);
  useEffect(() => {
    let before = pane.current.clientWidth;
    const seen = new ResizeObserver(() => {
      const width = pane.current?.clientWidth;
      if (width && width !== before) { before = width; settle(0); }
    });
    seen.observe(pane.current);
    return () => seen.disconnect();
  }, [settle]);

  /** Change the graph; with `ids`, these nodes are picked once it is drawn. */
  const change = useCallback((make, tag, ids) => dispatch({ kind: "change", make: (before) => make(graphs.placed(before)), tag, pick: ids && { ids } }), []);
  const names = Object.keys(figures || {});
  const shown = names.includes(overlay) ? overlay : overlay === "none" ? "" : names.at(-1) || "";
  const told = shown ? figures[shown] : null;

  // The graph leaves for Python once it rests, or when the canvas is left; where nothing was changed it is not sent at all.
  useEffect(() => {
    if (!state.past.length && !state.future.length) return undefined;
    leave.current = () => {
      const text = JSON.stringify(graph);
      if (text !== sent.current) { sent.current = text; model.set("graph", graph); model.save_changes(); }
    };
    const timer = setTimeout(leave.current, 150);
    return () => clearTimeout(timer);
  }, [graph, model, state]);
  useEffect(() => () => leave.current?.(), []);
  useEffect(() => {
    const changed = () => {
      const text = JSON.stringify(model.get("graph"));
      if (text !== sent.current) { sent.current = text; dispatch({ kind: "begin", graph: graphs.placed(model.get("graph")) }); }
    };
    model.on("change:graph", changed);
    return () => model.off("change:graph", changed);
  }, [model]);

  useEffect(() => {
    const pick = state.pick === picks.current ? null : state.pick?.ids;
    picks.current = state.pick;
    setNodes((before) => {
      const old = Object.fromEntries(before.map((node) => [node.id, node]));
      return ["entry", ...Object.keys(graph.nodes)].map((id) => {
        const node = graphs.nodeOf(graph, id), [x, y] = node.position || [0, 0];
        return { ...old[id], id, type: "step", position: { x, y }, deletable: id !== "entry", ariaLabel: `${node.kind} ${node.title || id}`,
          selected: pick ? pick.includes(id) : !!old[id]?.selected,
          data: { node, faults: faults?.[id] || [], told: told?.nodes?.[id] } };
      });
    });
    setEdges((before) => {
      const old = Object.fromEntries(before.map((edge) => [edge.id, edge]));
      return graphs.edgesOf(graph).map(([source, port, target]) => {
        const id = `${source}:${port}`, walks = told?.edges?.[`${source}:${port}:${target}`], left = told?.nodes?.[source];
        const from = left && left.entered - (left.waiting || 0);
        return { ...old[id], id, type: "way", source, sourceHandle: port, target, selected: pick ? false : !!old[id]?.selected, ariaLabel: `from ${source} by ${port} to ${target}`,
          markerEnd: { type: MarkerType.ArrowClosed }, data: { port, walks: told ? walks || 0 : undefined, share: from && graphs.ports(graphs.nodeOf(graph, source)).length > 1 ? (walks || 0) / from : undefined } };
      });
    });
    if (pick?.length === 1) { wanted.current = pick[0]; focusOn(root, wanted); }
  }, [graph, faults, told, state.pick, setNodes, setEdges]);

  const picked = useMemo(() => ({ nodes: nodes.filter((one) => one.selected).map((one) => one.id), edges: edges.filter((one) => one.selected).map((one) => one.id) }), [nodes, edges]);

  const add = (kind) => {
    const box = pane.current.getBoundingClientRect(), middle = flow.screenToFlowPosition({ x: box.left + box.width * 0.4, y: box.top + box.height * 0.5 });
    const after = picked.nodes.length === 1 ? picked.nodes[0] : null;
    const [made, id] = graphs.added(graphs.placed(graph), kind, after, [Math.round(middle.x / 10) * 10, Math.round(middle.y / 10) * 10]);
    change(() => made, null, [id]);
    const place = made.nodes[id].position, corner = flow.flowToScreenPosition({ x: place[0], y: place[1] }), zoom = flow.getZoom();
    if (corner.x < box.left || corner.y < box.top || corner.x + graphs.WIDTH * zoom > box.right || corner.y + graphs.HEIGHT * zoom > box.bottom)
      flow.setCenter(place[0] + graphs.WIDTH / 2, place[1] + graphs.HEIGHT / 2, { zoom, duration: 200 });
  };
  const remove = () => {
    if (picked.nodes.some((id) => id !== "entry")) change((before) => graphs.removed(before, picked.nodes), null, []);
    else if (picked.edges.length) change((before) => picked.edges.reduce((now, id) => graphs.connected(now, ...id.split(":"), undefined), before));
    wanted.current = null;
    root.current?.focus({ preventScroll: true });
  };
  const copy = () => { if (picked.nodes.some((id) => id !== "entry")) clip = graphs.copied(graph, picked.nodes); };
  const paste = () => {
    if (!clip) return;
    const [made, ids] = graphs.pasted(graphs.placed(graph), clip);
    change(() => made, null, ids);
  };
  const undo = () => dispatch({ kind: "undo" });
  const redo = () => dispatch({ kind: "redo" });
  const arrange = () => {
    change((before) => graphs.moved(before, graphs.arranged(before)));
    setTimeout(() => settle(200), 50);
  };
  const act = {
    replace: (id, values, renamed) => change((before) => graphs.replaced(before, id, values, renamed), `node ${id}`),
    rename: (old, now) => change((before) => graphs.named(before, old, now), null, [now]),
    connect: (source, port, target) => change((before) => graphs.connected(before, source, port, target)),
    journey: (values) => change(() => values, "journey"),
    remove,
  };

  const moved = useCallback((changes) => {
    onNodesChange(changes.filter((one) => one.type !== "remove"));
    const places = changes.filter((one) => one.type === "position" && one.position && !one.dragging);
    if (places.length) change((before) => graphs.moved(before, Object.fromEntries(places.map(({ id, position }) => [id, [Math.round(position.x), Math.round(position.y)]]))),
      `move ${places.map(({ id }) => id).join()}`);
  }, [onNodesChange, change]);

  const keys = (event) => {
    const typed = event.nativeEvent.composedPath()[0].tagName, control = event.ctrlKey || event.metaKey, key = event.key.toLowerCase();
    if (["TEXTAREA", "INPUT", "SELECT"].includes(typed)) {
      if (event.key === "Escape" && picked.nodes.length === 1) root.current.querySelector(`.react-flow__node[data-id="${picked.nodes[0]}"]`)?.focus();
      return;
    }
    if (control && key === "z" && !event.shiftKey) undo();
    else if (control && (key === "y" || (key === "z" && event.shiftKey))) redo();
    else if (control && key === "c") copy();
    else if (control && key === "v") paste();
    else if (control && key === "a") setNodes((before) => before.map((node) => ({ ...node, selected: true })));
    else if (control || event.altKey || typed === "BUTTON") return;
    else if (event.key === "Delete" || event.key === "Backspace") remove();
    else if (event.key === "+") flow.zoomIn({ duration: 100 });
    else if (event.key === "-") flow.zoomOut({ duration: 100 });
    else if (event.key === "0") flow.fitView({ duration: 200, maxZoom: 1 });
    else if (key === "l") arrange();
    else if (event.key === "?") setHelp(!help);
    else if (key === "i" && picked.nodes.length === 1) side.current.querySelector("input, select, textarea")?.focus();
    else {
      const kind = Object.entries(graphs.KINDS).find(([, one]) => one.key === key);
      if (!kind) return;
      add(kind[0]);
    }
    event.preventDefault();
    event.stopPropagation();
  };

  return <div className={`jc ${theme}`} ref={root} tabIndex={-1} onKeyDown={keys} onBlur={({ currentTarget, relatedTarget }) => !currentTarget.contains(relatedTarget) && leave.current?.()}>
    <div className="jc-bar" role="toolbar" aria-label="Journey">
      {Object.entries(graphs.KINDS).map(([kind, { title, key }]) => <button key={kind} type="button" className={`jc-add jc-${kind}`} aria-label={`add ${kind}`} title={`Add: ${title} (${key})`} onClick={() => add(kind)}>{title}</button>)}
      <span className="jc-gap" />
      <button type="button" onClick={undo} disabled={!state.past.length} title="Ctrl+Z">Undo</button>
      <button type="button" onClick={redo} disabled={!state.future.length} title="Ctrl+Y">Redo</button>
      <button type="button" onClick={copy} disabled={!picked.nodes.some((id) => id !== "entry")} title="Ctrl+C">Copy</button>
      <button type="button" onClick={paste} title="Ctrl+V">Paste</button>
      <button type="button" onClick={remove} disabled={!picked.nodes.some((id) => id !== "entry") && !picked.edges.length} title="Delete">Delete</button>
      <button type="button" onClick={arrange} title="Arrange in layers (l)">Arrange</button>
      {names.length > 0 && <select aria-label="Figures shown" value={shown || "none"} onChange={(event) => setOverlay(event.target.value)}>
        <option value="none">no figures</option>{names.map((one) => <option key={one}>{one}</option>)}
      </select>}
      <button type="button" aria-expanded={help} onClick={() => setHelp(!help)} title="Keys (?)">?</button>
    </div>
    <div className="jc-body">
      <div className="jc-pane" ref={pane}>
        <ReactFlow nodes={nodes} edges={edges} nodeTypes={nodeTypes} edgeTypes={edgeTypes} colorMode={theme} onNodesChange={moved}
          onEdgesChange={(changes) => onEdgesChange(changes.filter((one) => one.type !== "remove"))}
          onConnect={({ source, sourceHandle, target }) => act.connect(source, sourceHandle, target)}
          onReconnect={(old, { source, sourceHandle, target }) => change((before) =>
            graphs.connected(old.source === source && old.sourceHandle === sourceHandle ? before : graphs.connected(before, old.source, old.sourceHandle, undefined), source, sourceHandle, target))}
          isValidConnection={({ source, target }) => source !== target && target !== "entry"} deleteKeyCode={null} selectionKeyCode="Shift" multiSelectionKeyCode="Shift"
          connectionLineType={ConnectionLineType.Bezier} connectionRadius={40} snapToGrid snapGrid={[10, 10]} minZoom={0.2} maxZoom={2} zoomOnScroll={false} panOnScroll={false} preventScrolling={false}
          onInit={() => setTimeout(() => settle(0), 50)}>
          <Background gap={20} />
          <MiniMap pannable zoomable ariaLabel="Overview" nodeColor={({ data }) => (data.faults.length ? "#c0392b" : theme === "dark" ? "#5b6672" : "#b8c1cb")} />
          <Controls showInteractive={false} fitViewOptions={{ maxZoom: 1, padding: 0.1 }} />
          {help && <Corner position="top-left"><dl className="jc-help">
            <dt>Tab, Enter</dt><dd>go from node to node, pick one</dd>
            <dt>{Object.values(graphs.KINDS).map((one) => one.key).join(" ")}</dt><dd>add a {Object.values(graphs.KINDS).map((one) => one.title.toLowerCase()).join(", ")} after what is picked</dd>
            <dt>i, Esc</dt><dd>into the fields, and back</dd><dt>arrows</dt><dd>move what is picked; with Shift farther</dd>
            <dt>Shift+click, Shift+drag</dt><dd>pick several</dd><dt>Delete</dt><dd>delete what is picked</dd>
            <dt>Ctrl+Z, Y, C, V, A</dt><dd>undo, redo, copy, paste, pick all</dd><dt>+ − 0 l</dt><dd>zoom in, out, see all, arrange</dd>
          </dl></Corner>}
        </ReactFlow>
      </div>
      <div className="jc-side" ref={side} role="form" aria-label="Details"><Panel graph={graph} picked={picked} faults={faults || {}} choices={choices} act={act} /></div>
    </div>
  </div>;
}

export default {
  render({ model, el }) {
    const host = document.createElement("div");
    el.append(host);
    const root = createRoot(host);
    root.render(<ReactFlowProvider><Flow model={model} /></ReactFlowProvider>);
    return () => root.unmount();
  },
};
