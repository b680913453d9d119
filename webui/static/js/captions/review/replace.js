/* Find and replace over the captions that are listed. */

import { announce, fill, slot } from "../../web/dom.js";
import { count } from "../../web/format.js";
import { isWithheld, said } from "../trust.js";
import { replace, undo } from "../item.js";

/** Wire the form; `changed(item)` is called after each change, `undoable(text, back)` once for all. */
export function wireReplace(form, filter, { changed, undoable }) {
  const { find, by } = form.elements;
  const pattern = () => new RegExp(find.value.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "gi");
  const found = () => (find.value ? filter.items.filter((item) => (
    item.state === "done" && !item.decorative && !isWithheld(item) && pattern().test(said(item))
  )) : []);
  const tell = () => fill(form, "found", find.value ? `In ${count(found().length, "caption")}` : "");
  form.addEventListener("input", tell);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const items = found();
    for (const item of items) {
      replace(item, said(item).replace(pattern(), () => by.value));
      changed(item);
    }
    tell();
    if (!items.length) {
      announce("Not found.");
      return;
    }
    undoable(`Replaced in ${count(items.length, "caption")}.`, () => {
      for (const item of items) {
        undo(item);
        changed(item);
      }
    });
  });
  slot(form, "found").textContent = "";
}
