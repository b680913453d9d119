/* The page that compares two versions: both caption each picture, and a person says which is better. */

import { Problem, caption, versions, vote as send } from "./api.js";
import { fill, on, problemBox, say, slot, title } from "./dom.js";
import { csv, save } from "./export.js";
import { check, listen } from "./intake.js";
import { makeItem } from "./item.js";
import { makeRow, update } from "./pairs.js";
import { Queue } from "./queue.js";
import { count } from "./words.js";

const form = document.getElementById("upload");
const { left, right, blind } = form.elements;
const about = document.getElementById("versions");
const bar = document.getElementById("session");
const list = document.getElementById("pairs");
const notice = document.getElementById("notice");
const main = document.getElementById("main");
const rows = new Map(); // item -> its row

const queue = new Queue(async (item, signal) => {
  const wrong = check(item.file, form.dataset);
  if (wrong) throw new Problem(...wrong);
  const by = (version) => caption(form.dataset.api, item.file, { ...item.options, version }, signal);
  const [one, other] = await Promise.all([by(item.left), by(item.right)]);
  return { left: one, right: other };
});

queue.addEventListener("item", ({ detail: item }) => {
  if (rows.has(item)) update(rows.get(item), item);
  tally();
});
queue.addEventListener("pause", tally);
form.addEventListener("submit", (event) => event.preventDefault());
for (const side of [left, right]) side.addEventListener("change", differ);
on(about, "look", look);
on(bar, "wake", () => queue.wake());
on(bar, "csv", () => save("votes.csv", csv(votes()), "text/csv"));
on(bar, "json", () => save("votes.json", `${JSON.stringify(votes(), null, 2)}\n`, "application/json"));
on(bar, "clear", clear);
addEventListener("beforeunload", (event) => { if (queue.unfinished) event.preventDefault(); });
listen(form, take, refuse);
look();

/** Ask which versions there are, and offer them. */
async function look() {
  slot(about, "asking").hidden = false;
  try {
    offer(await versions(form.dataset.versions));
    notice.replaceChildren();
  } catch (problem) {
    const box = problemBox(problem);
    on(box, "retry", look).hidden = false;
    notice.replaceChildren(box);
  }
  slot(about, "asking").hidden = true;
}

function offer({ versions: all, default: first }) {
  const enough = all.length > 1;
  slot(about, "alone").hidden = enough;
  form.hidden = !enough;
  fill(about, "only", all.length ? `There is one version only: ${all[0].version}.` : "There is no version yet.");
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
  notice.replaceChildren();
  if (form.hidden || !optionsAreValid()) return;
  const names = ["beam_size", "num_captions", "max_length"];
  const options = Object.fromEntries(names.map((name) => [name, form.elements[name].value]));
  const items = files.map((file) => {
    const swapped = blind.checked && Math.random() < 0.5;
    const item = makeItem(file, options);
    item.source = URL.createObjectURL(item.file);
    item.blind = blind.checked;
    [item.left, item.right] = swapped ? [right.value, left.value] : [left.value, right.value];
    item.winner = null;
    rows.set(item, makeRow(item, { vote, queue }));
    return item;
  });
  list.append(...items.map((item) => rows.get(item)));
  main.dataset.state = "result";
  queue.add(items);
  say(`${count(items.length, "picture")} to be captioned by both versions.`);
}

function optionsAreValid() {
  if (form.checkValidity()) return true;
  if (right.checkValidity()) form.querySelector(".options").open = true;
  return form.reportValidity();
}

/** Take a vote. It can be changed here; the server counts the first one on each picture. */
function vote(item, winner) {
  if (!item.winner) send(form.dataset.votes, { left: item.left, right: item.right, winner });
  item.winner = winner;
  update(rows.get(item), item);
  tally();
  say(`Vote taken. ${slot(bar, "tally").textContent}`);
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
  const open = items.filter(({ state }) => state === "waiting" || state === "sending").length;
  const held = pause ? `${title(pause.problem)}. Tried again by itself. ` : "";
  const rest = open ? `, ${open} to go` : "";
  fill(bar, "counts", `${held}${voted.length} of ${count(items.length, "picture")} voted on${rest}.`);
  bar.hidden = !items.length;
  bar.querySelector("[data-action=wake]").hidden = !pause;
  for (const kind of ["csv", "json"]) bar.querySelector(`[data-action=${kind}]`).disabled = !voted.length;
}

const votes = () => queue.items.filter(({ winner }) => winner).map((item) => ({
  file: item.name,
  left: item.left,
  right: item.right,
  winner: item.winner,
  better: item.winner === "tie" ? "" : item[item.winner],
  left_caption: item.answer.left.caption,
  right_caption: item.answer.right.caption,
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
  say("The list is empty.");
}

function refuse(message) {
  if (form.hidden) return;
  const box = problemBox({ code: 400, message });
  on(box, "close", () => notice.replaceChildren()).hidden = false;
  notice.replaceChildren(box);
}
