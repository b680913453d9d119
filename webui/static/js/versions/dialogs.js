/* Dialogs that ask before something is done. */

import { button, byId, fill } from "../web/dom.js";

/**
 * Show a dialog and wait: the values of its fields, or null when it was dismissed.
 * `values` fills its fields first.
 */
export function confirmed(name, title, text, values = {}) {
  const dialog = byId(`${name}-dialog`);
  const form = dialog.querySelector("form");
  fill(dialog, "title", title);
  fill(dialog, "text", text);
  form.reset();
  for (const [field, value] of Object.entries(values)) form.elements[field].value = value;
  button(dialog, "cancel").onclick = () => dialog.close();
  dialog.showModal();
  return new Promise((resolve) => {
    form.onsubmit = () => resolve(Object.fromEntries(new FormData(form)));
    // The event comes a frame late: by then the next question may be open, and is not the one dismissed.
    dialog.onclose = () => {
      if (!dialog.open) resolve(null);
    };
  });
}
