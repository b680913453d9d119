/* What this browser remembers: options and history. None of it reaches the server. */

const OPTIONS = "captionize.options";
const HISTORY = "captionize.history";
const MOST = 60; // entries; each with a thumbnail of a few kilobytes

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

/** The earlier captions, newest first; dispatches "change". */
export class History extends EventTarget {
  constructor() {
    super();
    const known = read(HISTORY, []);
    this.entries = Array.isArray(known) ? known.filter((entry) => typeof entry?.text === "string") : [];
    addEventListener("pagehide", () => this.#save());
  }

  /** Record a picture's caption, or what it was edited to. */
  note({ id, name, text, thumbnail }) {
    const at = this.entries.findIndex((entry) => entry.id === id);
    const entry = { id, name, text, thumbnail };
    if (at < 0) this.entries.unshift(entry);
    else this.entries[at] = entry;
    this.entries.length = Math.min(this.entries.length, MOST);
    this.#changed();
  }

  clear() {
    this.entries = [];
    this.#changed();
    this.#save();
  }

  /** Writing is slow with many pictures, so it is done once for all that come together. */
  #changed() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#save(), 300);
    this.dispatchEvent(new Event("change"));
  }

  #save() {
    clearTimeout(this.timer);
    if (this.timer) write(HISTORY, this.entries);
  }
}

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
  } catch { /* private windows and full stores: the page works without */ }
}
