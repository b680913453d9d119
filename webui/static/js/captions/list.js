/* The pictures of the session as cards: one is chosen and shown large. */

import { copyOf, fill, showImage, slot } from "../web/dom.js";
import { tags } from "./item.js";

const STATUS = {
  waiting: "Waiting",
  sending: "Reading…",
  failed: "Not captioned",
  cancelled: "Cancelled",
};

/** A listbox over items; `select(item)` is called for the one to show, `remove(item)` for the Delete key. */
export class List {
  constructor(box, { select, remove }) {
    this.box = box;
    this.cards = new Map(); // item -> its card, which has it as `item`
    this.select = select;
    this.tag = null; // that the pictures listed have; null: all are
    box.addEventListener("click", (event) => {
      const card = event.target.closest(".card");
      if (card) select(card.item);
    });
    box.addEventListener("keydown", (event) => {
      const card = event.target.closest(".card");
      if (card && event.key === "Delete") remove(card.item);
      else if (card) this.#move(event, card);
    });
  }

  add(items) {
    const cards = items.map((item) => {
      const card = copyOf("card");
      card.item = item;
      fill(card, "name", item.name);
      this.cards.set(item, card);
      this.update(item);
      return card;
    });
    this.box.append(...cards);
  }

  /** Bring an item's card up to date with it. */
  update(item) {
    const card = this.cards.get(item);
    if (!card) return;
    card.dataset.state = item.state;
    card.hidden = !this.#has(item);
    fill(card, "line", item.state === "done" ? item.text : STATUS[item.state]);
    if (item.thumbnail && !card.dataset.shown) {
      card.dataset.shown = "true";
      showImage(slot(card, "thumbnail"), item.thumbnail);
    }
  }

  /** The items that are listed. */
  get shown() {
    return [...this.cards.keys()].filter((item) => this.#has(item));
  }

  /** List only the pictures with this tag; null: all. */
  filter(tag) {
    this.tag = tag;
    for (const item of this.cards.keys()) this.update(item);
  }

  #has(item) {
    return this.tag === null || tags(item).some(({ word }) => word === this.tag);
  }

  /** Mark the item that is shown large. */
  choose(item) {
    const before = this.box.querySelector("[aria-selected=true]");
    if (before) {
      before.ariaSelected = "false";
      before.tabIndex = -1;
    }
    const card = this.cards.get(item);
    if (!card) return;
    card.ariaSelected = "true";
    card.tabIndex = 0;
    if (this.box.contains(document.activeElement)) card.focus();
    this.#reveal(card);
  }

  remove(item) {
    this.cards.get(item)?.remove();
    this.cards.delete(item);
  }

  /** Scroll the list, and nothing but the list, to a card. */
  #reveal(card) {
    const { box } = this;
    const seen = box.getBoundingClientRect();
    const at = card.getBoundingClientRect();
    box.scrollTop += Math.min(0, at.top - seen.top) || Math.max(0, at.bottom - seen.bottom);
    box.scrollLeft += Math.min(0, at.left - seen.left) || Math.max(0, at.right - seen.right);
  }

  #move(event, card) {
    const items = this.shown;
    const at = items.indexOf(card.item);
    const to = {
      ArrowDown: at + 1,
      ArrowRight: at + 1,
      ArrowUp: at - 1,
      ArrowLeft: at - 1,
      Home: 0,
      End: items.length - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (items[to]) this.select(items[to]);
  }
}
