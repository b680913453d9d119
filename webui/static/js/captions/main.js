/* The captioning page's script: takes pictures, has them captioned, shows what comes of them. */

import { announce, byId, copyOf, fill, on, showImage, slot } from "../web/dom.js";
import { percent } from "../web/format.js";
import { Bar } from "./bar.js";
import { exportAs } from "./export.js";
import { caption, fields, form, open, options, optionsAreValid, refuse } from "./form.js";
import { answered, makeItem } from "./item.js";
import { List } from "./list.js";
import { Queue, canRetry } from "./queue.js";
import * as view from "./result/view.js";
import { History, rememberOptions } from "./store.js";
import { thumbnail } from "./thumbnail.js";

const main = byId("main");
const outcome = byId("outcome");
const heading = "Captionize";
const againButton = on(form, "again", () => again(chosen));

let chosen = null;
let source = "";

const queue = new Queue((item, signal) => caption(form.dataset.api, item.file, item.options, signal));
const list = new List(byId("pictures"), { select: show, remove });
const bar = new Bar(byId("session"), queue, list, {
  "cancel-all": () => queue.items.slice().forEach((item) => queue.cancel(item)),
  "retry-failed": () => queue.items.filter(canRetry).forEach((item) => queue.retry(item)),
  "show-all": () => {
    filter(null);
    list.choose(chosen);
    list.cards.get(chosen).focus(); // the button that was used is gone
  },
  clear,
});
const history = new History();

queue.addEventListener("item", ({ detail: item }) => {
  if (item.state === "done") {
    answered(item);
    history.note(item);
  }
  list.update(item);
  if (item === chosen) draw();
});

rememberOptions(fields);
const give = open(queue, take);
showExamples();
showHistory();
for (const choice of document.querySelectorAll("[data-export]")) {
  choice.addEventListener("click", () => {
    exportAs(choice.dataset.export, queue.items.filter(({ state }) => state === "done"));
    choice.closest("details").open = false;
  });
}
closeOnLeaving(document.querySelector(".menu"));

function take(files) {
  const items = files.map((file) => makeItem(file, options()));
  list.filter(null); // nobody knows their tags yet
  // A single picture replaces a single picture; more are added to what is there.
  if (items.length === 1 && queue.items.length === 1 && !queue.unfinished) forget(queue.items[0]);
  list.add(items);
  queue.add(items);
  main.toggleAttribute("data-many", queue.items.length > 1);
  show(items[0]);
  for (const item of items) preview(item);
}

async function preview(item) {
  item.thumbnail = await thumbnail(item.file);
  list.update(item);
  if (item.state === "done" && queue.items.includes(item)) history.note(item);
}

/** Show an item large. */
function show(item) {
  if (item !== chosen) {
    URL.revokeObjectURL(source);
    source = URL.createObjectURL(item.file);
  }
  chosen = item;
  list.choose(item);
  draw();
}

function draw() {
  const item = chosen;
  const alone = queue.items.length === 1;
  const states = { done: "result", failed: "error", cancelled: "error" };
  main.dataset.state = states[item.state] ?? "working";
  document.title = heading;
  againButton.hidden = item.state !== "done";
  if (item.state === "done") {
    const act = { explain, changed, address: apiAddress(), filter: alone ? null : filter };
    outcome.replaceChildren(view.result(item, source, act));
    view.press(outcome, list.tag);
    if (alone) announce(`Caption: ${item.text}. ${percent(item.answer.captions[0].confidence)} confident.`);
  } else if (item.state === "failed" || item.state === "cancelled") {
    outcome.replaceChildren(view.problem(item, { retry: () => again(item), remove: () => remove(item) }));
  } else {
    outcome.replaceChildren(view.working(item, source, { cancel: () => queue.cancel(item) }));
    if (alone) announce("Reading the picture.");
  }
}

/** List only the pictures with a tag; null: all. */
function filter(tag) {
  list.filter(tag);
  view.press(outcome, tag);
  bar.update();
  announce(bar.filtered);
}

/** The caption of the chosen item has changed. */
function changed() {
  document.title = `${chosen.text} · ${heading}`;
  list.update(chosen);
  history.note(chosen);
}

function again(item) {
  if (!optionsAreValid()) return;
  item.options = options();
  queue.retry(item);
}

/** The item's explanation, asked for once and from the version that captioned it. */
function explain(item) {
  const { version } = item.answer.model;
  item.explanation ??= caption(form.dataset.explanations, item.file, { ...item.options, version })
    .catch((error) => {
      item.explanation = null;
      throw error;
    });
  return item.explanation;
}

function forget(item) {
  queue.remove(item);
  list.remove(item);
}

function remove(item) {
  if (queue.items.length === 1) {
    clear();
    return;
  }
  if (list.shown.every((one) => one === item)) list.filter(null);
  const at = list.shown.indexOf(item);
  // Before its card goes, so that the focus can move on from it.
  if (item === chosen) show(list.shown[at + 1] ?? list.shown[at - 1]);
  forget(item);
  main.toggleAttribute("data-many", queue.items.length > 1);
  bar.update();
}

/** Back to the beginning; the history stays. */
function clear() {
  for (const item of queue.items.slice()) forget(item);
  list.filter(null);
  URL.revokeObjectURL(source);
  chosen = null;
  outcome.replaceChildren();
  main.dataset.state = "empty";
  againButton.hidden = true;
  main.removeAttribute("data-many");
  document.title = heading;
  bar.update();
  form.querySelector("#image").focus();
  announce("The list is empty.");
}

const apiAddress = () => new URL(form.dataset.api, location.href).href;

function showExamples() {
  for (const choice of document.querySelectorAll("[data-example]")) {
    const address = choice.dataset.example;
    const name = address.split("/").pop().replace(/\?.*/, "");
    choice.addEventListener("click", async () => {
      const response = await fetch(address).catch(() => null);
      if (response?.ok) give([{ file: new File([await response.blob()], name, { type: "image/jpeg" }), path: name }]);
      else refuse("The example could not be loaded. Check the connection and try again.");
    });
  }
}

/** Close a menu when it is left, and on Escape. */
function closeOnLeaving(menu) {
  const leave = ({ target }) => { if (!menu.contains(target)) menu.open = false; };
  document.addEventListener("pointerdown", leave);
  document.addEventListener("focusin", leave);
  menu.addEventListener("keydown", ({ key }) => {
    if (key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}

function showHistory() {
  const box = byId("history");
  const refresh = () => {
    box.hidden = !history.entries.length;
    fill(box, "amount", `Earlier captions (${history.entries.length})`);
    if (box.open) slot(box, "entries").replaceChildren(...history.entries.map(entryRow));
  };
  history.addEventListener("change", refresh);
  box.addEventListener("toggle", refresh);
  on(box, "clear-history", () => {
    history.clear();
    announce("The history is cleared.");
    form.querySelector("#image").focus();
  });
  refresh();
}

function entryRow({ name, text, thumbnail: small }) {
  const row = copyOf("entry");
  if (small?.startsWith("data:image/")) showImage(row.querySelector("img"), small);
  fill(row, "text", text);
  fill(row, "name", name);
  return row;
}
