// The outputs of a general model, readable: name, type, shape, and the values; many of them are folded away.

import { make, shown } from "./dom.js";
import { told } from "./tensor_fields.js";

const MOST_OPEN = 64; // values shown at once
const MOST_TEXT = 4096; // values written out at all: a page is no place for more

/** The sizes of nested lists of a known depth, told by their first elements. */
function sizesOf(value, depth) {
  const sizes = [];
  for (let at = value; sizes.length < depth; at = at?.[0]) sizes.push(Array.isArray(at) ? at.length : 0);
  return sizes;
}

function element(value) {
  if (typeof value === "number") return shown(value);
  if (typeof value === "object" && value !== null) return `base64 ${value.b64}`;
  return String(value);
}

/** Nested lists as text, the innermost on a line each. */
function written(value, depth, indent = "") {
  if (depth === 0) return element(value);
  const parts = value.map((each) => written(each, depth - 1, `${indent} `));
  return `[${parts.join(depth > 1 ? `,\n${indent} ` : ", ")}]`;
}

/** The first values of nested lists, in their order. */
const flat = (value, depth) => (depth === 0 ? [value] : value.flat(Math.max(0, depth - 1)));

/** All outputs in a word: the one value, or how many outputs there are. */
export function summary(outputs, prediction) {
  const [only] = outputs;
  if (outputs.length > 1) return `${outputs.length} outputs`;
  const shape = sizesOf(prediction[only.name], (only.shape ?? []).length);
  const values = flat(prediction[only.name], shape.length);
  return values.length === 1 ? element(values[0]) : `${values.length} values`;
}

/** One output with its values. */
export function outputView({ name, dtype, shape = [] }, value) {
  const depth = shape.length;
  const values = flat(value, depth);
  const title = make("h3", {}, make("span", { text: name }), make("span", { class: "kind", text: told({ dtype, shape: sizesOf(value, depth) }) }));
  if (values.length <= MOST_OPEN) {
    return make("div", { class: "output" }, title, make("pre", { tabindex: "0", "aria-label": name, text: written(value, depth) }));
  }
  const numbers = values.every((each) => typeof each === "number");
  const range = numbers ? `, ${shown(values.reduce((a, b) => Math.min(a, b)))} to ${shown(values.reduce((a, b) => Math.max(a, b)))}` : "";
  const text = values.length <= MOST_TEXT
    ? written(value, depth)
    : `${values.slice(0, MOST_TEXT).map(element).join(", ")}, … and ${values.length - MOST_TEXT} more`;
  return make(
    "div",
    { class: "output" },
    title,
    make("details", {}, make("summary", { text: `${values.length} values${range}` }), make("pre", { tabindex: "0", "aria-label": name, text })),
  );
}
