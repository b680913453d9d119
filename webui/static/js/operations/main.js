/* The operations page: asks for the snapshot every few seconds and shows it. */

import { h, on, slot } from "../web/dom.js";
import { when } from "../web/format.js";
import { draw } from "./sparkline.js";

const EVERY_MS = 5000;
const CLOSED_MS = 15000; // while nobody is logged in
const PATIENCE_MS = 15000;
const WORDS = { good: "Healthy", warning: "Needs a look", bad: "Down", paused: "Paused", away: "Unknown", closed: "Closed" };
const TOLD_OF_GPU = /gpuId::(\d+) utilization\.gpu \[%\]::(\d+ %).* memory\.used \[MiB\]::(\d+) MiB/;

const main = document.getElementById("main");
const known = slot(main, "known");

const number = (value) => new Intl.NumberFormat("en", { maximumSignificantDigits: 3 }).format(value);
const seconds = (value) => (value < 1 ? `${number(value * 1000)} ms` : `${number(value)} s`);
const percent = (value) => `${number(value * 100)} %`;
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

const median = (value) => (value === null ? "none in the last minute" : `for 95 %, and ${seconds(value)} for half`);

// How each figure is written, the least that its scale reaches up to, and the line under it.
const FIGURES = {
  captions: { write: number, least: 1, note: () => "in the last minute" },
  p95_seconds: { write: seconds, least: 0.1, note: (now) => median(now.p50_seconds) },
  failed_share: { write: percent, least: 0.01, note: () => "of the last minute's captions" },
  waiting: { write: number, least: 1, note: ({ places }) => (places ? `of at most ${places} requests` : "not known") },
};

let timer = 0;
let asking = null;
let paused = false;

const pause = on(main, "pause", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  if (paused) say("paused", "No figures are fetched until you resume.");
  follow();
});
document.addEventListener("visibilitychange", follow);
follow();

/** Ask on, or stop while paused or out of sight. */
function follow() {
  clearTimeout(timer);
  asking?.abort();
  if (!paused && !document.hidden) ask();
}

async function ask() {
  const mine = new AbortController();
  asking = mine;
  const signal = AbortSignal.any([mine.signal, AbortSignal.timeout(PATIENCE_MS)]);
  let [status, body] = [0, null];
  try {
    const response = await fetch(known.dataset.api, { signal });
    status = response.status;
    body = await response.json();
  } catch { /* no answer, or none in JSON */ }
  if (mine.signal.aborted) return;
  if (status === 200 && body) show(body);
  else refuse(status, body?.message);
  timer = setTimeout(ask, status === 401 || status === 403 ? CLOSED_MS : EVERY_MS);
}

/** Say how it is. A live region: what has not changed must not be written into it again. */
function say(state, sentence, cause = "") {
  main.dataset.state = state;
  for (const [name, text] of Object.entries({ word: WORDS[state], sentence, cause })) {
    const element = slot(main, name);
    if (element.textContent !== text) element.textContent = text;
  }
}

function refuse(status, message) {
  const closed = status === 401 || status === 403;
  slot(main, "login").hidden = status !== 401;
  known.hidden ||= closed;
  if (status === 401) say("closed", "Log in to see the figures.", "They are for the administrator.");
  else if (closed) say("closed", "There is no administrator yet.", message);
  else if (status) say("away", message ?? `The server answered ${status}.`, "The charts resume when it is well again.");
  else say("away", "The page's server does not answer.", "The charts resume when it is back.");
}

function show({ health, now, history, marks, versions, keys }) {
  slot(main, "login").hidden = true;
  known.hidden = false;
  say(health.state, health.sentence, health.cause);
  for (const [name, { write, least, note }] of Object.entries(FIGURES)) {
    const view = main.querySelector(`[data-figure=${name}]`);
    const values = history[name];
    const peak = Math.max(0, ...values);
    slot(view, "value").textContent = now[name] === null ? "–" : write(now[name]);
    slot(view, "note").textContent = note(now);
    slot(view, "peak").textContent = `peak ${write(peak)}`;
    slot(view, "plot").setAttribute("aria-label", `The last hour, with a peak of ${write(peak)}`);
    draw(slot(view, "plot"), history.time, values, marks, Math.max(least, peak));
  }
  const changes = marks.toReversed().map(({ time, text }) => h("li", {}, h("time", {}, clock.format(time * 1000)), ` ${text}`));
  list("changes", changes, "None.");
  list("versions", versions.map(describe), "Not known.");
  slot(main, "keyed").hidden = !keys.length; // as long as none are set
  list("keys", keys.map(use), "None.");
}

function list(name, items, otherwise) {
  slot(main, name).replaceChildren(...(items.length ? items : [h("li", { className: "soft" }, otherwise)]));
}

/** What was done with a key, in a line. */
function use({ name, answered, refused, failed, last }) {
  const used = last ? `last ${when(last)}` : "never used";
  return h("li", {}, h("strong", {}, name), ` ${answered} answered · ${refused} refused · ${failed} failed · ${used}`);
}

/** A version and its workers in a line. */
function describe({ version, default: first, workers, gpus }) {
  const ready = workers.filter(({ state }) => state === "READY").length;
  const bytes = workers.reduce((sum, worker) => sum + (worker.memory_bytes ?? 0), 0);
  const parts = [`${ready} of ${workers.length} ready`];
  if (bytes) parts.push(`${number(bytes / 2 ** 20)} MB`);
  parts.push(...gpus.map((told) => told.replace(TOLD_OF_GPU, "GPU $1: $2 busy, $3 MB used")));
  return h("li", {}, h("strong", {}, version), first && h("span", { className: "badge" }, "default"), ` ${parts.join(" · ")}`);
}
