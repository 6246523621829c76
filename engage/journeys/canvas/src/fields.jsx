// The controls the panel is made of.
import { useEffect, useId, useState } from "react";

export function Field({ label, hint, children }) {
  return <label className="jc-field"><span>{label}</span>{children}{hint && <small>{hint}</small>}</label>;
}

export function Text({ label, value, onChange, hint, options, long, type = "text", placeholder }) {
  const list = useId();
  const shared = { value: value ?? "", placeholder, "aria-label": label, onChange: (event) => onChange(event.target.value) };
  return <Field label={label} hint={hint}>
    {long ? <textarea rows={4} {...shared} /> : <input type={type} list={options ? list : undefined} {...shared} />}
    {options && <datalist id={list}>{options.map((one) => <option key={one} value={one} />)}</datalist>}
  </Field>;
}

export function Choice({ label, value, options, onChange, hint }) {
  return <Field label={label} hint={hint}>
    <select aria-label={label} value={value} onChange={(event) => onChange(event.target.value)}>
      {options.map(([key, words]) => <option key={key} value={key}>{words}</option>)}
    </select>
  </Field>;
}

export function Tick({ label, checked, onChange }) {
  return <label className="jc-tick"><input type="checkbox" checked={!!checked} onChange={(event) => onChange(event.target.checked)} /> {label}</label>;
}

/** A value as it is typed: text stays text, unless it reads as a number, true or false; quotes keep it text. */
export const shown = (value) => {
  if (typeof value !== "string") return value === undefined ? "" : JSON.stringify(value);
  try { JSON.parse(value); return JSON.stringify(value); } catch { return value; }
};
export const meant = (text) => {
  try { const value = JSON.parse(text); return value === null ? text : value; } catch { return text; }
};

/** Text that keeps what is typed while it does not yet make sense. */
export function Draft({ label, value, read, write, onChange, long, hint, placeholder }) {
  const told = write(value);
  const [text, setText] = useState(told), [wrong, setWrong] = useState("");
  const [last, setLast] = useState(JSON.stringify(value));
  useEffect(() => {
    if (JSON.stringify(value) !== last) { setText(told); setWrong(""); setLast(JSON.stringify(value)); }
  });
  const typed = (event) => {
    setText(event.target.value);
    try {
      const next = read(event.target.value);
      setWrong(""); setLast(JSON.stringify(next)); onChange(next);
    } catch (error) { setWrong(error.message); }
  };
  return <Field label={label} hint={wrong || hint}>
    {long ? <textarea rows={6} spellCheck={false} className="jc-code" aria-label={label} aria-invalid={!!wrong} value={text} onChange={typed} />
      : <input aria-label={label} placeholder={placeholder} aria-invalid={!!wrong} value={text} onChange={typed} />}
  </Field>;
}

const parsed = (text) => (text.trim() ? JSON.parse(text) : undefined);
export const Json = (given) => <Draft long read={parsed} write={(value) => (value === undefined ? "" : JSON.stringify(value, null, 1))} {...given} />;
export const Value = (given) => <Draft read={meant} write={shown} {...given} />;

/** Names in a row, parted by commas. */
export const List = (given) => <Draft read={(text) => text.split(",").map((one) => one.trim()).filter(Boolean)}
  write={(value) => (value || []).join(", ")} {...given} />;

/** Rows of something, one added, changed or taken out at a time; what has no name yet stays here. */
export function Rows({ label, value, empty, isReady, onChange, children, add = "Add" }) {
  const [rows, setRows] = useState(value);
  const [last, setLast] = useState(JSON.stringify(value));
  useEffect(() => {
    if (JSON.stringify(value) !== last) { setRows(value); setLast(JSON.stringify(value)); }
  });
  const put = (next) => {
    const ready = next.filter(isReady);
    setRows(next); setLast(JSON.stringify(ready)); onChange(ready);
  };
  return <fieldset className="jc-rows"><legend>{label}</legend>
    {rows.map((row, index) => <div className="jc-row" key={index}>
      {children(row, (now) => put(rows.map((one, at) => (at === index ? now : one))), index)}
      <button type="button" aria-label={`remove ${label} ${index + 1}`} title="Remove" onClick={() => put(rows.filter((_, at) => at !== index))}>×</button>
    </div>)}
    <button type="button" onClick={() => put([...rows, structuredClone(empty)])}>{add}</button>
  </fieldset>;
}

const OPERATORS = [["eq", "is"], ["ne", "is not"], ["gt", ">"], ["gte", "≥"], ["lt", "<"], ["lte", "≤"], ["in", "one of"], ["not_in", "none of"],
  ["between", "between"], ["contains", "contains"], ["not_contains", "contains not"], ["starts_with", "starts with"], ["ends_with", "ends with"],
  ["regex", "matches"], ["is_set", "is set"], ["is_not_set", "is not set"]];
const SIGNS = { "=": "eq", "==": "eq", "!=": "ne", "<>": "ne", ">": "gt", ">=": "gte", "<": "lt", "<=": "lte" };
const LISTS = ["in", "not_in", "between"];

function rowOf([name, condition]) {
  if (condition === null) return { name, op: "is_not_set", value: true };
  if (Array.isArray(condition)) return { name, op: "in", value: condition };
  if (typeof condition !== "object") return { name, op: "eq", value: condition };
  if ("op" in condition) return { name, op: SIGNS[condition.op] || condition.op, value: condition.value };
  const parts = Object.entries(condition);
  return parts.length === 1 ? { name, op: SIGNS[parts[0][0]] || parts[0][0], value: parts[0][1] } : { name, op: "", value: condition };
}

/** Conditions on properties, all of which must hold. */
export function Conditions({ label, value, onChange, properties }) {
  const list = useId();
  const save = (rows) => onChange(Object.fromEntries(rows.map(({ name, op, value: wanted }) =>
    [name, op === "" ? wanted : op === "eq" ? wanted ?? "" : { [op]: op.startsWith("is_") ? true : wanted ?? "" }])));
  return <>
    <Rows label={label} add="Add a condition" value={Object.entries(value || {}).map(rowOf)} empty={{ name: "", op: "eq", value: "" }}
      isReady={(row) => row.name} onChange={save}>
      {(row, put, index) => <>
        <input aria-label={`property ${index + 1}`} placeholder="property" list={list} value={row.name} onChange={(event) => put({ ...row, name: event.target.value })} />
        {row.op !== "" && <select aria-label={`operator ${index + 1}`} value={row.op} onChange={(event) => {
          const op = event.target.value, isList = LISTS.includes(op);
          put({ ...row, op, value: isList && !Array.isArray(row.value) ? [row.value] : !isList && Array.isArray(row.value) ? row.value[0] ?? "" : row.value });
        }}>{OPERATORS.map(([key, words]) => <option key={key} value={key}>{words}</option>)}</select>}
        {row.op === "" ? <Json label={`conditions ${index + 1}`} value={row.value} onChange={(now) => put({ ...row, value: now || {} })} />
          : row.op.startsWith("is_") ? null
          : LISTS.includes(row.op)
          ? <Draft label={`value ${index + 1}`} value={row.value} read={(text) => text.split(",").map((one) => meant(one.trim()))} write={(all) => (all || []).map(shown).join(", ")} onChange={(now) => put({ ...row, value: now })} />
          : <Value label={`value ${index + 1}`} value={row.value} onChange={(now) => put({ ...row, value: now })} />}
      </>}
    </Rows>
    <datalist id={list}>{(properties || []).map((one) => <option key={one} value={one} />)}</datalist>
  </>;
}
