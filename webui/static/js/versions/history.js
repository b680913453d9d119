/* The audit log. */

import { byId, copyOf, fill, keyed, put, slot } from "../web/dom.js";
import { when } from "../web/format.js";

const SHOWN = 8;
const ACTIONS = {
  default: "Make default",
  rollback: "Roll back",
  register: "Register",
  scale: "Workers",
  unregister: "Unregister",
  upload: "Upload",
  canary: "Canary",
  login: "Log in",
  logout: "Log out",
};
const WHO = { password: "The administrator", token: "A script" };
const more = byId("audit-more");
let all = false;
let last = [];

more.addEventListener("click", () => {
  all = true;
  showHistory(last);
  byId("audit-title").focus();
});

/** Show the newest entries, or all. */
export function showHistory(entries) {
  last = entries;
  // Two entries of one second can be alike: their place from the end tells them apart.
  const numbered = entries.map((entry, i) => ({ ...entry, number: entries.length - i }));
  const shown = all ? numbered : numbered.slice(0, SHOWN);
  more.hidden = all || entries.length <= SHOWN;
  keyed(byId("audit"), shown, ({ time, number }) => `${time} ${number}`, () => copyOf("audit-template"), showEntry);
}

function showEntry(row, entry) {
  fill(row, "time", when(entry.time));
  slot(row, "time").dateTime = entry.time;
  fill(row, "action", ACTIONS[entry.action] ?? entry.action);
  fill(row, "what", [entry.model, entry.version].filter(Boolean).join(" "));
  const outcome = slot(row, "outcome");
  outcome.hidden = entry.outcome === "done";
  outcome.className = `badge ${entry.outcome}`;
  put(outcome, entry.outcome);
  fill(row, "message", entry.message);
  fill(row, "who", `${WHO[entry.actor] ?? "Someone"} at ${entry.address}`);
}
