/* The audit log. */

import { byId, copyOf, fill, keyed, put, slot } from "../web/dom.js";
import { when } from "../web/format.js";

const SHOWN = 8;
const ACTIONS = {
  default: "Make default",
  rollback: "Roll back",
  register: "Register",
  scale: "Workers",
  restore: "Restore",
  unregister: "Unregister",
  upload: "Upload",
  delete: "Delete",
  canary: "Canary",
  note: "Note",
  login: "Log in",
  logout: "Log out",
};
const LOGINS = ["login", "logout"];
const WHO = { password: "The administrator", token: "A script", service: "Captionize itself" };
const more = byId("audit-more");
const kind = byId("audit-kind");
let all = false;
let last = [];

more.addEventListener("click", () => {
  all = true;
  showHistory(last);
  byId("audit-title").focus();
});
kind.addEventListener("change", () => {
  all = false;
  showHistory(last);
});

/** Show the newest entries of the kind that is chosen, or all of them. */
export function showHistory(newest) {
  last = newest;
  const entries = newest.filter(({ action }) => LOGINS.includes(action) === (kind.value === "logins"));
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
  const open = entry.outcome === "begun"; // and not ended: it runs, or the page ended before it did
  put(outcome, open ? "no outcome yet" : entry.outcome);
  fill(row, "message", open ? "" : entry.message);
  fill(row, "who", [WHO[entry.actor] ?? "Someone", entry.address].filter(Boolean).join(" at "));
}
