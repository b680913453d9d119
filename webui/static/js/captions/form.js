/* The upload form of the pages that caption, and the notice above it. */

import { Problem, ask } from "../web/api.js";
import { byId, copyOf, fill, on } from "../web/dom.js";
import { check, listen } from "./intake.js";
import { isLarge, shrink } from "./shrink.js";

const notice = byId("notice");
export const form = byId("upload");
export const fields = ["people", "alternatives", "num_captions", "max_length", "beam_size"].map((name) => form.elements[name]);

export const options = () => Object.fromEntries(fields.map(({ name, value }) => [name, value]));

/**
 * Have the server at `address` caption or explain a picture. `given` maps names of options to text;
 * empty ones are left to the server. A picture above its limits, or a proxy's, is sent smaller.
 */
export async function caption(address, picture, given, signal) {
  const large = isLarge(picture) || picture.size > Number(form.dataset.maxBytes);
  const sent = large ? await shrink(picture) : picture;
  try {
    return await send(address, sent, given, signal);
  } catch (problem) {
    const refused = problem.code === 413 || problem.type === "TooManyPixels";
    const smaller = refused && !large ? await shrink(picture) : sent;
    if (smaller === sent) throw problem;
    return send(address, smaller, given, signal);
  }
}

function send(address, picture, given, signal) {
  const wrong = check(picture, form.dataset);
  if (wrong) throw new Problem(...wrong);
  const body = new FormData();
  body.append("image", picture, picture.name || "picture");
  for (const [name, value] of Object.entries(given)) if (value) body.append(name, value);
  return ask(address, { method: "POST", body, signal });
}

/**
 * Pass pictures from every source to `take`; returns the function that does so, for one source more.
 * While `busy()`, leaving the page warns.
 */
export function open(busy, take) {
  const taken = (files) => {
    showNotice(null);
    if (!form.hidden && optionsAreValid()) take(files);
  };
  form.addEventListener("submit", (event) => event.preventDefault()); // the way for pages without script
  listen(form, taken, refuse);
  addEventListener("beforeunload", (event) => { if (busy()) event.preventDefault(); });
  return taken;
}

export function optionsAreValid() {
  if (form.checkValidity()) return true;
  // The browser can point out a wrong option only where it is visible.
  for (const field of fields.filter((one) => !one.checkValidity())) {
    for (let fold = field.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  }
  return form.reportValidity();
}

export function refuse(message) {
  if (!form.hidden) showNotice({ code: 400, message }, "close", () => showNotice(null));
}

/** Show an error above the form, with a button that does `then`; null takes it away. */
export function showNotice(problem, action, then) {
  notice.replaceChildren(...(problem ? [problemBox(problem)] : []));
  if (problem) on(notice, action, then).hidden = false;
}

/** The heading over an error of this type, or with this HTTP status. */
export function title({ code, type }) {
  const { titles, otherTitle } = byId("problem").dataset;
  if (code === 0) return "The server cannot be reached";
  const known = JSON.parse(titles);
  return known[type] ?? known[code] ?? otherTitle;
}

/** The box of an error: {code, type, message}. */
export function problemBox({ code, type, message }) {
  const view = copyOf("problem");
  fill(view, "title", title({ code, type }));
  fill(view, "message", message);
  return view;
}
