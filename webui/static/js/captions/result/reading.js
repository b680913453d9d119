/* The caption of a picture as it is read: shaded words, each of which can show where it looked. */

import { fill, slot } from "../../web/dom.js";
import { percent } from "../../web/format.js";
import { original } from "../item.js";
import { editedPieces, shaded } from "../words.js";
import { paint } from "./attention.js";

/**
 * Show the words of an item's caption in `view` (a filled "result" template).
 *
 * `explain(item)` promises the answer of /explanations; it is asked for when a word is first wanted.
 */
export class Reading {
  constructor(view, item, explain) {
    this.view = view;
    this.item = item;
    this.explain = explain;
    this.line = slot(view, "caption");
    this.line.classList.add("live"); // a ::first-letter would leave a word of one letter without a box
    this.pinned = null; // the word that was tapped
    this.wanted = null; // the word that is shown, or will be once it is known where it looked
    this.line.addEventListener("keydown", (event) => this.#key(event));
    this.show();
  }

  show() {
    this.pinned = null;
    this.look(null);
    const words = original(this.item).words;
    const parts = editedPieces(this.item.text, original(this.item));
    this.line.replaceChildren(...parts.map(([text, index]) => (
      index === null ? text : this.#word(text, index, words[index])
    )));
    const first = this.line.querySelector(".word");
    if (first) first.tabIndex = 0;
    first?.classList.toggle("first", first === this.line.firstChild);
  }

  #word(text, index, { probability }) {
    const span = shaded(text, probability, {
      title: `${percent(probability)} sure`,
      role: "button",
      tabIndex: -1, // one stop for the whole caption; arrow keys go from word to word
      ariaPressed: "false",
      "data-index": index,
    });
    span.addEventListener("pointerenter", ({ pointerType }) => {
      if (pointerType === "mouse") this.look(span);
    });
    span.addEventListener("pointerleave", () => this.look(this.pinned));
    span.addEventListener("focus", () => { if (span.matches(":focus-visible")) this.look(span); });
    span.addEventListener("blur", () => this.look(this.pinned));
    span.addEventListener("click", () => this.#pin(span));
    return span;
  }

  #pin(span) {
    this.pinned = this.pinned === span ? null : span;
    for (const word of this.line.querySelectorAll(".word")) word.ariaPressed = String(word === this.pinned);
    this.look(this.pinned);
  }

  #key(event) {
    const words = [...this.line.querySelectorAll(".word")];
    const at = words.indexOf(event.target);
    if (at < 0) return;
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: words.length - 1 }[event.key];
    if (event.key === "Enter" || event.key === " ") this.#pin(words[at]);
    else if (event.key === "Escape") this.#pin(this.pinned);
    else if (to === undefined) return;
    event.preventDefault();
    if (!words[to]) return;
    words[at].tabIndex = -1;
    words[to].tabIndex = 0;
    words[to].focus();
  }

  /** Show where a word looked; null takes the map away. */
  async look(span) {
    this.wanted = span;
    const canvas = slot(this.view, "heat");
    for (const word of this.line.querySelectorAll(".looking")) word.classList.remove("looking");
    if (!span) {
      canvas.hidden = true;
      fill(this.view, "looked", "");
      return;
    }
    span.classList.add("looking");
    const slow = setTimeout(() => {
      if (this.wanted === span) fill(this.view, "looked", `Finding where the model looked for “${span.textContent}”…`);
    }, 150);
    try {
      const grid = this.#grid(await this.explain(this.item), Number(span.dataset.index));
      if (this.wanted !== span) return;
      const { naturalWidth: width, naturalHeight: height } = slot(this.view, "picture");
      paint(canvas, grid, width ? { width, height } : this.item.answer.image);
      canvas.hidden = false;
      fill(this.view, "looked", `Where the model looked for “${span.textContent}”, ${span.title}`);
    } catch (problem) {
      if (this.wanted !== span) return;
      canvas.hidden = true;
      fill(this.view, "looked", `Where the model looked cannot be shown now. ${problem.message}`);
    } finally {
      clearTimeout(slow);
    }
  }

  /** The word's attention in an explanation, which may hold the captions in another order. */
  #grid(explanation, index) {
    const { caption } = original(this.item);
    const same = explanation.captions.find((one) => one.caption === caption);
    if (!same) throw new Error("The model has changed. Caption the picture again.");
    return same.words[index].attention;
  }
}
