// The request of the form as commands to copy: exact for the values on the screen, safe to paste.
//
// A value of the form is null, true, false, a string, or {number: "1.50"}: a number is kept as it was typed, so
// that nothing is rounded on the way.

// Control, formatting and direction characters would be invisible, or reorder what a person reads before pasting.
const HIDDEN = /[\u007f-\u009f\u00ad\u061c\u115f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
const escaped = (character) => "\\u" + character.charCodeAt(0).toString(16).padStart(4, "0");

/** A JSON string; what is hidden is escaped. */
export const quoted = (text) => JSON.stringify(text).replace(HIDDEN, escaped);

/** Whether a text is a JSON number, which may be sent as it stands. */
export const isNumber = (text) => /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text);

function scalar(value, words) {
  if (value === null || value === true || value === false) return words[String(value)];
  return typeof value === "string" ? quoted(value) : value.number;
}
const JSON_WORDS = { null: "null", true: "true", false: "false" };
const PYTHON_WORDS = { null: "None", true: "True", false: "False" };

// {"inputs": …} could mean two things for a model with a column of such a name; a bare list of records cannot.
const WRAPPERS = ["inputs", "features"];
const framed = (names, record) =>
  names.some((name) => WRAPPERS.includes(name)) ? `[${record}]` : `{"inputs": [${record}]}`;

/**
 * The body of the request for one row, a list of [name, value] (so that no name of a column can be special).
 * `aside` are the names that the model accepts and ignores.
 */
export function body(row, aside = []) {
  const record = `{${row.map(([name, value]) => `${quoted(name)}: ${scalar(value, JSON_WORDS)}`).join(", ")}}`;
  return framed([...row.map(([name]) => name), ...aside], record);
}

/** A word for a POSIX shell that stands for exactly this text. */
export const shellWord = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

export const curl = (url, row, aside = []) =>
  [
    `curl -sS -X POST ${shellWord(url)} \\`,
    `  -H 'Content-Type: application/json' \\`,
    `  --data-raw ${shellWord(body(row, aside))}`,
  ].join("\n");

// A JSON string is a Python string too: the escapes of JSON mean the same there, but for \/, which is never written.
export const python = (url, row, aside = []) =>
  [
    "import json",
    "import urllib.request",
    "",
    "row = {",
    ...row.map(([name, value]) => `    ${quoted(name)}: ${scalar(value, PYTHON_WORDS)},`),
    "}",
    "request = urllib.request.Request(",
    `    ${quoted(url)},`,
    `    data=json.dumps(${framed([...row.map(([name]) => name), ...aside], "row")}).encode(),`,
    `    headers={"Content-Type": "application/json"},`,
    ")",
    "with urllib.request.urlopen(request) as response:",
    "    print(json.load(response))",
    "",
  ].join("\n");
