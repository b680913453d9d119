/* Small helpers of this page, beside those of all. */

export { copyOf, slot } from "../dom.js";

export const byId = (id) => document.getElementById(id);
export const button = (root, name) => root.querySelector(`[data-action="${name}"]`);

/** Set text only where it differs: what is unchanged is neither drawn nor announced again. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Bring the children of `parent` in line with `items`: one for each, known by its key, kept where it
 * was there before, so that focus and open folds stay.
 */
export function keyed(parent, items, key, make, update) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const now = items.map((item) => {
    const name = key(item);
    const child = before.get(name) ?? make(item);
    child.dataset.key = name;
    update(child, item);
    return child;
  });
  const same = now.length === parent.children.length && now.every((child, i) => child === parent.children[i]);
  if (!same) parent.replaceChildren(...now);
}

/** Bytes as kB, MB or GB, as people say them. */
export function size(bytes) {
  if (bytes < 2 ** 20) return `${Math.ceil(bytes / 1024)} kB`;
  const mega = bytes / 2 ** 20;
  return mega >= 1000 ? `${(mega / 1024).toFixed(1)} GB` : `${mega.toFixed(mega < 10 ? 1 : 0)} MB`;
}

/** A time of the server's in the reader's own time zone. */
export const when = (time) =>
  new Date(time).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** "1 worker", "2 workers". */
export const count = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
