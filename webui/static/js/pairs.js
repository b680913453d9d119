/* One picture and its two captions, with the vote on them. */

import { copyOf, fill, on, slot, title } from "./dom.js";
import { canRetry } from "./queue.js";
import { doubt, percent, pieces } from "./words.js";

const SIDES = ["left", "right"];

/** The row of an item; `vote(item, winner)` hears the vote, `queue` retries and cancels. */
export function makeRow(item, { vote, queue }) {
  const row = copyOf("pair");
  slot(row, "picture").src = item.source;
  fill(row, "name", item.name);
  row.querySelector(".votes").ariaLabel = `Your vote on ${item.name}`;
  for (const button of row.querySelectorAll("[data-vote]")) {
    button.addEventListener("click", () => vote(item, button.dataset.vote));
  }
  on(row, "retry", () => queue.retry(item));
  on(row, "cancel", () => queue.cancel(item));
  return row;
}

/** Bring a row up to date with its item. */
export function update(row, item) {
  const done = item.state === "done";
  const open = item.state === "waiting" || item.state === "sending";
  row.dataset.state = item.state;
  row.querySelector(".votes").hidden = !done;
  row.querySelector(".trouble").hidden = done;
  row.querySelector("[data-action=retry]").hidden = !canRetry(item);
  row.querySelector("[data-action=cancel]").hidden = !open;
  fill(row, "wait", done ? "" : status(item));
  for (const side of SIDES) {
    const known = !item.blind || item.winner;
    const name = side === "left" ? "Left" : "Right";
    fill(row, `${side}-title`, known ? `${name}: version ${item[side]}` : name);
    if (done) showCaption(row, side, item.answer[side].captions[0], known);
  }
  for (const button of row.querySelectorAll("[data-vote]")) {
    button.ariaPressed = String(button.dataset.vote === item.winner);
  }
}

function status({ state, problem }) {
  if (state === "failed") return `${title(problem)}. ${problem.message}`;
  return { waiting: "Waiting…", sending: "Reading the picture…", cancelled: "Cancelled." }[state];
}

function showCaption(row, side, caption, known) {
  slot(row, side).replaceChildren(...pieces(caption).map(([text, index]) => {
    if (index === null) return document.createTextNode(text);
    const span = document.createElement("span");
    span.className = `word doubt-${doubt(caption.words[index].probability)}`;
    span.textContent = text;
    return span;
  }));
  // The confidence would tell the versions apart.
  fill(row, `${side}-facts`, known ? `${percent(caption.confidence)} confident` : "");
}
