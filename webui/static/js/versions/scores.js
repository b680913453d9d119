/* The versions of the model side by side: what their cards say of them, and how people voted. */

import { byId, h } from "../web/dom.js";
import { count } from "../web/format.js";

const number = (value) => (Number.isFinite(value) ? value.toFixed(3) : null);
const share = (value) => (Number.isFinite(value) ? `${Math.round(100 * value)}%` : null);
const ROWS = [ // name, what a version has there, and how it is written; the highest is marked
  ["CIDEr", ({ scores }) => scores.cider, number],
  ["BLEU-4", ({ scores }) => scores.bleu_4, number],
  ["METEOR", ({ scores }) => scores.meteor, number],
  ["ROUGE-L", ({ scores }) => scores.rouge_l, number],
  ["Names what is there", ({ scores }) => scores.objects?.naming_rate, share],
  ["Scored on", ({ scores }) => scores.pictures && `${count(scores.pictures, "picture")}, ${scores.split ?? "a split of its own"}`, String],
  ["Votes won", ({ votes }) => votes?.won, String],
  ["Votes lost", ({ votes }) => votes?.lost, String],
];
const HIGHEST = 5; // of these rows, the first

/** Show them where there are two at least. */
export function showScores(model, compared) {
  byId("scores-section").hidden = model.versions.length < 2;
  const versions = model.versions.map(({ version, card, default: live }) => ({
    name: live ? `${version} (default)` : version,
    scores: card?.scores ?? {},
    votes: compared.find((one) => one.version === version)?.votes,
  }));
  const head = versions.map(({ name }) => h("th", { scope: "col" }, name));
  const shown = JSON.stringify(versions);
  if (byId("scores").dataset.shown === shown) return;
  byId("scores").dataset.shown = shown;
  byId("scores-head").replaceChildren(h("tr", {}, h("td"), ...head));
  byId("scores").replaceChildren(...ROWS.map((row, place) => rowOf(row, versions, place < HIGHEST)).filter(Boolean));
}

function rowOf([name, of, written], versions, marked) {
  const values = versions.map(of);
  if (values.every((value) => value === undefined)) return null;
  const known = values.filter(Number.isFinite);
  const best = marked && Math.max(...known) > Math.min(...known) ? Math.max(...known) : undefined;
  return h("tr", {}, h("th", { scope: "row" }, name), ...values.map((value) => {
    const text = value === undefined ? "–" : written(value) ?? "–";
    return h("td", {}, value !== undefined && value === best ? h("b", {}, `${text} ▲`) : text);
  }));
}
