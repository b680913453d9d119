/* What is in progress and what came of it: a line each, and a word for screen readers. */

import { announce, byId, copyOf, fill, on } from "../web/dom.js";

const KEPT = 2; // lines that stay; older ones are in the history
const list = byId("outcomes");
const lines = new Map(); // id of a job -> its line

/** Say what was done, or why not. */
export function report(text, state = "done") {
  show(line(), text, state);
}

/** Follow the jobs: those that run, and those of this page to their end. True when one has ended. */
export function follow(jobs) {
  let ended = false;
  for (const job of jobs) {
    if (job.state === "running") watch(job);
    const mine = lines.get(job.id);
    if (mine?.dataset.state !== "running") continue;
    ended ||= job.state !== "running";
    show(mine, text(job), job.state);
  }
  return ended;
}

/** Show a job from now on. */
export function watch(job) {
  if (lines.has(job.id)) return;
  lines.set(job.id, line());
  show(lines.get(job.id), text(job), "running");
}

function text({ action, model, version, state, message }) {
  const doing = { register: "Registering", scale: "Changing the workers of", restore: "Restoring" }[action] ?? action;
  return state === "running" ? `${doing} ${model ?? ""} ${version ?? ""}: ${message}` : message;
}

function line() {
  const made = copyOf("outcome-template");
  on(made, "close", () => {
    made.remove();
    byId("main").focus({ preventScroll: true });
  });
  const ended = [...list.querySelectorAll(".outcome:not(.running)")];
  for (const old of ended.slice(0, 1 - KEPT)) old.remove();
  list.append(made);
  return made;
}

function show(shown, message, state) {
  const before = shown.dataset.state;
  shown.dataset.state = state;
  shown.className = `note outcome ${state}`;
  fill(shown, "text", message);
  if (before !== state) announce(message); // each step of a job would be too much
}
