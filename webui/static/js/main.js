/* The page's script: takes a picture, has it captioned, shows what comes of it. */

import { Problem, caption } from "./api.js";
import { listen } from "./intake.js";
import * as view from "./view.js";

const SLOW_MS = 8000;
const AGAIN = new Set([0, 429, 500, 502, 503, 504]); // where the same picture may well succeed

const form = document.getElementById("upload");
const input = form.elements.image;
let current = new AbortController();
let source = "";

input.required = false; // it is emptied after each choice, which must not make the form invalid

// The script sends each picture by itself; the form's own way is for pages without it.
form.addEventListener("submit", (event) => event.preventDefault());
listen(input, take, refuse);

async function take(picture) {
  current.abort();
  const mine = new AbortController();
  current = mine;
  if (!optionsAreValid()) return;
  const wrong = check(picture);
  if (wrong) {
    view.problem(wrong);
    return;
  }
  URL.revokeObjectURL(source);
  source = URL.createObjectURL(picture);
  const say = view.working(source, () => { mine.abort(); view.empty(); });
  const slow = setTimeout(say, SLOW_MS, "Still at it: the service is busy…");
  try {
    const answer = await caption(form.dataset.api, picture, options(), mine.signal);
    if (!mine.signal.aborted) view.result(answer, source);
  } catch (error) {
    if (mine.signal.aborted) return;
    if (!(error instanceof Problem)) throw error;
    view.problem(error, AGAIN.has(error.code) ? () => take(picture) : null);
  } finally {
    clearTimeout(slow);
  }
}

function refuse(message) {
  current.abort();
  view.problem(new Problem(400, message));
}

/** What can be told before sending: a browser would upload it all only to be refused. */
function check(picture) {
  const { maxBytes, maxMb } = form.dataset;
  if (picture.size === 0) return new Problem(400, "This file is empty. Choose another one.");
  if (picture.size > Number(maxBytes)) {
    return new Problem(413, `It can have at most ${maxMb} MB. Save it smaller or as a JPEG and try again.`);
  }
  return null;
}

function optionsAreValid() {
  if (form.checkValidity()) return true;
  form.querySelector(".options").open = true; // the browser points at the wrong one only if shown
  return form.reportValidity();
}

function options() {
  const names = ["beam_size", "num_captions", "max_length"];
  return Object.fromEntries(names.map((name) => [name, form.elements[name].value]));
}
