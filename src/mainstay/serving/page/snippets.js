// The request of the form as commands to copy: exact for the values on the screen, safe to paste.
//
// A value of the form is null, true, false, a string, {number: "1.50"}, {json: "[[1.50, 2]]"} or a picture,
// {file: "seven.png", b64: "…"}: numbers are kept as they were typed, so that nothing is rounded on the way, and a
// command reads a picture from its file.

// Control, formatting and direction characters would be invisible, or reorder what a person reads before pasting.
const HIDDEN = /[\u007f-\u009f\u00ad\u061c\u115f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
const escaped = (character) => "\\u" + character.charCodeAt(0).toString(16).padStart(4, "0");

/** A JSON string; what is hidden is escaped. */
export const quoted = (text) => JSON.stringify(text).replace(HIDDEN, escaped);

/** Whether a text is a JSON number, which may be sent as it stands. */
export const isNumber = (text) => /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text);

const isPicture = (value) => value?.file !== undefined;

function scalar(value, words, picture) {
  if (value === null || value === true || value === false) return words[String(value)];
  if (typeof value === "string") return quoted(value);
  if (isPicture(value)) return `{"b64": ${picture(value)}}`;
  return value.json === undefined ? value.number : literal(value.json, words);
}
/** JSON with the words of another language, and its texts as `quoted` writes them. */
const literal = (json, words) =>
  json.replace(/"(?:[^"\\]|\\.)*"|true|false|null/g, (token) => (token[0] === '"' ? quoted(JSON.parse(token)) : words[token]));
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
export const body = (row, aside = []) => bodyWith(row, aside, (value) => quoted(value.b64));

function bodyWith(row, aside, picture) {
  const record = `{${row.map(([name, value]) => `${quoted(name)}: ${scalar(value, JSON_WORDS, picture)}`).join(", ")}}`;
  return framed([...row.map(([name]) => name), ...aside], record);
}

/** A word for a POSIX shell that stands for exactly this text. */
export const shellWord = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** What is hidden in the name of a file cannot be escaped in every shell: a person sees where it stood. */
const shellFile = (name) => shellWord(name.replace(HIDDEN, "_").replace(/[\0-\x1f]/g, "_"));

const MOST_IN_A_WORD = 40_000; // characters, of three bytes at most: Linux takes 128 KiB in one argument

/** The body as a command that writes it: `printf` is the shell's own, and its words may have any length. */
function writing(row, aside) {
  // A mark stands for each picture; as a key of JSON it is a text that no value of this row holds.
  const all = bodyWith(row, aside, () => "");
  let mark = "picture";
  while (all.includes(mark)) mark += "_";
  const pictures = row.map(([, value]) => value).filter(isPicture);
  const parts = bodyWith(row, aside, () => mark).split(mark);
  const lines = parts.flatMap((part, index) => {
    const before = index === 0 ? "" : '"';
    const after = index === parts.length - 1 ? "" : '"';
    const text = `printf '%s' ${shellWord(before + part + after)}`;
    return after ? [text, `base64 < ${shellFile(pictures[index].file)} | tr -d '\\n'`] : [text];
  });
  return `{ ${lines.join("\n  ")}\n}`;
}

export function curl(url, row, aside = []) {
  const asking = [`curl -sS -X POST ${shellWord(url)} \\`, `  -H 'Content-Type: application/json' \\`];
  const whole = row.some(([, value]) => isPicture(value)) ? null : body(row, aside);
  if (whole !== null && whole.length < MOST_IN_A_WORD) return [...asking, `  --data-raw ${shellWord(whole)}`].join("\n");
  return [`${writing(row, aside)} | ${asking[0]}`, asking[1], "  --data-binary @-"].join("\n");
}

const pythonPicture = ({ file }) => `base64.b64encode(Path(${quoted(file)}).read_bytes()).decode()`;

// A JSON string is a Python string too: the escapes of JSON mean the same there, but for \/, which is never written.
export const python = (url, row, aside = []) => {
  const pictures = row.some(([, value]) => isPicture(value));
  return [
    ...(pictures ? ["import base64"] : []),
    "import json",
    "import urllib.request",
    ...(pictures ? ["from pathlib import Path"] : []),
    "",
    "row = {",
    ...row.map(([name, value]) => `    ${quoted(name)}: ${scalar(value, PYTHON_WORDS, pythonPicture)},`),
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
};
