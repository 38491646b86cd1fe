// The page at /docs: the OpenAPI document of this server, readable, with every call to try.

import { byId, copy, make } from "./dom.js";
import { schemaView, resolved, example } from "./schema.js";
import { address, get, Refused } from "./server.js";
import { shellWord } from "./snippets.js";

const VERBS = ["get", "post", "put", "patch", "delete", "head"];

function operation(api, path, verb, described, shared) {
  const parameters = [...(shared ?? []), ...(described.parameters ?? [])].map((each) => resolved(api, each));
  const request = described.requestBody ? resolved(api, described.requestBody) : null;
  return make(
    "details",
    { class: "card", id: described.operationId },
    make(
      "summary",
      {},
      make("span", { class: `verb ${verb}`, text: verb.toUpperCase() }),
      make("span", { class: "path", text: path }),
      make("span", { class: "what", text: described.summary ?? "" }),
    ),
    described.description && make("p", { class: "lead", text: described.description }),
    parameters.length ? section("Parameters", parametersView(api, parameters)) : null,
    request && section("Body", ...bodies(api, request)),
    section("Try it", tryIt(api, path, verb, parameters, request)),
    section("Answers", answers(api, described.responses ?? {})),
  );
}

const section = (title, ...children) => make("section", {}, make("h3", { text: title }), ...children);

function parametersView(api, parameters) {
  const list = make("dl");
  for (const parameter of parameters) {
    list.append(
      make("dt", { text: parameter.name }),
      make(
        "dd",
        {},
        `${parameter.in}${parameter.required ? ", required" : ""}. ${parameter.description ?? ""} `,
        schemaView(api, parameter.schema ?? {}),
      ),
    );
  }
  return list;
}

function bodies(api, request) {
  return Object.entries(request.content ?? {}).map(([type, { schema }]) =>
    make("div", {}, make("p", { class: "remark", text: type }), schema && schemaView(api, schema)));
}

function answers(api, responses) {
  const list = make("dl");
  for (const [status, given] of Object.entries(responses)) {
    const response = resolved(api, given);
    const schema = Object.values(response.content ?? {})[0]?.schema;
    list.append(
      make("dt", { text: status }),
      make("dd", {}, response.description ?? "", schema ? bodyOf(api, schema, status) : null),
    );
  }
  return list;
}

/** The body of an answer; an error's is folded away, for all are alike. */
function bodyOf(api, schema, status) {
  const view = schemaView(api, schema);
  return status.startsWith("2") ? view : make("details", { class: "form" }, make("summary", { text: "body" }), view);
}

/** The examples of a body, as {name: text}. */
function examples(api, request) {
  const [, content] = Object.entries(request.content ?? {})[0] ?? [null, {}];
  const written = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
  const named = Object.entries(content.examples ?? {}).map(([name, given]) => {
    const found = resolved(api, given);
    return [found.summary ?? name, written(found.value)];
  });
  if (named.length) return named;
  const value = content.example ?? (content.schema ? example(api, content.schema) : {});
  return [["example", written(value)]];
}

function tryIt(api, path, verb, parameters, request) {
  const inputs = new Map();
  const fields = parameters.filter(({ in: where }) => where !== "cookie").map((parameter) => {
    const given = parameter.example ?? resolved(api, parameter.schema ?? {}).enum?.[0] ?? parameter.schema?.default ?? "";
    const input = make("input", { type: "text", value: String(given), autocomplete: "off" });
    inputs.set(parameter, input);
    return make("label", {}, parameter.name, input);
  });
  const known = request ? examples(api, request) : [];
  const area = request ? make("textarea", { spellcheck: "false", rows: "12", value: known[0][1] }) : null;
  const choice = known.length > 1
    ? make("label", {}, "Example", make("select", { onchange: (event) => (area.value = known[event.target.value][1]) },
        ...known.map(([name], index) => new Option(name, String(index)))))
    : null;
  const result = make("pre", { hidden: true, tabindex: "0", "aria-live": "polite" });
  const type = request ? Object.keys(request.content ?? {})[0] ?? "application/json" : null;

  function target() {
    let filled = path;
    const query = new URLSearchParams();
    const headers = {};
    for (const [parameter, input] of inputs) {
      if (parameter.in === "path") filled = filled.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (input.value !== "" && parameter.in === "query") query.set(parameter.name, input.value);
      else if (input.value !== "") headers[parameter.name] = input.value;
    }
    if (area) headers["content-type"] = type;
    const asked = query.size ? `?${query}` : "";
    return { url: address(filled.replace(/^\//, "")) + asked, headers };
  }

  async function send() {
    const { url, headers } = target();
    const begun = performance.now();
    let said;
    try {
      const response = await fetch(url, { method: verb.toUpperCase(), headers, body: area?.value, cache: "no-store" });
      const text = await response.text();
      said = `${response.status} · ${(performance.now() - begun).toFixed(0)} ms · ${response.headers.get("content-type") ?? ""}\n\n${pretty(text)}`;
    } catch (error) {
      said = `No answer: ${error.message}`;
    }
    result.hidden = false;
    result.textContent = said;
  }
  async function copied(event) {
    const { url, headers } = target();
    const words = ["curl", "-sS", "-X", verb.toUpperCase(), shellWord(url)];
    for (const [name, value] of Object.entries(headers)) words.push("-H", shellWord(`${name}: ${value}`));
    if (area) words.push("--data-raw", shellWord(area.value));
    const button = event.currentTarget;
    button.textContent = (await copy(words.join(" "))) ? "Copied" : "Could not copy";
    setTimeout(() => (button.textContent = "Copy as curl"), 1600);
  }
  return make(
    "div",
    { class: "try" },
    ...fields,
    choice,
    area && make("label", {}, "Body", area),
    make("div", { class: "row" },
      make("button", { type: "button", class: "main", text: "Send", onclick: send }),
      make("button", { type: "button", text: "Copy as curl", onclick: copied })),
    result,
  );
}

function pretty(text) {
  try {
    JSON.parse(text);
  } catch (error) {
    return text.length > 20000 ? `${text.slice(0, 20000)}\n…` : text;
  }
  // Formatted only where that changes no number: a big integer would be rounded.
  const formatted = JSON.stringify(JSON.parse(text), null, 2);
  return JSON.stringify(JSON.parse(text)) === text.replace(/\s+$/, "") ? formatted : text;
}

async function show() {
  try {
    const api = await get("openapi.json");
    byId("title").textContent = api.info?.title ?? "API";
    byId("lead").textContent = api.info?.description ?? "";
    const all = Object.entries(api.paths ?? {}).flatMap(([path, verbs]) =>
      VERBS.filter((verb) => verb in verbs).map((verb) => operation(api, path, verb, verbs[verb], verbs.parameters)));
    byId("operations").replaceChildren(...all);
    const first = document.getElementById(decodeURIComponent(location.hash.slice(1))) ?? all[0];
    if (first) first.open = true;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    byId("notice").textContent = error.message;
    byId("notice").className = "notice wrong";
  }
}
show();
