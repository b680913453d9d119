/* Copying, also where the page is not served over TLS. */

/** Copy text; false where the browser lets nobody do so. */
export async function copy(text) {
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
  const field = document.createElement("textarea");
  field.className = "unseen";
  field.value = text;
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  before?.focus();
  return copied;
}

/** Make a button copy what `text()` gives, and say so on itself and through `say`. */
export function copies(button, text, say) {
  const label = button.textContent;
  let timer;
  button.addEventListener("click", async () => {
    const copied = await copy(text());
    button.textContent = copied ? "Copied" : "Not allowed";
    say(copied ? `${label}: copied.` : "The browser did not allow copying. Select the text instead.");
    clearTimeout(timer);
    timer = setTimeout(() => { button.textContent = label; }, 2000);
  });
}
