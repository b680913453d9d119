/* The versions page: asks for their state every two seconds, and does what its buttons say. */

import { Problem } from "../web/api.js";
import { byId, put } from "../web/dom.js";
import { call } from "./api.js";
import { showArchives, takeUploads } from "./archives.js";
import { showCanary, takeCanary } from "./canary.js";
import { confirmed } from "./dialogs.js";
import { showHistory } from "./history.js";
import { showLost, showModels } from "./models.js";
import { showScores } from "./scores.js";
import { showTimeline } from "./timeline.js";
import { follow, report, watch } from "./outcomes.js";

const POLL_MS = 2000;
const SLOWLY = 5; // archives and history change seldom: every this many rounds

const away = byId("away");
const main = byId("main");
const unsaved = byId("unsaved");
let archives = [];
let audit = [];
let models = [];
let rounds = 0;
let timer = 0;

/** Ask for everything once; `all` also for what changes seldom. */
async function refresh(all = false) {
  clearTimeout(timer);
  timer = 0;
  const seldom = all || rounds % SLOWLY === 0;
  const mine = ++rounds;
  try {
    const [{ jobs }, canary] = await Promise.all([call("GET", "/jobs"), call("GET", "/canary")]);
    const ended = follow(jobs);
    if (seldom || ended) {
      ({ audit } = await call("GET", "/audit"));
      showHistory(audit);
      byId("audit-section").hidden = false;
    }
    const answer = await call("GET", "/models");
    if (mine !== rounds) return; // something was changed meanwhile, and asked for since
    ({ models } = answer);
    showLost(answer.lost, forget);
    put(unsaved, answer.unsaved ?? "");
    unsaved.hidden = !answer.unsaved;
    if (seldom || ended) ({ archives } = await call("GET", "/archives"));
    show(canary);
    stateIs("shown", "");
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    stateIs("away", `${error.message} What is shown may be out of date.`);
  } finally {
    if (!document.hidden && !timer) timer = setTimeout(refresh, POLL_MS);
  }
}

function show(canary) {
  const own = models.find(({ name }) => name === canary.model);
  if (own) own.main = true;
  showModels(models, canary, { rollback, default: makeDefault, scale, annotate, unregister });
  showArchives(archives, models, { register, delete: remove });
  byId("archives-section").hidden = false;
  byId("canary-section").hidden = !own;
  showTimeline(audit, models);
  if (!own) return;
  showCanary(canary, own);
  showScores(own, canary.compared);
  showPath(own, canary);
}

/** Mark the step that comes next on the way of a new version. */
function showPath({ versions }, canary) {
  const voted = canary.compared.some(({ votes }) => votes.won + votes.lost + votes.tied > 0);
  const next = versions.length < 2 ? 0 : canary.version ? 3 : voted ? 2 : 1;
  [...byId("path").children].forEach((step, place) => {
    step.className = place < next ? "done" : "";
    if (place === next) step.setAttribute("aria-current", "step");
    else step.removeAttribute("aria-current");
  });
  byId("path").hidden = false;
}

function stateIs(state, message) {
  main.dataset.state = state;
  put(away, message);
  away.hidden = !message;
}

/** Send a change and report what came of it; `done` turns an answer that is not a job into a sentence. */
async function change(method, path, body, done) {
  try {
    const answer = await call(method, path, body);
    if (done) report(done(answer));
    else watch(answer);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    report(error.message, "failed");
  }
  await refresh(true);
}

const path = (...names) => `/models/${names.map(encodeURIComponent).join("/")}`;

function rollback({ name }) {
  return change("POST", `${path(name)}/rollback`, undefined, (now) => `Rolled back: ${name} ${now.default} is the default again.`);
}

async function makeDefault(model, { version }) {
  const answer = await confirmed(
    "confirm",
    `Make ${version} the default?`,
    `Captions that ask for no version will be made by ${model.name} ${version} instead of ${model.default}. You can roll back in one click.`,
  );
  if (answer) await change("PUT", `${path(model.name, version)}/default`, undefined, () => `${model.name} ${version} is the default.`);
}

async function scale({ name }, { version, workers, max_workers }) {
  const answer = await confirmed(
    "scale",
    `Workers of ${name} ${version}`,
    `It has ${workers.length} now. Captioning continues while workers start and stop.`,
    { "scale-workers": max_workers },
  );
  if (answer) await change("PUT", `${path(name, version)}/workers`, { workers: Number(answer["scale-workers"]) });
}

async function annotate({ name }, { version, note, tags }) {
  const answer = await confirmed(
    "note",
    `Note on ${name} ${version}`,
    "For whoever manages the versions. It stays when the version is unregistered.",
    { "note-words": note, "note-tags": tags.join(", ") },
  );
  if (!answer) return;
  const body = { note: answer["note-words"].trim(), tags: answer["note-tags"].split(",").map((tag) => tag.trim()).filter(Boolean) };
  await change("PUT", `${path(name, version)}/note`, body, () => `The note on ${name} ${version} is kept.`);
}

async function unregister({ name }, { version, archive }) {
  const answer = await confirmed(
    "danger",
    `Unregister ${name} ${version}?`,
    `Its workers stop at once, and captions waiting for them fail. The archive ${archive} stays in the model store and can be registered again.`,
  );
  if (!answer) return;
  await change("DELETE", path(name, version), undefined, () => `${name} ${version} is unregistered.`);
  main.focus({ preventScroll: true }); // its card, which had the focus, is gone
}

function forget({ model, version }) {
  return change("DELETE", path(model, version), undefined, () => `${model} ${version} is not wanted any more.`);
}

async function register({ name, model, version }) {
  const answer = await confirmed(
    "register",
    `Register ${name}?`,
    `It becomes ${model} ${version}, beside the versions served now. TorchServe will run the code in it.`,
  );
  if (!answer) return;
  const body = { archive: name, workers: Number(answer["register-workers"]) };
  if (answer["register-batch"]) body.batch_size = Number(answer["register-batch"]);
  if (answer["register-delay"]) body.max_batch_delay = Number(answer["register-delay"]);
  await change("POST", "/models", body);
}

async function remove({ name }) {
  const answer = await confirmed("delete", `Delete ${name}?`, "The file is removed from the model store for good.");
  if (!answer) return;
  await change("DELETE", `/archives/${encodeURIComponent(name)}`, undefined, () => `${name} is deleted.`);
  main.focus({ preventScroll: true }); // its row, which had the focus, is gone
}

takeUploads(() => refresh(true));
takeCanary(
  (version, share) => change("PUT", "/canary", { version, share }, (now) => `${Math.round(now.share * 100)}% of the captions go to ${now.version}.`),
  () => change("DELETE", "/canary", undefined, () => "The canary is off."),
);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
});
refresh(true);
