/* The archives in the model store, and the upload of another one. */

import { Problem } from "../web/api.js";
import { button, byId, copyOf, fill, keyed, on, put, slot } from "../web/dom.js";
import { size } from "../web/format.js";
import { upload } from "./api.js";
import { report } from "./outcomes.js";

const input = byId("archive");
const progress = byId("upload-progress");

/** Show the archives, with the versions that they are registered as; buttons call `act[action](archive)`. */
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
  for (const [action, then] of Object.entries(act)) on(row, action, () => then(row.archive));
  return row;
}

function showRow(row, archive, registered, taken) {
  const { name, model, version, size_bytes, ours, behind, card, problem } = archive;
  const own = `${model} ${version}`;
  const about = problem ? [problem] : [own, card?.encoder && String(card.encoder), !ours && "not made by Captionize", behind && "made by an older Captionize"];
  fill(row, "name", name);
  fill(row, "about", [...about, size(size_bytes)].filter(Boolean).join(" · "));
  const badge = slot(row, "registered");
  badge.hidden = !registered && !taken.has(own);
  put(badge, registered ? "Registered" : `${own} is registered`);
  const register = button(row, "register");
  register.hidden = !badge.hidden || Boolean(problem);
  register.ariaLabel = `Register ${name}`;
  const remove = button(row, "delete");
  remove.hidden = Boolean(registered);
  remove.ariaLabel = `Delete ${name}`;
}

/** Take archives from the button; `done` is called after each. */
export function takeUploads(done) {
  input.addEventListener("change", async () => {
    const [file] = input.files;
    input.value = ""; // so that the same file can be chosen again
    if (!file) return;
    if (file.size > Number(input.dataset.maxBytes)) {
      report(`${file.name} is ${size(file.size)}, more than can be uploaded. Copy it into the model store instead.`, "failed");
      return;
    }
    const stop = new AbortController();
    button(progress, "stop").onclick = () => stop.abort();
    progress.hidden = false;
    input.disabled = true;
    try {
      const archive = await upload(file, (percent) => showProgress(file, percent), stop.signal);
      report(`${archive.name} (${archive.model} ${archive.version}) is in the model store and can be registered.`);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      report(error.message, stop.signal.aborted ? "done" : "failed");
    } finally {
      progress.hidden = true;
      input.disabled = false;
      input.focus();
      done();
    }
  });
}

function showProgress({ name }, percent) {
  byId("upload-bar").value = percent;
  fill(progress, "text", percent < 100 ? `Uploading ${name}: ${Math.floor(percent)}%` : `Checking ${name}…`);
}
