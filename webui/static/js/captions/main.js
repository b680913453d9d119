/* The captioning page's script: takes pictures, has them captioned, shows what comes of them. */

import { announce, button, byId, fill, on, slot } from "../web/dom.js";
import { Bar } from "./bar.js";
import { wireExport } from "./export/menu.js";
import { Filter } from "./filter.js";
import { caption, fields, form, open, options, optionsAreValid, refuse } from "./form.js";
import { showExamples } from "./intake.js";
import { answered, makeItem } from "./item.js";
import { showHistory } from "./kept/history.js";
import { Keeper } from "./kept/keeper.js";
import { rememberOptions } from "./kept/options.js";
import { List } from "./list.js";
import { Queue, canRetry, isOpen } from "./queue.js";
import * as view from "./result/view.js";
import { wireReplace } from "./review/replace.js";
import { Review } from "./review/review.js";
import { Undo } from "./review/undo.js";
import { wireViews } from "./review/views.js";
import { thumbnail } from "./thumbnail.js";
import { level, named, said } from "./trust.js";

const main = byId("main");
const outcome = byId("outcome");
const session = byId("session");
const past = byId("history");
const heading = "Captionize";
const againButton = on(form, "again", () => again(chosen));

let chosen = null;
let source = "";
let unexported = false; // what a person has changed

const queue = new Queue((item, signal) => caption(form.dataset.api, item.file, item.options, signal));
const filter = new Filter(queue);
const list = new List(byId("pictures"), filter, { select: show, remove });
const review = new Review(byId("review"), filter, { changed, remove, look, finished });
const keeper = new Keeper();
const undo = new Undo(byId("undo"));
const setView = wireViews(session, main, filter, review, () => chosen && show(chosen));
const bar = new Bar(session, queue, filter, {
  "cancel-all": () => queue.items.slice().forEach((item) => queue.cancel(item)),
  "retry-failed": () => queue.items.filter(canRetry).forEach((item) => queue.retry(item)),
  "show-all": () => {
    filterByTag(null);
    list.choose(chosen);
    list.cards.get(chosen).focus(); // the button that was used is gone
  },
  check: () => {
    filter.set({ show: "check", sort: "unsure", tag: null });
    setView("grid");
    review.go();
  },
  clear: startOver,
});

queue.addEventListener("item", ({ detail: item }) => {
  if (item.state === "done") answered(item);
  if (!isOpen(item)) keeper.save(item);
  filter.note(item);
  if (!queue.unfinished) filter.set({});
  list.update(item);
  review.update(item);
  if (item !== chosen) return;
  draw();
  if (item.state === "done") reveal();
});

rememberOptions(fields);
const give = open(() => queue.unfinished || unexported, take);
showExamples(give, refuse);
wireExport(session, () => queue.items.filter(({ state }) => state === "done"), () => { unexported = false; });
wireHistory();
wireReplace(byId("replace"), filter, { changed, undoable: (...what) => undo.offer(...what) });
keeper.restore().then(bring);

function take(files) {
  const items = files.map((file) => makeItem(file, options()));
  // A single picture replaces a single picture; more are added to what is there.
  const replaced = items.length === 1 && queue.items.length === 1 && !queue.unfinished;
  if (replaced) {
    keeper.close();
    forget(queue.items[0]);
  }
  filter.set({ tag: null, show: "all" }); // nobody knows yet what will come
  filter.add(items);
  list.add(items);
  queue.add(items);
  filter.set({});
  many();
  show(items[0]);
  for (const item of items) preview(item);
  keeper.add(items);
}

/** Bring back pictures as they were kept. */
function bring(items) {
  if (queue.items.length || !items.length) return; // somebody was quicker
  queue.items.push(...items);
  filter.set({});
  list.add(items);
  many();
  show(items[0]);
  bar.update();
  const waiting = items.filter((item) => isOpen(item) && item.file);
  for (const item of items.filter((one) => isOpen(one) && !one.file)) queue.cancel(item);
  for (const item of waiting) queue.retry(item);
}

async function preview(item) {
  item.thumbnail = await thumbnail(item.file);
  list.update(item);
  review.update(item);
  if (queue.items.includes(item)) keeper.save(item);
}

const many = () => main.toggleAttribute("data-many", queue.items.length > 1);

/** Show an item large. */
function show(item) {
  if (item !== chosen) {
    URL.revokeObjectURL(source);
    source = item.file ? URL.createObjectURL(item.file) : item.thumbnail ?? "";
  }
  chosen = item;
  list.choose(item);
  draw();
  reveal();
}

/** On a phone all else would push the caption out of sight. */
function reveal() {
  if (review.open || !matchMedia("(max-width: 46rem)").matches) return;
  (queue.items.length > 1 ? list.box : outcome).scrollIntoView();
}

function draw() {
  const item = chosen;
  const alone = queue.items.length === 1;
  const states = { done: "result", failed: "error", cancelled: "error" };
  main.dataset.state = states[item.state] ?? "working";
  document.title = heading;
  againButton.hidden = item.state !== "done" || !item.file;
  if (item.state === "done") {
    const act = { explain, changed: () => changed(item), address: apiAddress(), filter: alone ? null : filterByTag };
    outcome.replaceChildren(view.result(item, source, act));
    view.press(outcome, filter.tag);
    if (said(item)) document.title = `${said(item)} · ${heading}`;
    const spoken = said(item) ? `Caption: ${said(item)}. ${named(level(item))}`.trim() : "Can't tell what this picture shows.";
    if (alone) announce(spoken);
  } else if (item.state === "failed" || item.state === "cancelled") {
    outcome.replaceChildren(view.problem(item, { retry: () => again(item), remove: () => remove(item) }));
  } else {
    outcome.replaceChildren(view.working(item, source, { cancel: () => queue.cancel(item) }));
    if (alone) announce("Reading the picture.");
  }
}

/** List only the pictures with a tag; null: all. */
function filterByTag(tag) {
  filter.set({ tag });
  view.press(outcome, tag);
  announce(bar.filtered);
}

/** A person has changed an item's caption, or checked it. */
function changed(item) {
  unexported = true;
  keeper.save(item);
  list.update(item);
  review.update(item);
  bar.update();
  if (item === chosen) document.title = `${said(item)} · ${heading}`;
}

function finished() {
  button(session, "finish-csv").focus();
  announce(slot(session, "finished").textContent);
}

function again(item) {
  if (!optionsAreValid()) return;
  item.options = options();
  queue.retry(item);
}

/** The item's explanation, asked for once and from the version that captioned it. */
function explain(item) {
  if (!item.file) return Promise.reject(new Error("The picture itself was too large to keep."));
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
    startOver();
    return;
  }
  const place = queue.items.indexOf(item);
  if (filter.items.every((one) => one === item)) filter.set({ tag: null, show: "all" });
  const at = filter.items.indexOf(item);
  // Before its card goes, so that the focus can move on from it.
  if (review.open) review.skip(item);
  if (item === chosen) show(filter.items[at + 1] ?? filter.items[at - 1]);
  forget(item);
  keeper.remove(item);
  filter.note(item);
  many();
  bar.update();
  undo.offer(`${item.name} is removed.`, () => {
    queue.items.splice(place, 0, item);
    list.add([item]);
    filter.set({});
    many();
    if (isOpen(item)) queue.retry(item);
    keeper.add([item]);
    bar.update();
    show(item);
    review.go(item);
  });
}

/** Back to the beginning; what was there is an earlier session now. */
async function startOver() {
  clear();
  form.querySelector("#image").focus();
  const id = await keeper.close();
  if (id) undo.offer("Started over.", () => reopen(id));
}

function clear() {
  for (const item of queue.items.slice()) forget(item);
  filter.set({ tag: null, show: "all" });
  undo.forget();
  fill(session, "exported", "");
  URL.revokeObjectURL(source);
  chosen = null;
  unexported = false;
  outcome.replaceChildren();
  main.dataset.state = "empty";
  againButton.hidden = true;
  many();
  setView("large");
  document.title = heading;
  bar.update();
}

async function reopen(id) {
  clear();
  const items = await keeper.open(id);
  bring(items);
  main.scrollIntoView();
  list.cards.get(chosen)?.focus();
}

const apiAddress = () => new URL(form.dataset.api, location.href).href;

/** Show an item of the review large. */
function look(item) {
  setView("large");
  show(item);
  list.cards.get(item)?.focus();
}

function wireHistory() {
  const refresh = () => showHistory(past, keeper, reopen);
  keeper.addEventListener("change", refresh);
  past.addEventListener("toggle", refresh);
  on(past, "clear-history", async () => {
    clear();
    await keeper.forgetAll();
    announce("Everything that this browser kept is cleared.");
    form.querySelector("#image").focus();
  });
  refresh();
}
