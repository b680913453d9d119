/* The captioning page's script: takes pictures, has them captioned, shows what comes of them. */

import { Problem, caption } from "./api.js";
import { Bar } from "./bar.js";
import { copyOf, fill, on, problemBox, say } from "./dom.js";
import { exportAs } from "./export.js";
import { check, listen } from "./intake.js";
import { answered, makeItem } from "./item.js";
import { List } from "./list.js";
import { Queue, canRetry } from "./queue.js";
import { History, rememberOptions } from "./store.js";
import { thumbnail } from "./thumbnail.js";
import * as view from "./view.js";
import { percent } from "./words.js";

const main = document.getElementById("main");
const outcome = document.getElementById("outcome");
const notice = document.getElementById("notice");
const form = document.getElementById("upload");
const fields = ["beam_size", "num_captions", "max_length"].map((name) => form.elements[name]);
const heading = "Captionize";
const anew = on(form, "again", () => again(chosen));

let chosen = null;
let source = "";

const queue = new Queue(async (item, signal) => {
  const wrong = check(item.file, form.dataset);
  if (wrong) throw new Problem(...wrong);
  return caption(form.dataset.api, item.file, item.options, signal);
});
const list = new List(document.getElementById("pictures"), { select: show, remove });
const bar = new Bar(document.getElementById("session"), queue, {
  "cancel-all": () => queue.items.slice().forEach((item) => queue.cancel(item)),
  "retry-failed": () => queue.items.filter(canRetry).forEach((item) => queue.retry(item)),
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

form.addEventListener("submit", (event) => event.preventDefault()); // the way for pages without script
rememberOptions(fields);
listen(form, take, refuse);
showExamples();
showHistory();
for (const button of document.querySelectorAll("[data-export]")) {
  button.addEventListener("click", () => {
    exportAs(button.dataset.export, queue.items.filter(({ state }) => state === "done"));
    button.closest("details").open = false;
  });
}
closeMenus();
addEventListener("beforeunload", (event) => { if (queue.unfinished) event.preventDefault(); });

function take(files) {
  notice.replaceChildren();
  if (!optionsAreValid()) return;
  const items = files.map((file) => makeItem(file, options()));
  // A picture alone takes the place of a picture alone; more are added to what is there.
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
  const states = { done: "result", failed: "error", cancelled: "error" };
  main.dataset.state = states[item.state] ?? "working";
  document.title = heading;
  anew.hidden = item.state !== "done";
  if (item.state === "done") {
    outcome.replaceChildren(view.result(item, source, { explain, changed, address: apiAddress() }));
    if (queue.items.length === 1) {
      say(`Caption: ${item.text}. ${percent(item.answer.captions[0].confidence)} confident.`);
    }
  } else if (item.state === "failed" || item.state === "cancelled") {
    const box = view.problem(item, { retry: () => again(item), remove: () => remove(item) });
    outcome.replaceChildren(box);
  } else {
    outcome.replaceChildren(view.working(item, source, { cancel: () => queue.cancel(item) }));
    if (queue.items.length === 1) say("Reading the picture.");
  }
}

/** The caption of the chosen item has become another. */
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
  item.explanation ??= caption(form.dataset.explanations, item.file, {
    ...item.options,
    version: item.answer.model.version,
  }).catch((error) => {
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
  const at = queue.items.indexOf(item);
  forget(item);
  if (!queue.items.length) {
    clear();
    return;
  }
  main.toggleAttribute("data-many", queue.items.length > 1);
  bar.update();
  if (item === chosen) show(queue.items[Math.min(at, queue.items.length - 1)]);
}

/** Back to the beginning; the history stays. */
function clear() {
  for (const item of queue.items.slice()) forget(item);
  URL.revokeObjectURL(source);
  chosen = null;
  outcome.replaceChildren();
  main.dataset.state = "empty";
  anew.hidden = true;
  main.removeAttribute("data-many");
  document.title = heading;
  bar.update();
  form.querySelector("#image").focus();
  say("The list is empty.");
}

function refuse(message) {
  const box = problemBox({ code: 400, message });
  const close = on(box, "close", () => notice.replaceChildren());
  close.hidden = false;
  notice.replaceChildren(box);
}

function optionsAreValid() {
  if (form.checkValidity()) return true;
  form.querySelector(".options").open = true; // the browser points at the wrong one only if shown
  return form.reportValidity();
}

const options = () => Object.fromEntries(fields.map(({ name, value }) => [name, value]));

const apiAddress = () => new URL(form.dataset.api, location.href).href;

function showExamples() {
  for (const button of document.querySelectorAll("[data-example]")) {
    button.addEventListener("click", async () => {
      const address = button.dataset.example;
      const response = await fetch(address).catch(() => null);
      if (!response?.ok) {
        refuse("The example could not be loaded. Check the connection and try again.");
        return;
      }
      const name = address.split("/").pop().replace(/\?.*/, "");
      take([{ file: new File([await response.blob()], name, { type: "image/jpeg" }), path: name }]);
    });
  }
}

/** A menu closes when it is left, and on Escape. */
function closeMenus() {
  for (const menu of document.querySelectorAll(".menu")) {
    document.addEventListener("pointerdown", ({ target }) => { if (!menu.contains(target)) menu.open = false; });
    menu.addEventListener("focusout", ({ relatedTarget }) => {
      if (relatedTarget && !menu.contains(relatedTarget)) menu.open = false;
    });
    menu.addEventListener("keydown", ({ key }) => {
      if (key !== "Escape") return;
      menu.open = false;
      menu.querySelector("summary").focus();
    });
  }
}

function showHistory() {
  const box = document.getElementById("history");
  const rows = box.querySelector("[data-slot=entries]");
  const refresh = () => {
    box.hidden = !history.entries.length;
    fill(box, "amount", `Earlier captions (${history.entries.length})`);
    if (!box.open) return;
    rows.replaceChildren(...history.entries.map(({ name, text, thumbnail: small }) => {
      const row = copyOf("entry");
      const image = row.querySelector("img");
      image.hidden = !small?.startsWith("data:image/");
      if (!image.hidden) image.src = small;
      fill(row, "text", text);
      fill(row, "name", name);
      return row;
    }));
  };
  history.addEventListener("change", refresh);
  box.addEventListener("toggle", refresh);
  on(box, "clear-history", () => {
    history.clear();
    say("The history is cleared.");
    form.querySelector("#image").focus();
  });
  refresh();
}
