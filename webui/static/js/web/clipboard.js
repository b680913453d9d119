/* Copying, also where the page is not served over TLS. */

import { announce, h } from "./dom.js";

/** Copy text; false where the browser does not allow it. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** The old way: over plain HTTP there is no navigator.clipboard. */
function copyBySelection(text) {
  const before = document.activeElement;
  const field = h("textarea", { className: "unseen", value: text });
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  before?.focus();
  return copied;
}

/** Make a button copy what `text()` gives, and say so on itself and to screen readers. */
export function copies(button, text) {
  const label = button.textContent;
  let timer;
  button.addEventListener("click", async () => {
    const copied = await copy(text());
    button.textContent = copied ? "Copied" : "Not allowed";
    announce(copied ? `${label}: copied.` : "The browser did not allow copying. Select the text instead.");
    clearTimeout(timer);
    timer = setTimeout(() => { button.textContent = label; }, 2000);
  });
}
