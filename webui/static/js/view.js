/* What is shown of an upload. All text goes in as text, never as markup. */

import { doubt, percent, pieces } from "./words.js";

const main = document.getElementById("main");
const outcome = document.getElementById("outcome");
const announcement = document.getElementById("announce");
const heading = document.title;

const slot = (root, name) => root.querySelector(`[data-slot="${name}"]`);
const fill = (root, name, text) => { slot(root, name).textContent = text; };
const copyOf = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true);

/** Show that a picture is being captioned. */
export function working(source, cancel) {
  const view = copyOf("working");
  showPicture(view, source);
  view.querySelector("[data-action=cancel]").addEventListener("click", cancel);
  show(view, "working", "Reading the picture.");
  return (text) => fill(view, "progress", text);
}

/** Show an answer beside its picture. */
export function result(answer, source) {
  const view = copyOf("result");
  const [best, ...others] = answer.captions;
  const { image, model } = answer;
  showPicture(view, source);
  slot(view, "picture").alt = answer.caption;
  slot(view, "caption").replaceChildren(...pieces(best).map(piece));
  fill(view, "percent", percent(best.confidence));
  fill(view, "image", `${image.width} × ${image.height} ${image.format}`);
  fill(view, "model", `${model.name} ${model.version}`);
  slot(view, "words").replaceChildren(...best.words.map(wordRow));
  slot(view, "others").hidden = !others.length;
  slot(view, "alternatives").replaceChildren(...others.map(alternative));
  offerCopy(view, answer.caption);
  show(view, "result", `Caption: ${answer.caption}. ${percent(best.confidence)} confident.`);
  document.title = `${answer.caption} · ${heading}`;
}

/** Show what went wrong; `retry` is left out where trying again cannot help. */
export function problem({ code, message }, retry) {
  const template = document.getElementById("problem");
  const { titles, otherTitle } = template.dataset;
  const view = copyOf("problem");
  fill(view, "title", JSON.parse(titles)[code] ?? otherTitle);
  fill(view, "message", message);
  const button = view.querySelector("[data-action=retry]");
  button.hidden = !retry;
  if (retry) button.addEventListener("click", retry);
  show(view, "error", ""); // its role=alert announces it
}

/** Back to the beginning. */
export function empty() {
  show(null, "empty", "Cancelled.");
}

function show(view, state, spoken) {
  outcome.replaceChildren(...(view ? [view] : []));
  main.dataset.state = state;
  announcement.textContent = spoken;
  document.title = heading;
}

function showPicture(view, source) {
  const image = slot(view, "picture");
  const instead = slot(view, "nopicture");
  instead.hidden = true;
  image.addEventListener("error", () => {
    image.hidden = true;
    instead.hidden = false;
  });
  image.src = source;
  image.hidden = false;
}

function piece([text, probability]) {
  if (probability === null) return document.createTextNode(text);
  const span = document.createElement("span");
  span.className = `word doubt-${doubt(probability)}`;
  span.title = `${percent(probability)} sure`;
  span.textContent = text;
  return span;
}

function wordRow({ word, probability }) {
  const row = copyOf("word-row");
  fill(row, "word", word);
  fill(row, "percent", percent(probability));
  setBar(row, probability);
  return row;
}

function alternative({ caption, confidence, log_probability }) {
  const row = copyOf("alternative");
  fill(row, "text", caption);
  fill(row, "percent", percent(confidence));
  fill(row, "log", log_probability.toFixed(2));
  setBar(row, confidence);
  return row;
}

const setBar = (row, share) => row.querySelector("rect").setAttribute("width", share * 100);

function offerCopy(view, text) {
  const button = view.querySelector("[data-action=copy]");
  const label = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const copied = await copy(text);
    button.textContent = copied ? "Copied" : "Press Ctrl+C";
    announcement.textContent = copied ? "Caption copied." : "The caption is selected: copy it.";
    if (!copied) getSelection().selectAllChildren(slot(view, "caption"));
    setTimeout(() => { button.textContent = label; }, 2000);
  });
}

/** Copy text; false where the browser does not let us, as over plain HTTP. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
