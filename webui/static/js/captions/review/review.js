/* The review: all captions in a grid or a table, checked by keyboard, pointer or touch. */

import { announce, keyed, slot } from "../../web/dom.js";
import { ask, choose, decorate, write } from "../item.js";
import { isToCheck, isWithheld, level, named, said } from "../trust.js";
import { edit, makeTile, offer, updateTile } from "./tile.js";

const AT_ONCE = 25; // new tiles; more would hold up the page

/**
 * Tiles of the items that the filter lists. `changed(item)` is called after each change, `remove(item)` and
 * `look(item)` for those to take away and to show large, `finished()` when nothing is left to check.
 */
export class Review {
  constructor(box, filter, { changed, remove, look, finished }) {
    this.box = box;
    this.filter = filter;
    this.act = { changed, remove, look, finished };
    this.current = null; // the item whose tile can be reached with Tab
    this.tiles = new Map();
    filter.addEventListener("change", () => this.show());
    box.addEventListener("keydown", (event) => this.#key(event));
    box.addEventListener("focusin", ({ target }) => this.#reach(target.closest(".tile")?.item));
    box.addEventListener("focusout", ({ target }) => { if (target.matches(".field")) this.#leave(target); });
  }

  get open() {
    return !this.box.hidden;
  }

  /** Draw all tiles, where the review is open; where many are new, some at a time. */
  show() {
    clearTimeout(this.rest);
    if (!this.open) return;
    const make = (item) => {
      const tile = makeTile(item, (...what) => this.#do(...what));
      this.tiles.set(item, tile);
      return tile;
    };
    const focused = this.box.contains(document.activeElement);
    const { items } = this.filter;
    let made = 0;
    const now = items.filter((item) => this.#tile(item) || (made += 1) <= AT_ONCE);
    keyed(this.box, now, ({ id }) => id, make, updateTile);
    if (now.length < items.length) this.rest = setTimeout(() => this.show());
    if (!this.filter.has(this.current)) this.current = null;
    this.#reach(this.current ?? items[0]);
    // A tile that moves loses the focus.
    if (focused && !this.box.contains(document.activeElement)) this.go(this.current);
  }

  /** Bring an item's tile up to date. */
  update(item) {
    const tile = this.#tile(item);
    if (!this.open || !tile) return;
    updateTile(tile, item);
    if (item === this.current) offer(tile, item);
  }

  /** Go to an item, or to the first one to check. */
  go(item = this.filter.items.find(isToCheck) ?? this.filter.items[0]) {
    const tile = item && this.#tile(item);
    if (tile) slot(tile, "line").focus();
  }

  /** Go on after an item that is about to be removed. */
  skip(item) {
    const { items } = this.filter;
    const at = items.indexOf(item);
    this.go(items[at + 1] ?? items[at - 1]);
  }

  #tile(item) {
    const tile = this.tiles.get(item);
    return tile?.isConnected ? tile : null;
  }

  #reach(item) {
    if (!item) return;
    if (this.current !== item) {
      const before = this.#tile(this.current);
      if (before) {
        slot(before, "line").tabIndex = -1;
        delete before.dataset.current;
        offer(before, null);
      }
    }
    const tile = this.#tile(item);
    this.current = item;
    if (!tile) return; // it is still to be drawn
    slot(tile, "line").tabIndex = 0;
    if ("current" in tile.dataset) return;
    tile.dataset.current = "";
    offer(tile, item);
  }

  #key(event) {
    const tile = event.target.closest(".tile");
    if (!tile || event.ctrlKey || event.metaKey || event.altKey) return;
    const { item } = tile;
    if (event.target.matches(".field")) {
      if (event.key === "Enter") this.#keep(tile, event.target.value);
      else if (event.key === "Escape") this.#close(tile);
      else return;
      event.preventDefault();
      event.stopPropagation();
      return;
    }
    const number = Number(event.key) - 1;
    const name = { d: "decorate", g: "ask", Delete: "remove" }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (name) this.#do(item, name);
    else if (number >= 0 && number < 3) this.#do(item, "take", number);
    else if (!this.#move(item, event.key)) return;
    event.preventDefault();
  }

  #move(item, key) {
    const { items } = this.filter;
    const at = items.indexOf(item);
    const row = getComputedStyle(this.box).gridTemplateColumns.split(" ").length;
    const to = {
      j: at + 1, ArrowRight: at + 1, k: at - 1, ArrowLeft: at - 1, ArrowDown: at + row, ArrowUp: at - row,
      Home: 0, End: items.length - 1,
    }[key.length === 1 ? key.toLowerCase() : key];
    if (to === undefined) return false;
    if (items[to]) this.go(items[to]);
    return true;
  }

  #do(item, action, number) {
    if (action === "look" || action === "remove") this.act[action](item);
    if (item.state !== "done") return;
    if (action === "edit") edit(this.#tile(item), true);
    else if (action === "keep") this.#settle(item, () => write(item, item.text));
    else if (action === "ask" && isWithheld(item)) this.#change(item, () => ask(item), `The guess: ${item.text}`);
    else if (action === "decorate") {
      if (item.decorative) this.#change(item, () => decorate(item, false), "Not decorative any more.");
      else this.#settle(item, () => decorate(item, true));
    } else if (action === "take" && item.answer.captions[number] && !isWithheld(item)) {
      this.#settle(item, () => choose(item, number));
    }
  }

  #change(item, make, spoken) {
    make();
    this.act.changed(item);
    announce(spoken);
  }

  /** A picture is done with: on to the next one to check. */
  #settle(item, make) {
    const open = isToCheck(item);
    make();
    this.act.changed(item);
    const now = said(item) || named(level(item));
    if (!open) {
      announce(`${now}.`);
      this.go(item);
      return;
    }
    const { items } = this.filter;
    const at = items.indexOf(item);
    const next = [...items.slice(at + 1), ...items.slice(0, at)].find(isToCheck);
    announce(`Kept: ${now}.`);
    if (next) this.go(next);
    else this.act.finished();
  }

  #keep(tile, value) {
    const text = value.replace(/\s+/g, " ").trim();
    if (!text) {
      announce(slot(tile, "advice").textContent);
      return;
    }
    edit(tile, false);
    this.#settle(tile.item, () => write(tile.item, text));
  }

  #close(tile) {
    edit(tile, false);
    slot(tile, "line").focus();
  }

  /** What was written is kept when the field is left by other ways. */
  #leave(field) {
    const tile = field.closest(".tile");
    const text = field.value.replace(/\s+/g, " ").trim();
    if (field.hidden) return;
    edit(tile, false);
    if (!text || text === said(tile.item)) return;
    write(tile.item, text);
    this.act.changed(tile.item);
  }
}
