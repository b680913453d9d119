/* What lies in the model store, and the way in for more. */

import { Problem } from "../api.js";
import { upload } from "./api.js";
import { button, byId, copyOf, keyed, put, size, slot } from "./dom.js";
import { tell } from "./outcomes.js";

const input = byId("archive");
const progress = byId("upload-progress");

/** Show the archives, with the versions that they are registered as (from the models). */
export function showArchives(archives, models, act) {
  const registered = new Map();
  for (const { name, versions } of models) {
    for (const { archive, version } of versions) registered.set(archive, `${name} ${version}`);
  }
  const taken = new Set(registered.values());
  keyed(byId("archives"), archives, ({ name }) => name, () => makeRow(act), (row, archive) => {
    row.archive = archive;
    showRow(row, archive, registered.get(archive.name), taken);
  });
}

function makeRow(act) {
  const row = copyOf("archive-template");
  button(row, "register").addEventListener("click", () => act(row.archive));
  return row;
}

function showRow(row, archive, registered, taken) {
  const { name, model, version, size_bytes, ours, card, problem } = archive;
  const own = `${model} ${version}`;
  const about = problem ? [problem] : [own, ...(card?.encoder ? [String(card.encoder)] : []), ...(ours ? [] : ["not one of Captionize's"])];
  put(slot(row, "name"), name);
  put(slot(row, "about"), [...about, size(size_bytes)].join(" · "));
  const badge = slot(row, "registered");
  badge.hidden = !registered && !taken.has(own);
  put(badge, registered ? "Registered" : `${own} is registered`);
  const register = button(row, "register");
  register.hidden = !badge.hidden || Boolean(problem);
  register.setAttribute("aria-label", `Register ${name}`);
}

/** Take archives from the button; `done` is called after each. */
export function takeUploads(done) {
  const label = slot(progress, "text");
  const bar = byId("upload-bar");
  input.addEventListener("change", async () => {
    const [file] = input.files;
    input.value = ""; // so that the same file can be chosen again
    if (!file) return;
    if (file.size > Number(input.dataset.maxBytes)) {
      tell(`${file.name} has ${size(file.size)}, which is more than may be uploaded. Copy it into the model store by other means.`, "failed");
      return;
    }
    const stop = new AbortController();
    button(progress, "stop").onclick = () => stop.abort();
    progress.hidden = false;
    input.disabled = true;
    try {
      const archive = await upload(file, (percent) => {
        bar.value = percent;
        put(label, percent < 100 ? `Uploading ${file.name}: ${Math.floor(percent)}%` : `Checking ${file.name}…`);
      }, stop.signal);
      tell(`${archive.name} (${archive.model} ${archive.version}) is in the model store and can be registered.`);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      tell(error.message, stop.signal.aborted ? "done" : "failed");
    } finally {
      progress.hidden = true;
      input.disabled = false;
      input.focus();
      done();
    }
  });
}
