// One field of the form for one column or tensor of the signature. A field only holds what a person gives; whether it fits
// is for the server to say, so that there is one judge.

import { make, shown } from "./dom.js";
import { written } from "./moments.js";
import { isNumber } from "./snippets.js";
import { picture, startOfTensor, tensor, told } from "./tensor_fields.js";

const MOST_OPTIONS = 60; // more categories than this are searched by typing, not scrolled through
const OTHER = "another value…";
const KINDS = { number: "number", boolean: "yes or no", category: "category", datetime: "date-time", text: "text", tensor: "tensor", picture: "picture" };

let count = 0;

/**
 * A field: `element` to place, `value()` as snippets.js takes it, `set(value)`, `complain(message or null)`,
 * and `waits()`: what a person has to give before there is anything to send, or null.
 * `changed` is called after each change by a person.
 */
export function field(column, changed) {
  const id = `field-${(count += 1)}`;
  const control = CONTROLS[column.type](column, id, () => {
    note();
    changed();
  });
  const error = make("p", { class: "error", id: `${id}-error`, role: "alert" });
  const remark = make("p", { class: "remark", id: `${id}-note` });
  const missing = column.nullable
    ? make("input", { type: "checkbox", id: `${id}-missing`, onchange: () => { apply(); changed(); } })
    : null;
  const kind = column.dtype ? make("span", { class: "kind", id: `${id}-kind`, text: told(column) }) : null;
  const element = make(
    "div",
    { class: `field ${column.type}` },
    make(
      "div",
      { class: "head" },
      make("label", { for: id, text: column.name, title: `${column.name}: ${KINDS[column.type]}` }),
      kind,
      missing && make("label", { class: "missing", for: missing.id }, missing, "missing"),
    ),
    control.element,
    remark,
    error,
  );
  const describing = [kind, control.hint, remark, error].filter(Boolean);
  control.focus.setAttribute("aria-describedby", describing.map((each) => each.id).join(" "));

  function note() {
    remark.textContent = missing?.checked ? "" : control.note();
  }
  function apply() {
    control.disable(Boolean(missing?.checked));
    element.classList.toggle("absent", Boolean(missing?.checked));
    note();
  }
  function set(value) {
    if (missing) missing.checked = value === null;
    control.set(value);
    apply();
  }
  set(start(column));
  return {
    column,
    element,
    set,
    value: () => (missing?.checked ? null : control.value()),
    waits: () => control.waits?.() ?? null,
    reset: () => set(start(column)),
    focus: () => control.focus.focus(),
    complain(message) {
      error.textContent = message ?? "";
      element.classList.toggle("wrong", Boolean(message));
      control.focus.setAttribute("aria-invalid", message ? "true" : "false");
    },
  };
}

/** What a field holds at first: the middle of what training saw; of a picture, none. */
function start(column) {
  if (column.type === "tensor") return startOfTensor(column);
  if (column.type === "picture") return null;
  const { typical = null, minimum = null, maximum = null } = column;
  if (column.type === "number") {
    if (typical !== null) return { number: String(typical) };
    if (minimum !== null && maximum !== null) return { number: String((minimum + maximum) / 2) };
    return column.nullable ? null : { number: "0" };
  }
  if (column.type === "boolean") return typical === true || typical === 1 || typical === "true" || typical === "1";
  if (column.type === "datetime") {
    if (typeof typical === "string") return typical;
    const seconds = typical ?? maximum ?? minimum;
    return seconds === null ? "" : written(seconds, column.format ?? "iso") ?? "";
  }
  if (typical !== null) return String(typical);
  return column.type === "category" ? column.categories?.[0] ?? "" : "";
}

function number(column, id, changed) {
  const { minimum = null, maximum = null } = column;
  const input = make("input", { id, type: "text", inputmode: "decimal", autocomplete: "off", spellcheck: "false" });
  const ranged = minimum !== null && maximum !== null && minimum < maximum;
  const whole = ranged && [minimum, maximum].every(Number.isInteger) && maximum - minimum >= 2;
  const step = ranged ? (whole ? Math.max(1, Math.round((maximum - minimum) / 100)) : (maximum - minimum) / 100) : 1;
  // The slider is a convenience for a pointer; the text field is the control, and has the arrow keys.
  const slider = ranged
    ? make("input", { type: "range", min: minimum, max: maximum, step: whole ? 1 : "any", tabindex: "-1", "aria-hidden": "true" })
    : null;
  const follow = () => slider && isNumber(input.value.trim()) && (slider.value = input.value.trim());
  input.addEventListener("input", () => { follow(); changed(); });
  input.addEventListener("keydown", (event) => {
    const up = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!up || !isNumber(input.value.trim())) return;
    event.preventDefault();
    input.value = shown(Number(input.value) + up * step * (event.shiftKey ? 10 : 1));
    follow();
    changed();
  });
  slider?.addEventListener("input", () => {
    input.value = shown(Number(slider.value));
    changed();
  });
  const range = ranged
    ? make("div", { class: "range" }, make("span", { text: shown(minimum) }), slider, make("span", { text: shown(maximum) }))
    : null;
  return {
    element: make("div", { class: "control" }, input, range),
    focus: input,
    disable(off) {
      input.disabled = off;
      if (slider) slider.disabled = off;
    },
    // What is no number is sent as it was typed, so that the server says so; an empty field is a missing value.
    value() {
      const text = input.value.trim();
      if (text === "") return null;
      return isNumber(text) ? { number: text } : text;
    },
    set(value) {
      input.value = value === null ? "" : typeof value === "string" ? value : value.number;
      follow();
    },
    note() {
      const text = input.value.trim();
      if (!isNumber(text)) return "";
      if (minimum !== null && Number(text) < minimum) return `below all that training saw (from ${shown(minimum)})`;
      if (maximum !== null && Number(text) > maximum) return `above all that training saw (to ${shown(maximum)})`;
      return "";
    },
  };
}

function boolean(_column, id, changed) {
  const select = make("select", { id, onchange: changed }, new Option("false", "false"), new Option("true", "true"));
  return {
    element: make("div", { class: "control" }, select),
    focus: select,
    disable: (off) => (select.disabled = off),
    value: () => select.value === "true",
    set: (value) => (select.value = String(value === true)),
    note: () => "",
  };
}

function category(column, id, changed) {
  const categories = column.categories ?? [];
  const known = new Set(categories);
  // A closed column's other values are refused, which the server says.
  const note = (text) => (column.closed || text === "" || known.has(text) ? "" : "training never saw this value");
  // An empty text is a value only where training saw it as one.
  const read = (text) => (text === "" && !known.has("") ? null : text);
  if (categories.length > MOST_OPTIONS) {
    const list = make("datalist", { id: `${id}-list` }, ...categories.map((text) => make("option", { value: text })));
    const input = make("input", { id, type: "text", list: list.id, autocomplete: "off", oninput: changed });
    return {
      element: make("div", { class: "control" }, input, list),
      focus: input,
      disable: (off) => (input.disabled = off),
      value: () => read(input.value),
      set: (value) => (input.value = value ?? ""),
      note: () => note(input.value),
    };
  }
  // Options are chosen by position: a category may be called anything, "another value…" too.
  const select = make("select", { id }, ...categories.map((text, index) => new Option(text, String(index))));
  if (!column.closed) select.append(new Option(OTHER, "other"));
  const other = make("input", { type: "text", autocomplete: "off", "aria-label": `${column.name}: another value`, oninput: changed, hidden: true });
  select.addEventListener("change", () => {
    other.hidden = select.value !== "other";
    if (!other.hidden) other.focus();
    changed();
  });
  const text = () => (select.value === "other" ? other.value : categories[Number(select.value)]);
  return {
    element: make("div", { class: "control" }, select, other),
    focus: select,
    disable: (off) => (select.disabled = other.disabled = off),
    value: () => read(text()),
    set(value) {
      const index = categories.indexOf(value);
      select.value = index >= 0 ? String(index) : (value === null || column.closed) && categories.length ? "0" : "other";
      other.value = index >= 0 ? "" : value ?? "";
      other.hidden = select.value !== "other";
    },
    note: () => note(text()),
  };
}

function datetime(column, id, changed) {
  const format = column.format ?? "iso";
  const input = make("input", {
    id,
    type: "text",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: format === "iso" ? "2024-05-31T18:00:00" : format,
    oninput: changed,
  });
  // The browser's calendar fills the text in; the text stays what is sent, with a zone of its own too.
  const pick = make("input", { type: "datetime-local", step: "1", class: "pick", "aria-label": `${column.name}: calendar`, tabindex: "-1" });
  pick.addEventListener("input", () => {
    const text = pick.value && written(Date.parse(`${pick.value}Z`) / 1000, format);
    if (!text) return;
    input.value = text;
    changed();
  });
  const seen = [column.minimum, column.maximum].map((seconds) => (typeof seconds === "number" ? written(seconds, format) : null));
  const hint = seen.every(Boolean) ? make("div", { class: "range", text: `${seen[0]} – ${seen[1]}` }) : null;
  const calendar = written(0, format) === null ? null : pick;
  return {
    element: make("div", { class: "control" }, make("div", { class: "with-pick" }, input, calendar), hint),
    focus: input,
    disable: (off) => (input.disabled = pick.disabled = off),
    value: () => (input.value.trim() === "" ? null : input.value.trim()),
    set: (value) => (input.value = value ?? ""),
    note: () => "",
  };
}

function text(_column, id, changed) {
  const area = make("textarea", { id, rows: "3", oninput: changed });
  return {
    element: make("div", { class: "control" }, area),
    focus: area,
    disable: (off) => (area.disabled = off),
    value: () => area.value,
    set: (value) => (area.value = value ?? ""),
    note: () => "",
  };
}

const CONTROLS = { number, boolean, category, datetime, text, tensor, picture };
