/* The pictures of the session as cards: one is chosen and shown large. */

import { copyOf, fill, showImage, slot } from "../web/dom.js";
import { isWithheld, level, said, showTrust } from "./trust.js";

const AT_ONCE = 25; // cards; more would hold up the page

const STATUS = {
  waiting: "Waiting",
  sending: "Reading…",
  failed: "Not captioned",
  cancelled: "Cancelled",
};

/** What stands for an item where there is a line for it. */
export function line(item) {
  if (item.state !== "done") return STATUS[item.state];
  if (item.decorative) return "No text: decorative";
  return isWithheld(item) ? "No caption" : said(item);
}

/** A listbox over items; `select(item)` is called for the one to show, `remove(item)` for the Delete key. */
export class List {
  constructor(box, filter, { select, remove }) {
    this.box = box;
    this.filter = filter;
    this.cards = new Map(); // item -> its card, which has it as `item`
    this.select = select;
    filter.addEventListener("change", () => this.#arrange());
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
    const cards = items.slice(0, AT_ONCE).map((item) => {
      const card = copyOf("card");
      card.item = item;
      fill(card, "name", item.name);
      this.cards.set(item, card);
      this.update(item);
      return card;
    });
    this.box.append(...cards);
    const rest = items.slice(AT_ONCE);
    if (rest.length) setTimeout(() => this.add(rest.filter((item) => this.filter.queue.items.includes(item))));
  }

  /** Bring an item's card up to date with it. */
  update(item) {
    const card = this.cards.get(item);
    if (!card) return;
    card.dataset.state = item.state;
    card.hidden = !this.filter.has(item);
    fill(card, "line", line(item));
    showTrust(slot(card, "trust"), item.state === "done" ? level(item) : null);
    if (item.thumbnail && !card.dataset.shown) {
      card.dataset.shown = "true";
      showImage(slot(card, "thumbnail"), item.thumbnail);
    }
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

  /** Show what the filter lists, in its order. */
  #arrange() {
    const listed = this.filter.items.map((item) => this.cards.get(item)).filter(Boolean);
    for (const [item, card] of this.cards) card.hidden = !this.filter.has(item);
    const shown = [...this.box.children].filter((card) => !card.hidden);
    if (listed.some((card, at) => card !== shown[at])) this.box.append(...listed);
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
    const { items } = this.filter;
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
