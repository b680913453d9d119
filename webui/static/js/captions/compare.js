/* The page that compares two versions: both caption each picture, and a person says which is better. */

import { ask } from "../web/api.js";
import { announce, button, byId, fill, on, slot } from "../web/dom.js";
import { count } from "../web/format.js";
import { csv, save } from "./export/table.js";
import { caption, form, open, options, showNotice, title } from "./form.js";
import { makeItem } from "./item.js";
import { makeRow, update } from "./pairs.js";
import { Queue, isOpen } from "./queue.js";
import { sentence } from "./words.js";

const { left, right, blind } = form.elements;
const about = byId("versions");
const bar = byId("session");
const list = byId("pairs");
const main = byId("main");
const rows = new Map(); // item -> its row

const queue = new Queue(async (item, signal) => {
  const by = (version) => caption(form.dataset.api, item.file, { ...item.options, version }, signal);
  const [one, other] = await Promise.all([by(item.left), by(item.right)]);
  return { left: one, right: other };
});

queue.addEventListener("item", ({ detail: item }) => {
  if (rows.has(item)) update(rows.get(item), item);
  tally();
});
queue.addEventListener("pause", tally);
for (const side of [left, right]) side.addEventListener("change", differ);
on(about, "look", look);
on(bar, "wake", () => queue.wake());
on(bar, "csv", () => save("votes.csv", csv(votes()), "text/csv"));
on(bar, "json", () => save("votes.json", `${JSON.stringify(votes(), null, 2)}\n`, "application/json"));
on(bar, "clear", clear);
open(() => queue.unfinished, take);
look();

/** Ask which versions there are, and offer them. */
async function look() {
  slot(about, "asking").hidden = false;
  try {
    offer(await ask(form.dataset.versions));
    showNotice(null);
  } catch (problem) {
    showNotice(problem, "retry", look);
  }
  slot(about, "asking").hidden = true;
}

function offer({ versions: all, default: first }) {
  const enough = all.length > 1;
  slot(about, "alone").hidden = enough;
  form.hidden = !enough;
  fill(about, "only", all.length ? `There is only one version: ${all[0].version}.` : "There is no version yet.");
  if (!enough) return;
  for (const side of [left, right]) {
    side.replaceChildren(...all.map(({ version, default: isDefault, ready }) => {
      const notes = [isDefault && "default", !ready && "not ready"].filter(Boolean).join(", ");
      return new Option(notes ? `${version} (${notes})` : version, version);
    }));
  }
  left.value = first ?? all[0].version;
  right.value = all.filter(({ version }) => version !== left.value).at(-1).version;
  differ();
}

function differ() {
  right.setCustomValidity(left.value === right.value ? "Choose two different versions." : "");
}

function take(files) {
  const items = files.map((file) => {
    const sides = [left.value, right.value];
    if (blind.checked && Math.random() < 0.5) sides.reverse();
    const item = makeItem(file, options());
    Object.assign(item, {
      source: URL.createObjectURL(item.file),
      blind: blind.checked,
      left: sides[0],
      right: sides[1],
      winner: null,
    });
    rows.set(item, makeRow(item, { vote, queue }));
    return item;
  });
  list.append(...items.map((item) => rows.get(item)));
  main.dataset.state = "result";
  queue.add(items);
  announce(`Captioning ${count(items.length, "picture")} with both versions.`);
}

/** Record a vote. It can be changed here; the server counts the first one on each picture. */
function vote(item, winner) {
  if (!item.winner) send({ left: item.left, right: item.right, winner });
  item.winner = winner;
  update(rows.get(item), item);
  tally();
  announce(`Vote recorded. ${slot(bar, "tally").textContent}`);
}

function send(body) {
  const headers = { "Content-Type": "application/json" };
  ask(form.dataset.votes, { method: "POST", headers, body: JSON.stringify(body), keepalive: true })
    .catch(() => {}); // the votes are tallied and exported on the page itself
}

function tally() {
  const { items, pause } = queue;
  const voted = items.filter(({ winner }) => winner);
  const wins = new Map(items.flatMap((item) => [[item.left, 0], [item.right, 0]]));
  let ties = 0;
  for (const item of voted) {
    if (item.winner === "tie") ties += 1;
    else wins.set(item[item.winner], wins.get(item[item.winner]) + 1);
  }
  const names = [...wins.keys()].sort();
  const parts = names.map((version) => `version ${version}: ${wins.get(version)}`);
  fill(bar, "tally", `Votes for ${[...parts, `ties: ${ties}`].join(", ")}`);
  const waiting = items.filter(isOpen).length;
  const held = pause ? `${title(pause.problem)}. Trying again automatically. ` : "";
  const rest = waiting ? `, ${waiting} to go` : "";
  fill(bar, "counts", `${held}${voted.length} of ${count(items.length, "picture")} voted on${rest}.`);
  bar.hidden = !items.length;
  button(bar, "wake").hidden = !pause;
  for (const kind of ["csv", "json"]) button(bar, kind).disabled = !voted.length;
}

const votes = () => queue.items.filter(({ winner }) => winner).map((item) => ({
  file: item.name,
  left: item.left,
  right: item.right,
  winner: item.winner,
  better: item.winner === "tie" ? "" : item[item.winner],
  left_caption: sentence(item.answer.left.captions[0].caption),
  right_caption: sentence(item.answer.right.captions[0].caption),
}));

function clear() {
  for (const item of queue.items.slice()) {
    queue.remove(item);
    URL.revokeObjectURL(item.source);
  }
  rows.clear();
  list.replaceChildren();
  main.dataset.state = "empty";
  tally();
  form.querySelector("#image").focus();
  announce("The list is empty.");
}
