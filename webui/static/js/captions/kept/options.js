/* The options that this browser remembers. */

const OPTIONS = "captionize.options";

/** Keep a form's options from visit to visit. */
export function rememberOptions(fields) {
  const known = read(OPTIONS, {});
  for (const field of fields) {
    if (!field.value && typeof known[field.name] === "string") field.value = known[field.name];
    if (!field.checkValidity()) field.value = "";
    field.addEventListener("change", () => {
      if (!field.checkValidity()) return;
      write(OPTIONS, Object.fromEntries(fields.map(({ name, value }) => [name, value])));
    });
  }
}

export const forgetOptions = () => write(OPTIONS, {});

function read(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function write(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch { /* private windows: the page works without */ }
}
