/* The caption as it is edited: the field, undo, the way back, and advice on alternative texts. */

import { advice } from "./alttext.js";
import { announce, fill, on, slot } from "../../web/dom.js";
import { isEdited, revert, undo, write } from "../item.js";
import { level, said } from "../trust.js";

/** Wire the editing of `item` in `view`; `changed()` is called when its text changes. */
export class Editor {
  constructor(view, item, changed) {
    this.view = view;
    this.item = item;
    this.changed = changed;
    this.field = slot(view, "field");
    this.button = on(view, "edit", () => (this.open ? this.close() : this.#begin()));
    this.undoButton = on(view, "undo", () => this.#step(undo, "Undone."));
    this.revertButton = on(view, "revert", () => this.#step(revert, "Back to the model's caption."));
    this.field.addEventListener("input", () => this.#grow());
    this.field.addEventListener("input", () => this.#advise(this.field.value, true));
    this.field.addEventListener("blur", () => this.#take());
    this.field.addEventListener("keydown", (event) => this.#key(event));
    this.refresh();
  }

  get open() {
    return !this.field.hidden;
  }

  /** Bring buttons, mark and advice up to date with the item. */
  refresh() {
    slot(this.view, "edited").hidden = !isEdited(this.item);
    this.undoButton.hidden = !this.item.past.length;
    this.revertButton.hidden = !isEdited(this.item);
    this.#advise(said(this.item), ["right", "checked"].includes(level(this.item)));
  }

  #begin() {
    this.field.value = said(this.item);
    this.#swap(true);
    this.#grow();
    this.field.focus();
    this.field.setSelectionRange(this.field.value.length, this.field.value.length);
  }

  /** Back to the words, keeping what was written. */
  close() {
    this.#take();
    this.#swap(false);
    this.button.focus();
  }

  #swap(editing) {
    this.field.hidden = !editing;
    slot(this.view, "caption").hidden = editing;
    this.button.textContent = editing ? "Done" : "Edit";
  }

  /** One step of undo for each visit of the field; within it the browser has its own. */
  #take() {
    const text = this.field.value.replace(/\s+/g, " ").trim();
    if (!this.open || text === said(this.item)) return;
    write(this.item, text);
    this.changed();
  }

  #step(step, spoken) {
    step(this.item);
    this.field.value = this.item.text;
    this.changed();
    announce(`${spoken} ${this.item.text}`);
    // A button that has just hidden itself must not take the focus with it.
    if (document.activeElement === document.body) this.button.focus();
  }

  #key(event) {
    if (event.key === "Escape") this.field.value = said(this.item);
    if (event.key !== "Escape" && event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation();
    this.close();
  }

  #advise(text, trusted) {
    const { good, text: line } = advice(text, trusted);
    slot(this.view, "advice").dataset.good = good;
    fill(this.view, "advice", line);
  }

  #grow() {
    this.field.style.height = "auto";
    this.field.style.height = `${this.field.scrollHeight + 2}px`;
  }
}
