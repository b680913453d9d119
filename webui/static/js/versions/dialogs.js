/* Dialogs that ask before something is done. */

import { button, byId, put, slot } from "./dom.js";

/**
 * Show a dialog and wait: the values of its fields, or null when it was left.
 * `values` fills its fields first.
 */
export function ask(name, { title, text, confirm, values = {} }) {
  const dialog = byId(`${name}-dialog`);
  const form = dialog.querySelector("form");
  put(slot(dialog, "title"), title);
  put(slot(dialog, "text"), text);
  if (confirm) put(slot(dialog, "confirm"), confirm);
  form.reset();
  for (const [field, value] of Object.entries(values)) form.elements[field].value = value;
  button(dialog, "cancel").onclick = () => dialog.close("");
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener(
      "close",
      () => resolve(dialog.returnValue === "yes" ? Object.fromEntries(new FormData(form)) : null),
      { once: true },
    );
  });
}
