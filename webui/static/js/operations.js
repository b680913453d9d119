/* The operations page: asks for a snapshot every two seconds and draws what changed. */

import { Chart } from "./chart.js";
import { figures, totals } from "./series.js";

const EVERY_MS = 2000;
const CLOSED_MS = 15000; // between two questions while there is nobody to answer to
const PATIENCE_MS = 8000;
const KEPT_S = 15 * 60; // the longest time that can be shown
const LOOKED_BACK = 60; // snapshots kept for differences; a little more than a minute
const MEBIBYTE = 1024 * 1024;

const main = document.getElementById("main");
const slots = Object.fromEntries(
  [...main.querySelectorAll("[data-slot]")]
    .filter((one) => !one.closest("[data-chart]"))
    .map((one) => [one.dataset.slot, one]),
);
const minutes = document.getElementById("minutes");
const pause = main.querySelector("[data-action=pause]");

const significant = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const number = (value) => significant.format(value);
const seconds = (value) => (value < 1 ? `${number(value * 1000)} ms` : `${number(value)} s`);
const bytes = (value) =>
  value < 1024 * MEBIBYTE ? `${number(value / MEBIBYTE)} MB` : `${number(value / MEBIBYTE / 1024)} GB`;
const percent = (value) => `${Math.round(value * 100)} %`;
const byteUnit = (value) => (value < 1024 * MEBIBYTE ? MEBIBYTE : 1024 * MEBIBYTE);

const CHARTS = { // without names: the lines are whatever is served
  requests: {
    format: (value) => `${number(value)}/s`,
    least: 1,
    names: ["Answered", "Refused (4xx)", "Failed (5xx)"],
  },
  latency: { format: seconds, least: 0.1, names: ["Half (p50)", "95 % (p95)", "99 % (p99)"] },
  errors: { format: number, least: 1, first: 1, names: ["Refused (4xx)", "Failed (5xx)"] },
  queue: { format: number, least: 4, names: ["Waiting"] },
  stages: { format: seconds, least: 0.1, names: ["In the queue", "In the model"] },
  batch: { format: number, least: 2, names: ["Reached", "Allowed"] },
  memory: { format: bytes, least: 100 * MEBIBYTE, unit: byteUnit },
  gpu: { format: percent, least: 1 },
  gpumemory: { format: bytes, least: 100 * MEBIBYTE, unit: byteUnit },
};

const charts = new Map(Object.entries(CHARTS).map(([name, options]) => [
  name, new Chart(main.querySelector(`[data-chart=${name}]`), options),
]));

let history = []; // totals, oldest first; null for a gap
let points = []; // {time, figures}; figures are null in a gap
let paused = false;
let timer = 0;
let asking = null;

minutes.addEventListener("change", draw);
pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  if (paused) {
    stop();
    say("paused", "Paused. Nothing is asked until you go on.");
  } else {
    goOn();
  }
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) stop();
  else if (!paused) goOn();
});
if (!document.hidden) poll();

function stop() {
  clearTimeout(timer);
  asking?.abort();
  asking = null;
}

function goOn() {
  stop();
  gap();
  poll();
}

async function poll() {
  const mine = new AbortController();
  asking = mine;
  const late = setTimeout(() => mine.abort(), PATIENCE_MS);
  let outcome;
  try {
    const response = await fetch(slots.charts.dataset.api, { signal: mine.signal });
    outcome = { status: response.status, body: await response.json().catch(() => null) };
  } catch {
    outcome = { status: 0, body: null };
  }
  clearTimeout(late);
  if (asking !== mine) return; // stopped meanwhile
  take(outcome);
  timer = setTimeout(poll, [401, 403].includes(outcome.status) ? CLOSED_MS : EVERY_MS);
}

function take({ status, body }) {
  if (status === 200 && body) {
    add(body);
    closeNote();
    showProblems(body.problems);
  } else {
    gap();
    explain(status, body);
  }
  draw();
}

function add(snapshot) {
  history = [...history.slice(-LOOKED_BACK), totals(snapshot)];
  points.push({ time: snapshot.time, figures: figures(history) });
  points = points.filter(({ time }) => time > snapshot.time - KEPT_S);
  main.classList.add("known");
  for (const name of ["controls", "facts"]) slots[name].hidden = false;
  showVersions(snapshot.versions);
  showFacts(snapshot);
}

/** Nothing was learnt just now: the lines break here. */
function gap() {
  if (history.at(-1)) history.push(null);
  if (points.at(-1)?.figures) points.push({ time: points.at(-1).time, figures: null });
}

function draw() {
  const end = points.at(-1)?.time;
  if (end === undefined) return;
  const begin = end - 60 * Number(minutes.value);
  const shown = points.filter(({ time }) => time >= begin);
  for (const [name, chart] of charts) {
    const raw = shown.map(({ time, figures: all }) => ({ time, values: all?.[name] ?? null }));
    if (!CHARTS[name].names) {
      chart.names = [...new Set(raw.flatMap(({ values }) => Object.keys(values ?? {})))];
      for (const point of raw) {
        point.values = point.values && chart.names.map((one) => point.values[one] ?? null);
      }
    }
    chart.root.hidden = chart.names.length === 0;
    if (!chart.root.hidden) chart.draw(raw, begin, end);
  }
}

function say(state, text) {
  main.dataset.state = state;
  // A live region: only what is new may be written into it.
  if (slots.state.textContent !== text) slots.state.textContent = text;
}

function showProblems(problems) {
  if (!problems.length) {
    say("live", "Live. The page and TorchServe answer.");
    return;
  }
  const messages = new Set(problems.map(({ message }) => message));
  say("partly", `Live, but without all of TorchServe's figures. ${[...messages].join(" ")}`);
}

function explain(status, body) {
  if (status === 401) {
    note("Sign in to see the figures", "They are for the administrator.", true);
    say("closed", "Not signed in.");
  } else if (status === 403) {
    note("There is no administrator yet", body?.message ?? "The operator can set one up; the README says how.");
    say("closed", "Not set up.");
  } else if (status === 0) {
    say("away", "The page's server does not answer. The charts go on when it is back.");
  } else {
    say("away", body?.message ?? `The server answered ${status}. The charts go on when it is well again.`);
  }
}

function note(title, text, signIn = false) {
  slots["note-title"].textContent = title;
  slots["note-text"].textContent = text;
  slots["sign-in"].hidden = !signIn;
  slots.note.hidden = false;
}

function closeNote() {
  slots.note.hidden = true;
}

function showVersions(versions) {
  if (!versions) return; // what was known stays
  slots.versions.hidden = !versions.length;
  slots["version-rows"].replaceChildren(...versions.map((one) => {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = `${one.model} ${one.version}`;
    if (one.default) head.append(badge("default"));
    const states = Object.entries(one.workers).map(([state, count]) => `${count} ${state.toLowerCase()}`);
    const cells = [
      states.join(", ") || "none",
      `${one.queue.pending} of ${one.queue.pending + one.queue.remaining}`,
      `up to ${one.batch_size}, waiting ${one.max_batch_delay_ms} ms`,
      one.memory_bytes === null ? "–" : bytes(one.memory_bytes),
      one.started === null ? "–" : age(one.started),
    ];
    row.append(head, ...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
    return row;
  }));
}

function badge(text) {
  return Object.assign(document.createElement("span"), { className: "badge", textContent: text });
}

function showFacts({ web, torchserve }) {
  const answers = torchserve?.requests;
  const facts = [
    ["Page up for", web.started === null ? "–" : age(web.started)],
    ["Page's memory", web.memory_bytes === null ? "–" : bytes(web.memory_bytes)],
    ["TorchServe answered", answers ? answered(answers) : "–"],
  ];
  slots.facts.replaceChildren(...facts.map(([name, value]) => {
    const entry = document.createElement("div");
    entry.append(
      Object.assign(document.createElement("dt"), { textContent: name }),
      Object.assign(document.createElement("dd"), { textContent: value }),
    );
    return entry;
  }));
}

const answered = (counts) => `${counts["2xx"]} well, ${counts["4xx"]} refused, ${counts["5xx"]} failed`;

/** How long ago, in the two largest units. */
function age(started) {
  const whole = Math.max(0, Math.round(points.at(-1).time - started));
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, length]) => whole >= length);
  if (first < 0) return "0 s";
  const [name, length] = units[first];
  const next = units[first + 1];
  const rest = next ? Math.floor((whole % length) / next[1]) : 0;
  return `${Math.floor(whole / length)} ${name}${rest ? ` ${rest} ${next[0]}` : ""}`;
}
