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
  button(dialog, "cancel").onclick = () => dialog.close();
  dialog.showModal();
  return new Promise((resolve) => {
    form.onsubmit = () => resolve(Object.fromEntries(new FormData(form)));
    // The event comes a frame late: by then the next question may be open, and is not what was left.
    dialog.onclose = () => {
      if (!dialog.open) resolve(null);
    };
  });
}
