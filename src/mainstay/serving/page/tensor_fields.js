// The controls for tensors: the numbers as JSON text, or a picture's file. The text is sent as it was typed, so that
// no number is rounded on the way.

import { make } from "./dom.js";

const MOST_ZEROS = 256; // numbers: a larger start value would bury the form
const MODES = { L: "gray", RGB: "red, green and blue", RGBA: "red, green, blue and opacity" };

/** The type and shape as the server spells them: "float32 (28, 28)". */
export const told = ({ dtype, shape = [] }) => `${dtype} (${shape.join(", ")}${shape.length === 1 ? "," : ""})`;

/** The fields' description of a tensor, in the terms that a column has. */
export const asColumn = (tensor) => ({ ...tensor, type: tensor.image ? "picture" : "tensor" });

/** A small value that fits, as a field takes it; an empty text where it would be large. A named size is 1. */
export function startOfTensor({ dtype, shape = [], minimum = null, maximum = null }) {
  if (dtype === "text" && !shape.length) return "";
  const sizes = shape.map((size) => (typeof size === "number" ? size : 1));
  if (sizes.reduce((product, size) => product * size, 1) > MOST_ZEROS) return { json: "" };
  const least = (minimum ?? 0) > 0 ? minimum : (maximum ?? 0) < 0 ? maximum : 0;
  const number = dtype.startsWith("float") ? least : Math.trunc(least);
  const element = { bool: "false", text: '""', bytes: '{"b64": ""}' }[dtype] ?? String(number);
  return { json: nested(element, sizes, "") };
}

/** Nested lists, the innermost on a line each. */
function nested(element, sizes, indent) {
  if (!sizes.length) return element;
  const [size, ...rest] = sizes;
  const between = rest.length ? `,\n${indent} ` : ", ";
  return `[${Array(size).fill(nested(element, rest, `${indent} `)).join(between)}]`;
}

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch (error) {
    return false;
  }
}

/** One row of a tensor as JSON; a single text as it is. */
export function tensor(column, id, changed) {
  const { dtype, shape = [] } = column;
  const plain = dtype === "text" && !shape.length;
  const area = make("textarea", {
    id,
    rows: shape.length ? "5" : "2",
    spellcheck: "false",
    placeholder: plain ? null : `one row as JSON: ${told(column)}`,
    oninput: changed,
  });
  const text = () => area.value.trim();
  return {
    element: make("div", { class: "control" }, area),
    focus: area,
    disable: (off) => (area.disabled = off),
    // What is no JSON is sent as a text, so that the server says what belongs there.
    value: () => (plain ? area.value : isJson(text()) ? { json: text() } : text() === "" ? null : text()),
    set: (value) => (area.value = value === null ? "" : typeof value === "string" ? value : value.json ?? ""),
    note: () => (plain || text() === "" || isJson(text()) ? "" : "this is no JSON as it stands"),
    waits: () => (plain || text() !== "" ? null : "values"),
  };
}

/** A picture to choose or drop, or the numbers in its place. */
export function picture(column, id, changed) {
  const { shape, image: { mode, layout }, name } = column;
  const [width, height] = ["W", "H"].map((axis) => shape[layout.indexOf(axis)]);
  const hint = make("p", {
    class: "hint",
    id: `${id}-hint`,
    text: `PNG or JPEG, ${width} wide and ${height} high, mode ${mode} (${MODES[mode]}). Choose it or drop it here.`,
  });
  const input = make("input", { id, type: "file", accept: "image/png,image/jpeg" });
  const remove = make("button", { type: "button", class: "quiet", text: "Remove", "aria-label": `${name}: remove the picture`, hidden: true });
  const preview = make("img", { class: "preview", alt: "", hidden: true });
  const chosen = make("span", { class: "chosen-file" });
  const numbers = tensor(column, `${id}-numbers`, changed);
  numbers.focus.setAttribute("aria-label", `${name}: its numbers`);
  const instead = make("details", { class: "instead" }, make("summary", { text: "or its numbers" }), numbers.element);
  const zone = make("div", { class: "control drop" }, make("div", { class: "with-preview" }, preview, make("div", { class: "choice" }, input, hint, chosen, remove)), instead);
  let file = null; // {file: its name, b64: its bytes}
  let taken = 0;

  function show(found) {
    file = found;
    preview.hidden = remove.hidden = !found;
    chosen.textContent = found && !input.files.length ? found.file : ""; // else the browser writes it beside its button
    instead.hidden = Boolean(found);
    if (!found) {
      input.value = "";
      preview.removeAttribute("src");
      return;
    }
    // The kind in the address is not the server's judgement: a browser looks at the bytes.
    preview.src = `data:image/png;base64,${found.b64}`;
    preview.alt = `the chosen picture ${found.file}`;
  }
  async function take(given) {
    const mine = (taken += 1);
    const found = { file: given.name, b64: await base64(given) };
    if (mine !== taken) return; // another one was chosen meanwhile
    show(found);
    changed();
  }
  preview.addEventListener("error", () => (preview.hidden = true)); // no picture at all: the server says so
  input.addEventListener("change", () => {
    if (input.files.length) take(input.files[0]);
  });
  remove.addEventListener("click", () => {
    taken += 1;
    show(null);
    input.focus();
    changed();
  });
  for (const kind of ["dragenter", "dragover"]) {
    zone.addEventListener(kind, (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
  }
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    if (input.disabled || !event.dataTransfer.files.length) return;
    input.files = event.dataTransfer.files;
    take(event.dataTransfer.files[0]);
  });
  return {
    element: zone,
    focus: input,
    hint,
    disable(off) {
      input.disabled = remove.disabled = off;
      numbers.disable(off);
    },
    // Until one is chosen the copied commands stand ready for a file of this name.
    value: () => file ?? numbers.value() ?? { file: "picture.png", b64: "" },
    set(value) {
      taken += 1;
      const given = value?.file !== undefined && value.b64 !== "" ? value : null;
      show(given);
      numbers.set(given || value?.file !== undefined ? null : value);
    },
    note: () => (file ? "" : numbers.note()),
    waits: () => (file || numbers.value() !== null ? null : "a picture"),
  };
}

/** The bytes of a file in base64. */
function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result.slice(reader.result.indexOf(",") + 1)));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(file);
  });
}
