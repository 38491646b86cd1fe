// A JSON Schema as a person reads it, and an example of it.

import { make } from "./dom.js";

const DEEPEST = 5;

/** A part of the document, its reference followed ("#/components/schemas/Row"). */
export function resolved(api, part) {
  let found = part;
  for (let hops = 0; found?.$ref && hops < 20; hops += 1) {
    found = found.$ref.slice(2).split("/").reduce(
      (node, key) => node?.[decodeURIComponent(key).replaceAll("~1", "/").replaceAll("~0", "~")], api) ?? {};
  }
  return found ?? {};
}

const alternatives = (schema) => schema.oneOf ?? schema.anyOf ?? null;

/** The type of nested lists: "2 × 4 of number", and with lists of any length "list of 2 × 4 of number". */
function listed(api, schema) {
  const fixed = (each) => (each.minItems === each.maxItems ? each.minItems : undefined);
  let element = schema;
  const sizes = [];
  while ([element.type].flat()[0] === "array" && element.items && fixed(element) !== undefined) {
    sizes.push(fixed(element));
    element = resolved(api, element.items);
  }
  return sizes.length ? `${sizes.join(" × ")} of ${words(api, element)}` : `list of ${words(api, schema.items)}`;
}

/** The type of a schema in a few words. */
function words(api, given) {
  const schema = resolved(api, given);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) {
    const some = schema.enum.slice(0, 12).map((value) => JSON.stringify(value)).join(" | ");
    return schema.enum.length > 12 ? `${some} | … (${schema.enum.length})` : some;
  }
  const choices = alternatives(schema);
  if (choices) return [...new Set(choices.map((each) => words(api, each)))].join(" or ");
  if (schema.title && schema.type === "object") return schema.title;
  const types = [schema.type ?? (schema.properties ? "object" : "any")].flat();
  return types
    .map((type) => {
      if (type === "array" && schema.items) return listed(api, schema);
      return schema.format && type === "string" ? schema.format : type;
    })
    .join(" or ");
}

/** A schema with its properties, as elements; `named` where its name stands above it already. */
export function schemaView(api, given, depth = 0, named = false) {
  const schema = resolved(api, given);
  const view = make("div", {}, named ? null : make("span", { class: "schema-type", text: words(api, schema) }));
  if (schema.description) view.append(` ${schema.description}`);
  if (depth >= DEEPEST) return view;
  const required = new Set(schema.required ?? []);
  const properties = Object.entries(schema.properties ?? {});
  if (properties.length) {
    const list = make("dl");
    for (const [name, property] of properties) {
      const title = required.has(name) ? name : `${name}?`;
      list.append(make("dt", { text: title }), make("dd", {}, schemaView(api, property, depth + 1)));
    }
    view.append(list);
  }
  const nests = (each) => Boolean(each && (each.properties || alternatives(each) || (each.items && nests(resolved(api, each.items)))));
  if (schema.items) {
    const items = resolved(api, schema.items);
    if (nests(items)) view.append(schemaView(api, items, depth + 1, true));
    return view;
  }
  // Several forms: each under its name, the first one open.
  const forms = (alternatives(schema) ?? []).map((each) => resolved(api, each)).filter(nests);
  for (const [index, form] of forms.entries()) {
    const title = form.title ?? words(api, form);
    view.append(make("details", { class: "form", open: index === 0 && depth < 2 }, make("summary", { text: title }), schemaView(api, form, depth + 1, true)));
  }
  return view;
}

/** A value that fits a schema, for a body that the document gives no example of. */
export function example(api, given, depth = 0) {
  const schema = resolved(api, given);
  if (schema.example !== undefined) return schema.example;
  if (schema.examples?.length) return schema.examples[0];
  if (schema.default !== undefined) return schema.default;
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  const choices = alternatives(schema);
  if (choices) return example(api, choices[0], depth);
  const type = [schema.type ?? (schema.properties ? "object" : "null")].flat()[0];
  if (type === "object" && depth < DEEPEST) {
    return Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, property]) => [name, example(api, property, depth + 1)]));
  }
  if (type === "array") return schema.items && depth < DEEPEST ? [example(api, schema.items, depth + 1)] : [];
  // Zero where it fits: the least number of a type of tensors would be a strange one to begin with.
  const least = Math.max(0, Number(schema.minimum ?? 0));
  return { string: "", number: least, integer: least, boolean: false }[type] ?? null;
}
