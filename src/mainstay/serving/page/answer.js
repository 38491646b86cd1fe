// The answer: its value, its probabilities, and where a threshold would turn it.

import { byId, make, shown } from "./dom.js";
import { outputView, summary } from "./outputs.js";

const MOST_BARS = 12;
const percent = (share) => (share > 0 && share < 0.0005 ? "< 0.1 %" : share < 1 && share > 0.9995 ? "> 99.9 %" : `${(share * 100).toFixed(1)} %`);
const label = (value) => String(value);

/** The index of the label that a threshold gives, by the rule of the server: positive from the threshold on. */
export const decided = (probabilities, { positive, threshold }) =>
  probabilities[positive] >= threshold ? positive : 1 - positive;

export class AnswerPanel {
  #signature = null;
  #stored = null;
  #chosen = null;
  #prediction;
  #probabilities = null;
  #bars = [];

  constructor() {
    byId("threshold").addEventListener("input", (event) => this.#choose(Number(event.target.value)));
    byId("threshold-reset").addEventListener("click", () => {
      this.#choose(null);
      byId("threshold").focus();
    });
  }

  /** Shows answers of this model from now on; `decision` is its stored rule, or null. */
  of(signature, decision) {
    this.#signature = signature;
    this.#stored = signature.task === "binary" ? decision : null;
    this.#probabilities = null;
    this.#prediction = undefined;
    byId("target").textContent = signature.target;
    byId("scores-card").hidden = true;
    byId("threshold-card").hidden = true;
    byId("outputs-card").hidden = true;
    this.#choose(null);
  }

  /** One row of a reply: its prediction, and its probabilities in the order of the labels (or null). */
  show(prediction, probabilities) {
    this.#prediction = prediction;
    this.#probabilities = probabilities;
    document.body.classList.remove("stale");
    this.#drawBars();
    this.#draw();
  }

  /** The values on the form have no answer: the last one is dimmed, not taken for theirs. */
  stale(message) {
    document.body.classList.add("stale");
    byId("under").textContent = message;
  }

  /** There is nothing to ask yet: an answer of before would be of other values. */
  waiting(message) {
    document.body.classList.remove("stale");
    this.#probabilities = null;
    this.#prediction = undefined;
    for (const id of ["scores-card", "threshold-card", "outputs-card"]) byId(id).hidden = true;
    byId("value").textContent = "…";
    byId("value").title = "";
    byId("under").textContent = message;
  }

  get #rule() {
    const stored = this.#stored ?? { positive: 1, threshold: 0.5 };
    return { positive: stored.positive, threshold: this.#chosen ?? stored.threshold };
  }

  #choose(threshold) {
    this.#chosen = threshold;
    const { threshold: at } = this.#rule;
    if (threshold === null) byId("threshold").value = at;
    byId("threshold-shown").textContent = shown(Number(at.toFixed(4)));
    byId("threshold-reset").hidden = threshold === null;
    // Where the middle of the 20 px thumb would stand.
    byId("mark").style.left = `calc(10px + (100% - 20px) * ${this.#stored?.threshold ?? 0.5})`;
    if (this.#probabilities) this.#draw();
  }

  #draw() {
    const value = byId("value");
    const under = byId("under");
    const probabilities = this.#probabilities;
    if (this.#signature.task === "general") {
      const { outputs } = this.#signature;
      value.textContent = summary(outputs, this.#prediction);
      value.title = "";
      under.textContent = "";
      byId("outputs-card").hidden = false;
      byId("outputs").replaceChildren(...outputs.map((output) => outputView(output, this.#prediction[output.name])));
      return;
    }
    if (!probabilities) {
      value.textContent = typeof this.#prediction === "number" ? shown(this.#prediction) : label(this.#prediction);
      value.title = String(this.#prediction);
      under.textContent = "";
      return;
    }
    const { labels, task } = this.#signature;
    const served = labels.findIndex((candidate) => candidate === this.#prediction);
    const own = this.#chosen !== null;
    const index = own ? decided(probabilities, this.#rule) : served;
    value.textContent = label(own ? labels[index] : this.#prediction);
    value.title = "";
    under.textContent = own
      ? index === served ? "at your threshold, and as served" : `at your threshold; the server answers “${label(this.#prediction)}”`
      : index >= 0 ? `with a probability of ${percent(probabilities[index])}` : "";
    value.classList.toggle("own", own && index !== served);
    this.#bars.forEach(({ element, index: bar }) => element.classList.toggle("chosen", bar === index));
    byId("threshold-card").hidden = task !== "binary";
    if (task === "binary") this.#say(index, served);
  }

  #say(index, served) {
    const { labels } = this.#signature;
    const { positive, threshold } = this.#rule;
    const from = `“${label(labels[positive])}” from a probability of ${shown(Number(threshold.toFixed(4)))} on. `;
    const stored = this.#stored
      ? `The model’s own threshold is ${shown(this.#stored.threshold)}`
      : "The model has no threshold of its own: it answers by its own rule";
    const change = this.#chosen === null
      ? "."
      : index === served
        ? "; yours does not change this answer."
        : `; yours changes this answer from “${label(labels[served] ?? this.#prediction)}” to “${label(labels[index])}”.`;
    byId("threshold-says").textContent = from + stored + change;
  }

  #drawBars() {
    const probabilities = this.#probabilities;
    byId("scores-card").hidden = !probabilities;
    if (!probabilities) return;
    const order = probabilities.map((share, index) => ({ share, index }));
    // Two or three classes keep their places as one types; many are ranked.
    if (order.length > 4) order.sort((a, b) => b.share - a.share || a.index - b.index);
    const shownOnes = order.slice(0, MOST_BARS);
    this.#bars = shownOnes.map(({ share, index }) => {
      const bar = make("div", { class: "fill" });
      bar.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
      const name = label(this.#signature.labels[index]);
      const element = make(
        "div",
        { class: "bar" },
        make("span", { class: "name", text: name, title: name }),
        make("span", { class: "share", text: percent(share), title: String(share) }),
        make("div", { class: "track", "aria-hidden": "true" }, bar),
      );
      return { element, index };
    });
    const rest = order.slice(MOST_BARS);
    const others = rest.length
      ? make("p", { class: "remark", text: `and ${rest.length} more, together ${percent(rest.reduce((sum, { share }) => sum + share, 0))}` })
      : null;
    byId("scores").replaceChildren(...this.#bars.map(({ element }) => element), ...(others ? [others] : []));
  }
}
