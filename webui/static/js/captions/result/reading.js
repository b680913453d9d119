/* The caption of a picture as it is read, and where the model looked for each of its words. */

import { copyOf, fill, slot } from "../../web/dom.js";
import { percent } from "../../web/format.js";
import { isEdited, original } from "../item.js";
import { isDoubtful } from "../trust.js";
import { editedPieces, marked } from "../words.js";

/**
 * Show the caption of an item in `view` (a filled "result" template): a text, whose words a pointer can
 * touch, and for who wants them a list of the words, each of them a button.
 *
 * `explain(item)` promises the answer of /explanations; it is asked for when a word is first wanted.
 */
export class Reading {
  constructor(view, item, explain) {
    this.view = view;
    this.item = item;
    this.explain = explain;
    this.line = slot(view, "caption");
    this.list = slot(view, "words");
    this.pinned = null; // the index of the word that was tapped
    this.wanted = null; // that of the word which is shown, or will be once it is known where it looked
    this.list.addEventListener("keydown", (event) => this.#key(event));
    this.show();
  }

  show() {
    this.pinned = null;
    this.look(null);
    const { words } = original(this.item);
    const edited = isEdited(this.item);
    const parts = editedPieces(this.item.text, original(this.item));
    this.line.replaceChildren(...parts.map(([text, index]) => (
      index === null ? text : this.#touched(marked(text, !edited && isDoubtful(this.item.answer, words[index]), {
        title: edited ? undefined : `${percent(words[index].probability)} sure`,
      }), index)
    )));
    this.list.replaceChildren(...words.map((word, index) => this.#row(word, index)));
  }

  #row({ word, probability }, index) {
    const row = copyOf("word-row");
    const name = slot(row, "word");
    fill(row, "word", word);
    fill(row, "percent", percent(probability));
    row.querySelector("rect").setAttribute("width", probability * 100);
    name.disabled = false;
    name.ariaPressed = "false";
    name.tabIndex = index ? -1 : 0; // one stop for all words; arrow keys go from one to the next
    this.#touched(name, index);
    name.addEventListener("focus", () => { if (name.matches(":focus-visible")) this.look(index); });
    name.addEventListener("blur", () => this.look(this.pinned));
    return row;
  }

  /** Have a pointer on an element show where its word looked. */
  #touched(element, index) {
    element.dataset.index = index;
    element.addEventListener("pointerenter", ({ pointerType }) => {
      if (pointerType === "mouse") this.look(index);
    });
    element.addEventListener("pointerleave", () => this.look(this.pinned));
    element.addEventListener("click", () => this.#pin(index));
    return element;
  }

  #pin(index) {
    this.pinned = this.pinned === index ? null : index;
    for (const word of this.list.querySelectorAll("button")) {
      word.ariaPressed = String(Number(word.dataset.index) === this.pinned);
    }
    this.look(this.pinned);
  }

  #key(event) {
    const words = [...this.list.querySelectorAll("button")];
    const at = words.indexOf(event.target);
    const to = {
      ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: words.length - 1,
    }[event.key];
    if (at < 0 || (to === undefined && event.key !== "Escape")) return;
    event.preventDefault();
    if (event.key === "Escape") this.#pin(this.pinned);
    if (!words[to]) return;
    words[at].tabIndex = -1;
    words[to].tabIndex = 0;
    words[to].focus();
  }

  /** Show where the word of this index looked; null takes the map away. */
  async look(index) {
    this.wanted = index;
    const canvas = slot(this.view, "heat");
    for (const word of this.view.querySelectorAll("[data-index]")) {
      word.classList.toggle("looking", Number(word.dataset.index) === index);
    }
    if (index === null) {
      canvas.hidden = true;
      fill(this.view, "looked", "");
      return;
    }
    const { word, probability } = original(this.item).words[index];
    const slow = setTimeout(() => {
      if (this.wanted === index) fill(this.view, "looked", `Finding where the model looked for “${word}”…`);
    }, 150);
    try {
      const grid = this.#grid(await this.explain(this.item), index);
      const { paint } = await import("./attention.js"); // the first page is lighter without
      if (this.wanted !== index) return;
      const { naturalWidth: width, naturalHeight: height } = slot(this.view, "picture");
      paint(canvas, grid, width ? { width, height } : this.item.answer.image);
      canvas.hidden = false;
      const sure = isEdited(this.item) ? "" : `, ${percent(probability)} sure`;
      fill(this.view, "looked", `Where the model looked for “${word}”${sure}`);
    } catch (problem) {
      if (this.wanted !== index) return;
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
