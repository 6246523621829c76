// One node, and one connection, as the canvas shows them.
import { BaseEdge, EdgeLabelRenderer, Handle, Position, getBezierPath } from "@xyflow/react";
import { KINDS, about, ports } from "./graph.js";

const number = (n) => Number(n).toLocaleString("en");

function length(seconds) {
  if (seconds === null || seconds === undefined || seconds < 1) return "";
  const [by, unit] = seconds >= 129600 ? [86400, "d"] : seconds >= 5400 ? [3600, "h"] : seconds >= 90 ? [60, "min"] : [1, "s"];
  return `${+(seconds / by).toFixed(1)} ${unit}`;
}

const points = (share) => `${share < 0 ? "−" : "+"}${Math.abs(100 * share).toFixed(1)}`;
const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

/** People at a node: how many came, what share of all who entered that is, who waits there, for how long, who is lost. */
function Figures({ told }) {
  const parts = [
    told.goal_share !== undefined && told.goal_share !== null ? `goal reached by ${percent(told.goal_share)}` : "",
    told.lift ? `${points(told.lift[0])} points over those held out (${points(told.lift[1])} to ${points(told.lift[2])})` : "",
    told.waiting ? `${number(told.waiting)} here now` : "",
    length(told.median_seconds) && `median ${length(told.median_seconds)}`,
    told.goal ? `${number(told.goal)} reach the goal here` : "",
    told.lost ? `${percent(told.lost / told.entered)} are lost here` : "",
    told.cost ? `costs ${number(told.cost.toFixed(2))}` : "",
  ].filter(Boolean);
  return <div className="jc-figures" data-figures>
    <b>{number(told.entered)}</b>
    {told.share !== undefined && told.share !== null && <i>{(100 * told.share).toFixed(0)} %</i>}
    {parts.length > 0 && <span>{parts.join(" · ")}</span>}
  </div>;
}

export function Step({ id, data }) {
  const { node, faults, told } = data, out = node.kind === "entry" ? ["next"] : ports(node);
  const title = node.title || (id === "entry" ? "Entry" : id);
  return <div className={`jc-node jc-${node.kind}${faults.length ? " jc-fault" : ""}`} title={faults.join("\n") || undefined}>
    {node.kind !== "entry" && <Handle type="target" position={Position.Top} />}
    <div className="jc-kind">{node.kind === "entry" ? "Entry" : KINDS[node.kind]?.title || node.kind}</div>
    <div className="jc-title">{title}</div>
    <div className="jc-about">{about(node)}</div>
    {told && <Figures told={told} />}
    {faults.length > 0 && <div className="jc-what">{faults[0]}{faults.length > 1 ? ` (and ${faults.length - 1} more)` : ""}</div>}
    {out.map((port, index) => <Handle key={port} id={port} type="source" position={Position.Bottom} title={port} aria-label={`way ${port}`}
      style={{ left: `${(100 * (index + 1)) / (out.length + 1)}%` }} />)}
  </div>;
}

export function Way({ id, data, selected, markerEnd, ...at }) {
  const [path, x, y] = getBezierPath(at);
  const words = [data.port === "next" ? "" : data.port,
    data.walks === undefined ? "" : `${number(data.walks)}${data.share === undefined ? "" : ` (${(100 * data.share).toFixed(0)} %)`}`];
  const text = words.filter(Boolean).join(" ");
  return <>
    <BaseEdge id={id} path={path} markerEnd={markerEnd} interactionWidth={24} />
    {text && <EdgeLabelRenderer>
      <div className={`jc-way${selected ? " selected" : ""}`} data-way={id} style={{ transform: `translate(-50%, -50%) translate(${x}px, ${y}px)` }}>{text}</div>
    </EdgeLabelRenderer>}
  </>;
}
