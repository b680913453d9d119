/* The models and their versions, each in a card. */

import { h } from "../element.js";
import { button, byId, copyOf, count, keyed, put, size, slot } from "./dom.js";

const STATES = { READY: "ready", UNLOADING: "starting or stopping", LOADING: "loading" };
const SCORES = { cider: "CIDEr", bleu_4: "BLEU-4", meteor: "METEOR", rouge_l: "ROUGE-L" };

/** Show all models; `act(action, model, version)` is called by their buttons. */
export function showModels(models, canary, act) {
  const parent = byId("models");
  slot(parent, "loading")?.remove();
  keyed(parent, models, ({ name }) => name, () => makeModel(act), (view, model) => showModel(view, model, canary, act));
}

function makeModel(act) {
  const view = copyOf("model-template");
  button(view, "rollback").addEventListener("click", () => act("rollback", view.model));
  return view;
}

function showModel(view, model, canary, act) {
  view.model = model;
  put(slot(view, "name"), model.name);
  const back = button(view, "rollback");
  back.hidden = !model.previous_default;
  put(back, `Roll back to ${model.previous_default}`);
  keyed(
    slot(view, "versions"),
    model.versions,
    ({ version }) => version,
    () => makeVersion(act),
    (card, version) => showVersion(card, model, version, canary),
  );
}

function makeVersion(act) {
  const card = copyOf("version-template");
  for (const action of ["default", "scale", "unregister"]) {
    button(card, action).addEventListener("click", () => act(action, card.model, card.version));
  }
  return card;
}

function showVersion(card, model, version, canary) {
  Object.assign(card, { model, version });
  card.classList.toggle("is-default", version.default);
  put(slot(card, "version"), version.version);
  slot(card, "default").hidden = !version.default;
  const share = slot(card, "canary");
  share.hidden = canary?.version !== version.version || canary.model !== model.name;
  put(share, `Canary, ${Math.round((canary?.share ?? 0) * 100)}%`);
  showState(slot(card, "state"), version);
  put(slot(card, "queue"), queue(version.queue));
  put(slot(card, "memory"), memory(version.workers));
  put(slot(card, "batch"), `${version.batch_size}, within ${version.max_batch_delay_ms} ms`);
  put(slot(card, "archive"), version.archive);
  showWorkers(slot(card, "workers"), version.workers);
  showCard(card, version.card);
  offer(card, model, version);
}

function showState(badge, { workers, max_workers }) {
  const ready = workers.filter(({ state }) => state === "READY").length;
  const wanted = Math.max(max_workers, workers.length);
  const all = ready === wanted;
  put(badge, !wanted ? "No workers" : all ? "Ready" : ready ? `${ready} of ${wanted} ready` : "Starting");
  badge.classList.toggle("ready", ready > 0);
  badge.classList.toggle("none", !wanted);
}

const queue = ({ pending, remaining }) => `${pending} of ${pending + remaining}`;

function memory(workers) {
  const known = workers.filter(({ memory_bytes }) => memory_bytes);
  return known.length ? size(known.reduce((sum, { memory_bytes }) => sum + memory_bytes, 0)) : "not known";
}

function showWorkers(list, workers) {
  keyed(
    list,
    workers,
    ({ id }) => id,
    () => document.createElement("li"),
    (row, { id, state, memory_bytes, gpu }) => {
      row.className = state === "READY" ? "ready" : "";
      const parts = [`Worker ${id}: ${STATES[state] ?? state.toLowerCase()}`];
      if (memory_bytes) parts.push(size(memory_bytes));
      if (gpu) parts.push("GPU");
      put(row, parts.join(" · "));
    },
  );
}

/** What the archive says of its model; it comes from outside, and may be anything. */
function showCard(view, card) {
  const fold = slot(view, "card");
  fold.hidden = !card;
  const text = JSON.stringify(card);
  if (!card || fold.dataset.shown === text) return;
  fold.dataset.shown = text;
  put(slot(view, "description"), String(card.description ?? ""));
  const facts = [
    ["Encoder", card.encoder],
    ["Decoder", card.decoder],
    ["Made", card.date],
    ["Picture size", card.image_size && `${card.image_size} pixels`],
    ["Vocabulary", card.vocabulary_size && `${card.vocabulary_size} words`],
    ...Object.entries(SCORES).map(([key, name]) => [name, Number(card.scores?.[key]) && Number(card.scores[key]).toFixed(3)]),
  ];
  const rows = facts.filter(([, value]) => value).map(([name, value]) => {
    const row = document.createElement("div");
    row.append(h("dt", {}, name), h("dd", {}, String(value)));
    return row;
  });
  slot(view, "about").replaceChildren(...rows);
}

/** What can be done with a version, and where not, why. */
function offer(card, model, version) {
  const name = `${model.name} ${version.version}`;
  const ready = version.workers.some(({ state }) => state === "READY");
  const makeDefault = button(card, "default");
  makeDefault.hidden = version.default;
  makeDefault.disabled = !ready;
  makeDefault.title = ready ? "" : "No worker of this version is ready.";
  const unregister = button(card, "unregister");
  unregister.disabled = version.default && (model.versions.length > 1 || model.main);
  unregister.title = unregister.disabled ? "The default version cannot be unregistered. Make another one the default first." : "";
  const labels = { default: "Make default:", scale: `Workers (${count(version.max_workers, "worker")}):`, unregister: "Unregister:" };
  for (const [action, label] of Object.entries(labels)) button(card, action).setAttribute("aria-label", `${label} ${name}`);
}
