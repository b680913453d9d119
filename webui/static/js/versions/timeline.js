/* What became of the versions, as a line in time: who made which one live, and when. */

import { byId, copyOf, fill, keyed, slot } from "../web/dom.js";
import { when } from "../web/format.js";

const SHOWN = 12;
const WHO = { password: "by the administrator", token: "by a script", service: "by Captionize itself" };
// What an entry of the audit log means for a version; the log's sentence says the rest.
const MEANS = {
  default: ({ model, version }) => `${model} ${version} went live`,
  rollback: ({ message }) => `Rolled back: ${message.split(";")[0]}`,
  canary: ({ version, message }) => (version ? `Canary: ${message.replace(/\.$/, "")}` : "The canary was turned off"),
  register: ({ model, version }) => `${model} ${version} was registered`,
  unregister: ({ model, version }) => `${model} ${version} was unregistered`,
};

/** Show the newest events, and first of all what is live now. */
export function showTimeline(audit, models) {
  const events = audit.filter(({ action, outcome }) => outcome === "done" && action in MEANS);
  const live = models.map((model) => ({ ...liveNow(model, events), key: `live ${model.name}` }));
  const past = events.slice(0, SHOWN).map((entry) => ({
    key: `${entry.time} ${entry.id}`,
    what: MEANS[entry.action](entry),
    who: WHO[entry.actor] ?? "",
    time: entry.time,
    kind: entry.action,
  }));
  keyed(byId("timeline"), [...live, ...past], ({ key }) => key, () => copyOf("event-template"), showEvent);
  byId("timeline-section").hidden = !models.length;
}

function liveNow({ name, default: version }, events) {
  const made = events.find(({ action, model, message }) =>
    model === name && (action === "default" || action === "rollback") && message.startsWith(`${name} ${version} `));
  return {
    what: `${name} ${version} is live`,
    who: made ? WHO[made.actor] ?? "" : "since the service was set up",
    time: made?.time,
    kind: "live",
  };
}

function showEvent(row, { what, who, time, kind }) {
  row.className = kind;
  fill(row, "what", what);
  fill(row, "who", who);
  const clock = slot(row, "time");
  clock.hidden = !time;
  if (time) {
    fill(row, "time", kind === "live" ? `since ${when(time)}` : when(time));
    clock.dateTime = time;
  }
}
