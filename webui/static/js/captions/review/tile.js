/* One picture in the review: its caption, which can be edited where it stands, and what else can be done with it. */

import { button, copyOf, fill, h, showImage, slot } from "../../web/dom.js";
import { original } from "../item.js";
import { line } from "../list.js";
import { advice } from "../result/alttext.js";
import { isWithheld, level, named, said, showTrust } from "../trust.js";
import { differences, sentence } from "../words.js";

/** A tile for an item, to which `act` brings what is clicked: act(item, name, number of an alternative). */
export function makeTile(item, act) {
  const tile = copyOf("tile");
  tile.item = item;
  fill(tile, "name", item.name);
  tile.addEventListener("click", ({ target }) => {
    const { action, number } = target.closest("[data-action]")?.dataset ?? {};
    if (action) act(item, action, Number(number));
  });
  return tile;
}

/** Bring a tile up to date with its item. */
export function updateTile(tile, item) {
  const done = item.state === "done";
  const now = done ? level(item) : null;
  tile.dataset.state = item.state;
  tile.dataset.trust = now ?? "";
  showTrust(slot(tile, "trust"), now);
  const text = slot(tile, "line");
  fill(tile, "line", line(item));
  text.ariaDescription = [named(now), item.name].filter(Boolean).join(". ");
  if (item.thumbnail && !tile.dataset.shown) {
    tile.dataset.shown = "true";
    showImage(slot(tile, "thumbnail"), item.thumbnail);
  }
  for (const name of ["keep", "decorate"]) button(tile, name).hidden = !done;
  button(tile, "keep").hidden ||= item.checked || isWithheld(item);
  button(tile, "ask").hidden = !done || !isWithheld(item);
  button(tile, "decorate").ariaPressed = String(item.decorative);
}

/** Offer the other captions, with the words in which they differ marked; an item of null takes them away. */
export function offer(tile, item) {
  const choices = slot(tile, "choices");
  const others = item?.state === "done" && !isWithheld(item) && !item.decorative ? item.answer.captions : [];
  choices.replaceChildren(...others.flatMap(({ caption }, index) => {
    if (index === item.chosen && item.text === sentence(original(item).caption)) return [];
    return [h("li", {}, h("button", {
      type: "button", tabIndex: -1, "data-action": "take", "data-number": index,
    }, h("kbd", {}, String(index + 1)), h("span", {}, ...marks(caption, item.text))))];
  }));
}

/** A caption with the words marked that another text lacks. */
export const marks = (caption, text) => (
  differences(sentence(caption), text).map(([part, differs]) => (differs ? h("mark", {}, part) : part))
);

/** Open or close the field of a tile; it is made for that. */
export function edit(tile, open) {
  const line = slot(tile, "line");
  line.hidden = open;
  slot(tile, "advice").hidden = !open;
  if (!open) {
    const field = slot(tile, "field");
    field.hidden = true; // it is left already when its removal takes the focus from it
    field.remove();
    return;
  }
  const field = copyOf("tile-field");
  field.value = said(tile.item);
  field.ariaLabel = `Caption of ${tile.item.name}. Enter keeps it and goes on, Escape leaves it.`;
  field.addEventListener("input", () => size(tile));
  line.after(field);
  size(tile);
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
}

function size(tile) {
  const field = slot(tile, "field");
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight + 2}px`;
  const { good, text } = advice(field.value);
  fill(tile, "advice", text);
  slot(tile, "advice").dataset.good = good;
}
