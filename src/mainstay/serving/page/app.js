// The page at /: a form made from the signature, and the answer as one types.

import { AnswerPanel } from "./answer.js";
import { byId, copy, make } from "./dom.js";
import { field } from "./fields.js";
import { get, pathOf, predictAddress, Questions, Refused } from "./server.js";
import { body, curl, python } from "./snippets.js";
import { asColumn } from "./tensor_fields.js";

const PAUSE = 120; // milliseconds without a key before the server is asked
const LOOK = 4000; // milliseconds between looks for another version
const MANY = 16; // fields from which on a search among them helps

const answer = new AnswerPanel();
const questions = new Questions();
let model = null; // the document of GET /models/{name}, or of one of its versions
let chosen = null; // what is asked: a model, "credit", or one of its versions, "credit:2"
let fields = [];
let timer = null;
let language = curl;

const row = () => fields.map((each) => [each.column.name, each.value()]);
/** The inputs of a signature, as fields take them: its columns, then its tensors. */
const inputsOf = ({ inputs = [], tensors = [] }) => [...inputs, ...tensors.map(asColumn)];
const aside = () => model.signature.set_aside ?? [];

function changed() {
  snippet();
  clearTimeout(timer);
  timer = setTimeout(ask, PAUSE);
}

async function ask() {
  clearTimeout(timer);
  const asked = model;
  const waiting = fields.find((each) => each.waits() !== null);
  if (waiting) {
    questions.drop();
    complain(null);
    answer.waiting(`waiting for ${waiting.waits()} of ${waiting.column.name}`);
    return;
  }
  let reply;
  try {
    reply = await questions.ask(predictAddress(chosen), body(row(), aside()));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    complain(error);
    return;
  }
  if (reply === null || asked !== model) return;
  complain(null);
  answer.show(...first(reply));
  // The answer says who gave it: another version is answering now, perhaps with another signature.
  if (typeof reply.model === "string" && versioned(asked) !== reply.model) await look();
}

/** The one row of a reply: its prediction, and its probabilities in the order of the labels (or null). */
function first(reply) {
  const one = (value) => (Array.isArray(value) ? value[0] : value);
  const shares = one(reply.probabilities ?? null);
  const labels = model.signature.labels ?? [];
  return [one(reply.prediction), shares && labels.map((label) => shares[String(label)])];
}

function complain(error) {
  const named = error && fields.find((each) => each.column.name === error.column);
  for (const each of fields) each.complain(each === named ? error.message : null);
  notice(error && !named ? error.message : "", "wrong");
  if (error) answer.stale(named ? `waiting for ${named.column.name}` : "no answer");
}

function notice(message, kind = "") {
  const place = byId("notice");
  place.textContent = message;
  place.className = `notice ${kind}`;
}

function snippet() {
  byId("snippet").textContent = language(predictAddress(chosen), row(), aside());
}

const versioned = (document) => `${document.name}:${document.version}`;

/** Shows a model; values that a person gave stay where the columns are the same. */
function open(document) {
  const same = model !== null && model.name === document.name;
  const kinds = (signature) => JSON.stringify(inputsOf(signature).map(({ name, type, dtype, shape }) => [name, type, dtype, shape]));
  const stays = same && kinds(model.signature) === kinds(document.signature);
  const values = stays ? fields.map((each) => each.value()) : null;
  model = document;
  window.document.title = `${model.name} · Mainstay`;
  byId("form-title").textContent = model.name;
  byId("version").textContent = `version ${model.version} · ${model.signature.task}`;
  fields = inputsOf(model.signature).map((column) => field(column, changed));
  values?.forEach((value, index) => fields[index].set(value));
  byId("form").replaceChildren(...fields.map((each) => each.element));
  byId("find").hidden = fields.length < MANY;
  byId("search").value = "";
  byId("reset").hidden = false;
  byId("code-card").hidden = false;
  answer.of(model.signature, model.decision ?? null);
  snippet();
  return ask();
}

async function choose(name) {
  const document = await get(pathOf(name));
  chosen = name;
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  notice("");
  await open(document);
}

/** Looks which models there are, and whether another version answers now. */
async function look() {
  const { models } = await list();
  // A model stands for the version that takes its traffic; the others stand beside it, by number.
  const names = models.flatMap(({ name, version, versions = [] }) => [
    name,
    ...versions.filter((number) => String(number) !== String(version)).map((number) => `${name}:${number}`),
  ]);
  const select = byId("models");
  if ([...select.options].map((option) => option.value).join("\n") !== names.join("\n")) {
    select.replaceChildren(...names.map((name) => new Option(name, name)));
  }
  byId("switch").hidden = names.length < 2;
  if (!names.length) {
    notice("No model is deployed yet. This page looks again by itself.");
    return;
  }
  const wished = chosen ?? decodeURIComponent(location.hash.slice(1));
  const name = [wished, wished.split(":")[0], names[0]].find((each) => names.includes(each));
  select.value = name;
  const found = models.find((each) => each.name === name); // of a version beside there is none: it never changes
  if (model === null || chosen !== name) {
    await choose(name);
  } else if (found && String(found.version) !== String(model.version)) {
    const before = versioned(model);
    const document = await get(pathOf(name));
    const focused = fields.findIndex((each) => each.element.contains(window.document.activeElement));
    await open(document);
    fields[focused]?.focus();
    notice(`${versioned(document)} answers now, in place of ${before}.`);
  }
}

/** GET /models, as {models: [{name, version, task}]}. */
async function list() {
  const reply = await get("models");
  return Array.isArray(reply) ? { models: reply } : reply;
}

async function looking() {
  try {
    if (!document.hidden) await look();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    notice(error.message, "wrong");
  } finally {
    setTimeout(looking, LOOK);
  }
}

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
byId("models").addEventListener("change", (event) => choose(event.target.value));
byId("reset").addEventListener("click", () => {
  for (const each of fields) each.reset();
  changed();
});
byId("search").addEventListener("input", (event) => {
  const wanted = event.target.value.trim().toLowerCase();
  for (const each of fields) each.element.hidden = !each.column.name.toLowerCase().includes(wanted);
});
for (const [id, words, what] of [["copy-curl", curl, "curl"], ["copy-python", python, "Python"]]) {
  byId(id).addEventListener("click", async (event) => {
    language = words;
    snippet();
    const button = event.currentTarget;
    const done = await copy(byId("snippet").textContent);
    button.textContent = done ? "Copied" : "Select and copy below";
    byId("copied").textContent = done ? `Copied as ${what}` : "";
    setTimeout(() => (button.textContent = `Copy as ${what}`), 1600);
  });
}
looking();
