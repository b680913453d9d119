/* The canary: which version gets which share, and how the two do. */

import { h } from "../element.js";
import { byId, put } from "./dom.js";

const form = byId("canary-form");
let filled = false; // with what was set before the page was opened; later it is the person's

/** Show the setting and the versions' figures. */
export function showCanary(canary, model) {
  const on = canary.version !== null;
  const state = on
    ? `${Math.round(canary.share * 100)}% of the captions that ask for no version go to ${canary.version}; a visitor keeps to one version.`
    : "Off. A canary sends a share of the captions to another version, so that the two can be told apart before the default is changed.";
  put(byId("canary-state"), state);
  put(byId("canary-set"), on ? "Change" : "Turn on");
  byId("canary-stop").hidden = !on;
  const others = model.versions.filter((version) => !version.default).map(({ version }) => version);
  choose(others, canary.version);
  if (on && !filled) form.elements.share.value = Math.round(canary.share * 100);
  filled = true;
  for (const control of [form.elements.version, form.elements.share, byId("canary-set")]) control.disabled = !others.length;
  byId("compared").replaceChildren(...canary.compared.map(row));
}

function choose(others, current) {
  const select = form.elements.version;
  const wanted = others.length ? others : ["no other version"];
  if ([...select.options].map(({ value }) => value).join("\n") === wanted.join("\n")) return;
  const before = current ?? select.value;
  select.replaceChildren(...wanted.map((version) => new Option(version)));
  if (wanted.includes(before)) select.value = before;
}

function row({ version, captions, errors, p50_ms, p95_ms, votes }) {
  const made = document.createElement("tr");
  const head = h("th", { scope: "row" }, version);
  const time = (ms) => (ms === null ? "–" : `${ms} ms`);
  const cells = [captions, errors, time(p50_ms), time(p95_ms), votes.won, votes.lost, votes.tied];
  made.append(head, ...cells.map((cell) => h("td", {}, String(cell))));
  return made;
}

/** Call `set(version, share)` and `stop()` for what the form asks. */
export function takeCanary(set, stop) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    set(form.elements.version.value, Number(form.elements.share.value) / 100);
  });
  byId("canary-stop").addEventListener("click", stop);
}
