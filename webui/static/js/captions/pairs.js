/* One picture and its two captions, with the vote on them. */

import { button, copyOf, fill, h, on, showPicture, slot } from "../web/dom.js";
import { percent } from "../web/format.js";
import { title } from "./form.js";
import { canRetry, isOpen } from "./queue.js";
import { differences, sentence } from "./words.js";

/** The row of an item; `vote(item, winner)` takes the vote, `queue` retries and cancels. */
export function makeRow(item, { vote, queue }) {
  const row = copyOf("pair");
  showPicture(row, item.source);
  fill(row, "name", item.name);
  row.querySelector(".votes").ariaLabel = `Your vote on ${item.name}`;
  for (const choice of row.querySelectorAll("[data-vote]")) {
    choice.addEventListener("click", () => vote(item, choice.dataset.vote));
  }
  on(row, "retry", () => queue.retry(item));
  on(row, "cancel", () => queue.cancel(item));
  return row;
}

/** Bring a row up to date with its item. */
export function update(row, item) {
  const done = item.state === "done";
  const known = !item.blind || item.winner;
  row.dataset.state = item.state;
  const same = done && said(item, "left") === said(item, "right");
  row.querySelector(".votes").hidden = !done || same;
  row.querySelector(".trouble").hidden = done;
  button(row, "retry").hidden = !canRetry(item);
  button(row, "cancel").hidden = !isOpen(item);
  fill(row, "wait", done ? (same ? "Both say the same: there is nothing to vote on." : "") : status(item));
  for (const [side, name] of [["left", "Left"], ["right", "Right"]]) {
    fill(row, `${side}-title`, known ? `${name}: version ${item[side]}` : name);
    if (done) showCaption(row, side, item, known);
  }
  for (const choice of row.querySelectorAll("[data-vote]")) {
    choice.ariaPressed = String(choice.dataset.vote === item.winner);
  }
}

function status({ state, problem }) {
  if (state === "failed") return `${title(problem)}. ${problem.message}`;
  return { waiting: "Waiting…", sending: "Reading the picture…", cancelled: "Cancelled." }[state];
}

const said = (item, side) => sentence(item.answer[side].captions[0].caption);

/** A caption with the words marked that the other one lacks. */
function showCaption(row, side, item, known) {
  const other = said(item, side === "left" ? "right" : "left");
  slot(row, side).replaceChildren(...differences(said(item, side), other).map(([text, differs]) => (
    differs ? h("mark", {}, text) : text
  )));
  const { captions: [best], calibrated } = item.answer[side];
  // The confidence would tell the versions apart.
  fill(row, `${side}-facts`, known && calibrated !== false ? `${percent(best.confidence)} confident` : "");
}
