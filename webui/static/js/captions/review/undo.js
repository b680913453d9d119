/* What was done last can be undone: a line with a button that covers nothing, and Ctrl+Z. */

import { announce, byId, fill, on } from "../../web/dom.js";

export class Undo {
  constructor(box) {
    this.box = box;
    this.steps = []; // {text, back}
    on(box, "undo-last", () => this.back());
    document.addEventListener("keydown", (event) => {
      const typing = event.target.closest?.("input, textarea");
      if (typing || !this.steps.length || event.key.toLowerCase() !== "z" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.back();
    });
  }

  /** Offer to take something back; `text` says what was done. */
  offer(text, back) {
    this.steps.push({ text, back });
    announce(`${text} It can be undone.`);
    this.#show();
  }

  async back() {
    const { back } = this.steps.pop();
    this.#show();
    await back();
    if (document.activeElement === document.body) byId("main").focus(); // the button is gone
    announce("Undone.");
  }

  forget() {
    this.steps = [];
    this.#show();
  }

  #show() {
    this.box.hidden = !this.steps.length;
    fill(this.box, "undone", this.steps.at(-1)?.text ?? "");
  }
}
