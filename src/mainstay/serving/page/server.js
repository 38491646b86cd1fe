// Talking to the server that this page came from, and to no other.

/** The address of the server as this page was reached, so that a prefix of a proxy is kept. */
export const ADDRESS = new URL(".", document.baseURI);
export const address = (path) => new URL(path, ADDRESS).href;
/** The path of a model, "credit", or of one of its versions, "credit:2". */
export const pathOf = (name) => `models/${name.split(":").map(encodeURIComponent).join("/versions/")}`;
export const predictAddress = (name) => address(`${pathOf(name)}/predict`);

/** The server said no; `column` is the field it named, or null. */
export class Refused extends Error {
  constructor(message, column, status) {
    super(message);
    this.column = column;
    this.status = status;
  }
}

export async function get(path) {
  return read(await reach(address(path), { headers: { accept: "application/json" } }));
}

/** Asks for answers in order: a reply that a later question has overtaken is dropped (resolves to null). */
export class Questions {
  #last = 0;
  #running = null;

  /** No question is open any more: a reply under way is dropped. */
  drop() {
    this.#last += 1;
    this.#running?.abort();
  }

  async ask(url, body) {
    const mine = (this.#last += 1);
    this.#running?.abort();
    this.#running = new AbortController();
    const { signal } = this.#running;
    try {
      const reply = await read(await reach(url, { method: "POST", headers: { "content-type": "application/json" }, body, signal }));
      return mine === this.#last ? reply : null;
    } catch (error) {
      if (mine !== this.#last) return null;
      throw error;
    }
  }
}

async function reach(url, options) {
  try {
    return await fetch(url, { cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The server does not answer. Is it still running?", null, 0);
  }
}

/** An integer that a double cannot hold stays the digits that the server wrote, where the browser tells them. */
const exactly = (_key, value, written) =>
  typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(written?.source ?? "") ? written.source : value;

async function read(response) {
  const text = await response.text();
  let document;
  try {
    document = JSON.parse(text, exactly);
  } catch (error) {
    throw new Refused(`The server answered ${response.status} with something that is no JSON.`, null, response.status);
  }
  if (response.ok) return document;
  const error = typeof document.error === "object" && document.error !== null ? document.error : document;
  const message = error.message ?? document.error ?? document.detail ?? `The server answered ${response.status}.`;
  throw new Refused(String(message), error.field ?? error.column ?? null, response.status);
}
