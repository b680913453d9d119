/* The canary: which version gets which share, and how the two do. */

import { byId, h, put } from "../web/dom.js";
import { when } from "../web/format.js";

const form = byId("canary-form");
const { version: select, share } = form.elements;
let filled = false; // with what was set before the page was opened; later it is the person's

/** Show the setting and the versions' figures. */
export function showCanary(canary, model) {
  const active = canary.version !== null;
  const percent = Math.round(canary.share * 100);
  put(byId("canary-state"), active
    ? `${percent}% of the captions that ask for no version go to ${canary.version}; a visitor keeps to one version.`
    : "Off. A canary sends a share of the captions to another version, so that the two can be compared before the default changes.");
  put(byId("canary-set"), active ? "Change" : "Turn on");
  byId("canary-stop").hidden = !active;
  const others = model.versions.filter((version) => !version.default).map(({ version }) => version);
  choose(others, canary.version);
  if (active && !filled) share.value = percent;
  filled = true;
  for (const control of [select, share, byId("canary-set")]) control.disabled = !others.length;
  byId("compared").replaceChildren(...canary.compared.map(row));
  put(byId("compared-since"), `Counted since ${when(canary.since)}.`);
}

function choose(others, current) {
  const wanted = others.length ? others : ["no other version"];
  if ([...select.options].map(({ value }) => value).join("\n") === wanted.join("\n")) return;
  const before = current ?? select.value;
  select.replaceChildren(...wanted.map((version) => new Option(version)));
  if (wanted.includes(before)) select.value = before;
}

function row({ version, captions, errors, p50_ms, p95_ms, votes }) {
  const time = (ms) => (ms === null ? "–" : `${ms} ms`);
  const cells = [captions, errors, time(p50_ms), time(p95_ms), votes.won, votes.lost, votes.tied];
  return h("tr", {}, h("th", { scope: "row" }, version), ...cells.map((cell) => h("td", {}, String(cell))));
}

/** Call `set(version, share)` and `stop()` for what the form asks. */
export function takeCanary(set, stop) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    set(select.value, Number(share.value) / 100);
  });
  byId("canary-stop").addEventListener("click", stop);
}
