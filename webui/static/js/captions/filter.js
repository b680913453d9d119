/* Which pictures are listed, and in which order: the same for every view of the session. */

import { tags } from "./item.js";
import { isToCheck, level, unsureFirst } from "./trust.js";

const SHOWN = {
  all: () => true,
  check: isToCheck,
  right: (item) => item.state === "done" && level(item) === "right",
  checked: (item) => item.state === "done" && ["checked", "decorative"].includes(level(item)),
};

/** Dispatches "change". What is checked meanwhile stays listed until the filter is set again. */
export class Filter extends EventTarget {
  constructor(queue) {
    super();
    this.queue = queue;
    this.tag = null; // that the pictures have; null: any
    this.show = "all"; // a key of SHOWN
    this.sort = "given"; // or "unsure"
    this.listed = new Set();
    this.items = [];
  }

  /** Change some of `tag`, `show` and `sort`. */
  set(change) {
    Object.assign(this, change);
    this.listed = new Set(this.queue.items.filter((item) => this.#fits(item)));
    this.#arrange();
  }

  /** List items that come all at once, before each of them is noted. */
  add(items) {
    for (const item of items) this.listed.add(item);
  }

  has(item) {
    return this.listed.has(item);
  }

  /** Look again at an item that has just come, or been captioned. */
  note(item) {
    const before = this.listed.has(item);
    const now = this.queue.items.includes(item) && this.#fits(item);
    if (now) this.listed.add(item);
    else this.listed.delete(item);
    if (before !== now) this.#arrange();
  }

  #fits(item) {
    const tagged = this.tag === null || tags(item).some(({ word }) => word === this.tag);
    return tagged && SHOWN[this.show](item);
  }

  #arrange() {
    this.items = this.queue.items.filter((item) => this.listed.has(item));
    if (this.sort === "unsure") {
      const done = this.items.filter(({ state }) => state === "done").sort(unsureFirst);
      this.items = [...done, ...this.items.filter(({ state }) => state !== "done")];
    }
    this.dispatchEvent(new Event("change"));
  }
}
