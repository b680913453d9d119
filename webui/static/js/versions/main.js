/* The versions page: looks every two seconds, and does what its buttons say. */

import { Problem } from "../api.js";
import { call } from "./api.js";
import { showArchives, takeUploads } from "./archives.js";
import { showCanary, takeCanary } from "./canary.js";
import { ask } from "./dialogs.js";
import { byId, put } from "./dom.js";
import { showHistory } from "./history.js";
import { showModels } from "./models.js";
import { follow, tell, watch } from "./outcomes.js";

const POLL_MS = 2000;
const SLOWLY = 5; // archives and history change seldom: every this many looks

const away = byId("away");
const main = byId("main");
let archives = [];
let models = [];
let looks = 0;
let timer = 0;

/** Look at everything once; `all` also at what changes seldom. */
async function look(all = false) {
  clearTimeout(timer);
  timer = 0;
  const seldom = all || looks % SLOWLY === 0;
  const mine = ++looks;
  try {
    const [{ jobs }, canary] = await Promise.all([call("GET", "/jobs"), call("GET", "/canary")]);
    const ended = follow(jobs);
    await lookAtHistory(seldom || ended);
    const answer = await call("GET", "/models");
    if (mine !== looks) return; // something was changed meanwhile, and looked at since
    ({ models } = answer);
    if (seldom || ended) ({ archives } = await call("GET", "/archives"));
    show(canary);
    stateIs("shown", "");
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    stateIs("away", `${error.message} What is shown may be out of date.`);
  } finally {
    if (!document.hidden && !timer) timer = setTimeout(look, POLL_MS);
  }
}

async function lookAtHistory(wanted) {
  if (!wanted) return;
  showHistory((await call("GET", "/audit")).audit);
  byId("audit-section").hidden = false;
}

function show(canary) {
  const own = models.find(({ name }) => name === canary.model);
  if (own) own.main = true;
  showModels(models, canary, act);
  showArchives(archives, models, register);
  byId("archives-section").hidden = false;
  byId("canary-section").hidden = !own;
  if (own) showCanary(canary, own);
}

function stateIs(state, message) {
  main.dataset.state = state;
  put(away, message);
  away.hidden = !message;
}

/** Do something and say what came of it; `work` answers a sentence or a job. */
async function perform(work) {
  try {
    const outcome = await work();
    if (typeof outcome === "string") tell(outcome);
    else watch(outcome);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    tell(error.message, "failed");
  }
  await look(true);
}

function act(action, model, version) {
  return { rollback, default: makeDefault, scale, unregister }[action](model, version);
}

const path = (model, version) => `/models/${encodeURIComponent(model.name)}/${encodeURIComponent(version.version)}`;

function rollback(model) {
  return perform(async () => {
    const now = await call("POST", `/models/${encodeURIComponent(model.name)}/rollback`);
    return `Rolled back: ${now.name} ${now.default} is the default again.`;
  });
}

async function makeDefault(model, version) {
  const answer = await ask("confirm", {
    title: `Make ${version.version} the default?`,
    text: `Captions that ask for no version will be made by ${model.name} ${version.version} instead of ${model.default}. You can roll back in one click.`,
    confirm: "Make default",
  });
  if (!answer) return;
  await perform(async () => {
    await call("PUT", `${path(model, version)}/default`);
    return `${model.name} ${version.version} is the default.`;
  });
}

async function scale(model, version) {
  const answer = await ask("scale", {
    title: `Workers of ${model.name} ${version.version}`,
    text: `It has ${version.workers.length} now. Captions go on while workers start and stop.`,
    values: { "scale-workers": version.max_workers },
  });
  if (answer) await perform(() => call("PUT", `${path(model, version)}/workers`, { workers: Number(answer["scale-workers"]) }));
}

async function unregister(model, version) {
  const answer = await ask("danger", {
    title: `Unregister ${model.name} ${version.version}?`,
    text: `Its workers stop at once, and captions that wait for them fail. The archive ${version.archive} stays in the model store and can be registered again.`,
  });
  if (!answer) return;
  await perform(async () => {
    await call("DELETE", path(model, version));
    return `${model.name} ${version.version} is unregistered.`;
  });
  main.focus({ preventScroll: true }); // its card, which had the focus, is gone
}

async function register(archive) {
  const answer = await ask("register", {
    title: `Register ${archive.name}?`,
    text: `It becomes ${archive.model} ${archive.version}, beside what is served now. TorchServe will run the code that is in it.`,
  });
  if (!answer) return;
  const body = { archive: archive.name, workers: Number(answer["register-workers"]) };
  if (answer["register-batch"]) body.batch_size = Number(answer["register-batch"]);
  if (answer["register-delay"]) body.max_batch_delay = Number(answer["register-delay"]);
  await perform(() => call("POST", "/models", body));
}

takeUploads(() => look(true));
takeCanary(
  (version, share) => perform(async () => {
    const now = await call("PUT", "/canary", { version, share });
    return `${Math.round(now.share * 100)}% of the captions go to ${now.version}.`;
  }),
  () => perform(async () => {
    await call("DELETE", "/canary");
    return "The canary is off.";
  }),
);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) look();
});
look(true);
