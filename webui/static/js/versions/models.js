/* The models and their versions, each in a card. */

import { button, byId, copyOf, fill, h, keyed, on, put, slot } from "../web/dom.js";
import { count, size } from "../web/format.js";

const STATES = { READY: "ready", UNLOADING: "starting or stopping", LOADING: "loading" };
const SCORES = { cider: "CIDEr", bleu_4: "BLEU-4", meteor: "METEOR", rouge_l: "ROUGE-L" };

/** Show all models; their buttons call `act[action](model, version)`. */
export function showModels(models, canary, act) {
  const parent = byId("models");
  slot(parent, "loading")?.remove();
  keyed(parent, models, ({ name }) => name, () => makeModel(act), (view, model) => showModel(view, model, canary, act));
}

/** Say which wanted versions could not be brought back, and why; `forget(version)` wants one no more. */
export function showLost(lost, forget) {
  const make = () => {
    const note = copyOf("lost-template");
    on(note, "forget", () => forget(note.lost));
    return note;
  };
  keyed(byId("lost"), lost, ({ model, version }) => `${model} ${version}`, make, (note, one) => {
    note.lost = one;
    fill(note, "text", `${one.model} ${one.version} could not be brought back. ${one.message}`);
    button(note, "forget").ariaLabel = `Forget ${one.model} ${one.version}`;
  });
}

function makeModel(act) {
  const view = copyOf("model-template");
  on(view, "rollback", () => act.rollback(view.model));
  return view;
}

function showModel(view, model, canary, act) {
  view.model = model;
  fill(view, "name", model.name);
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
  for (const action of ["default", "scale", "annotate", "unregister"]) on(card, action, () => act[action](card.model, card.version));
  return card;
}

function showVersion(card, model, version, canary) {
  Object.assign(card, { model, version });
  const { pending, remaining } = version.queue;
  card.classList.toggle("is-default", version.default);
  fill(card, "version", version.version);
  slot(card, "default").hidden = !version.default;
  slot(card, "canary").hidden = canary.version !== version.version || canary.model !== model.name;
  fill(card, "canary", `Canary, ${Math.round(canary.share * 100)}%`);
  showState(slot(card, "state"), version);
  fill(card, "queue", `${pending} of ${pending + remaining}`);
  fill(card, "memory", memory(version.workers));
  fill(card, "batch", `${version.batch_size}, within ${version.max_batch_delay_ms} ms`);
  fill(card, "archive", version.archive);
  slot(card, "behind").hidden = !version.behind;
  fill(card, "behind", "Made by an older Captionize, without what was mended since. Renew it with captionize archive --repack, and restart.");
  slot(card, "remark").hidden = !version.note && !version.tags.length;
  fill(card, "note", version.note);
  keyed(slot(card, "tags"), version.tags, (tag) => tag, (tag) => h("li", { className: "badge" }, tag), () => {});
  keyed(slot(card, "workers"), version.workers, ({ id }) => id, () => h("li"), showWorker);
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

function memory(workers) {
  const known = workers.filter(({ memory_bytes }) => memory_bytes);
  return known.length ? size(known.reduce((sum, { memory_bytes }) => sum + memory_bytes, 0)) : "not known";
}

function showWorker(row, { id, state, memory_bytes, gpu }) {
  row.className = state === "READY" ? "ready" : "";
  const parts = [`Worker ${id}: ${STATES[state] ?? state.toLowerCase()}`, memory_bytes && size(memory_bytes), gpu && "GPU"];
  put(row, parts.filter(Boolean).join(" · "));
}

/** What the archive says of its model; it comes from outside, and may be anything. */
function showCard(view, card) {
  const fold = slot(view, "card");
  fold.hidden = !card;
  const text = JSON.stringify(card);
  if (!card || fold.dataset.shown === text) return;
  fold.dataset.shown = text;
  fill(view, "description", String(card.description ?? ""));
  const facts = [
    ["Encoder", card.encoder],
    ["Decoder", card.decoder],
    ["Made", card.date],
    ["Picture size", card.image_size && `${card.image_size} pixels`],
    ["Vocabulary", card.vocabulary_size && `${card.vocabulary_size} words`],
    ...Object.entries(SCORES).map(([key, name]) => [name, Number(card.scores?.[key]) && Number(card.scores[key]).toFixed(3)]),
  ];
  slot(view, "about").replaceChildren(...facts.filter(([, value]) => value).map(
    ([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value))),
  ));
}

/** Offer what can be done with a version, and where it cannot be done, the reason. */
function offer(card, model, version) {
  const ready = version.workers.some(({ state }) => state === "READY");
  const makeDefault = button(card, "default");
  makeDefault.hidden = version.default;
  makeDefault.disabled = !ready;
  makeDefault.title = ready ? "" : "No worker of this version is ready.";
  const unregister = button(card, "unregister");
  unregister.disabled = version.default && (model.versions.length > 1 || model.main);
  unregister.title = unregister.disabled ? "The default version cannot be unregistered. Make another one the default first." : "";
  const labels = { default: "Make default", scale: `Workers (${count(version.max_workers, "worker")})`, annotate: "Note", unregister: "Unregister" };
  for (const [action, label] of Object.entries(labels)) button(card, action).ariaLabel = `${label}: ${model.name} ${version.version}`;
}
