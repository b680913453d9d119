/* The large view of one picture: being read, captioned, or refused. */

import { copies } from "../../web/clipboard.js";
import { announce, button, copyOf, fill, h, on, showPicture, slot } from "../../web/dom.js";
import { percent } from "../../web/format.js";
import { closeOnLeaving } from "../../web/menu.js";
import { problemBox } from "../form.js";
import { ask, choose, decorate, isEdited, original, tags, write } from "../item.js";
import { canRetry } from "../queue.js";
import { marks } from "../review/tile.js";
import { isLarge } from "../shrink.js";
import { isToCheck, isWithheld, level, said, showTrust } from "../trust.js";
import { differences, sentence } from "../words.js";
import { asHtml, asMarkdown } from "./alttext.js";
import { Editor } from "./editor.js";
import { Reading } from "./reading.js";
import { snippets } from "./snippets.js";

const MEANING = { // shading.py has the same
  right: "",
  check: "Not sure: may well be wrong.",
  unknown: "This does not look like a photo it knows.",
};

/** The view of a picture that waits or is being captioned. */
export function working(item, source, { cancel }) {
  const view = copyOf("working");
  showPicture(view, source);
  fill(view, "progress", item.state === "sending" ? "Reading the picture…" : "Waiting for its turn…");
  on(view, "cancel", cancel);
  return view;
}

/** The view of what went wrong, or of what was cancelled. */
export function problem(item, { retry, remove }) {
  const cancelled = { code: "", message: `${item.name} was not captioned.` };
  const view = problemBox(item.state === "cancelled" ? cancelled : item.problem);
  if (item.state === "cancelled") fill(view, "title", "Cancelled");
  fill(view, "file", item.name);
  on(view, "retry", retry).hidden = !canRetry(item);
  on(view, "remove", remove).hidden = false;
  return view;
}

/**
 * An answer beside its picture. `explain(item)` promises an explanation, `changed()` is called when
 * the caption changes, `address` is the API's, for the snippets. `filter(tag)` is called with the tag
 * to list pictures by, or null; without it tags are only shown.
 */
export function result(item, source, { explain, changed, address, filter }) {
  const view = copyOf("result");
  const { image, model } = item.answer;
  showPicture(view, source);
  const smaller = item.file && isLarge(item.file) ? ", made smaller to send it" : "";
  fill(view, "image", `${image.width} × ${image.height} ${image.format}${smaller}`);
  fill(view, "model", `${model.name} ${model.version}`);
  for (const name of ["tools", "legend"]) slot(view, name).hidden = false;
  const refresh = () => {
    slot(view, "picture").alt = said(item);
    trusted(view, item);
    others(view, item, step);
    reading.show();
    editor.refresh();
  };
  const done = () => {
    refresh();
    changed();
  };
  const step = (make) => () => {
    make();
    button(view, "edit").focus(); // the button that was used may be gone
    done();
  };
  const reading = new Reading(view, item, explain);
  const editor = new Editor(view, item, done);
  refresh();
  slot(view, "guess").querySelector("summary").addEventListener("click", step(() => ask(item)));
  on(view, "keep", step(() => { write(item, item.text); announce("Checked."); }));
  on(view, "decorate", () => { decorate(item, !item.decorative); done(); });
  slot(view, "tags").replaceChildren(...tags(item).map((tag) => chip(tag, filter)));
  slot(view, "tags").hidden = !tags(item).length;
  offerCopies(view, item);
  offerSnippets(view, snippets(address, item.name, item.options));
  return view;
}

/** How far the caption can be trusted; what a person wrote has none of the model's numbers. */
function trusted(view, item) {
  const now = level(item);
  view.dataset.trust = isWithheld(item) ? "unknown" : "known";
  view.classList.toggle("decorative", item.decorative);
  showTrust(slot(view, "trust"), now);
  fill(view, "meaning", MEANING[now] ?? "");
  fill(view, "percent", percent(original(item).confidence));
  slot(view, "confident").hidden = item.answer.calibrated === false;
  fill(view, "log", original(item).log_probability.toFixed(2));
  slot(view, "model-facts").hidden = isEdited(item);
  slot(view, "looks").hidden = isEdited(item);
  button(view, "keep").hidden = !isToCheck(item);
  button(view, "decorate").ariaPressed = String(item.decorative);
}

function chip({ word, probability }, filter) {
  const row = copyOf("tag");
  const made = row.firstElementChild;
  made.textContent = word;
  made.title = `${percent(probability)} sure`;
  if (filter) {
    made.disabled = false;
    made.title += ". Lists only pictures with it.";
    made.addEventListener("click", () => filter(made.ariaPressed === "true" ? null : word));
  }
  return row;
}

/** Mark the chip of the tag that pictures are listed by. */
export function press(view, tag) {
  for (const chip of view.querySelectorAll(".chip")) chip.ariaPressed = String(chip.textContent === tag);
}

function others(view, item, step) {
  const rows = item.answer.captions.flatMap((caption, index) => {
    if (index === item.chosen && !isEdited(item)) return [];
    const row = copyOf("alternative");
    const text = sentence(caption.caption);
    slot(row, "text").replaceChildren(...marks(caption.caption, item.text));
    const use = on(row, "use", step(() => {
      choose(item, index);
      announce(`The caption is now: ${text}`);
    }));
    use.hidden = false;
    const apart = differences(text, item.text).filter(([, differs]) => differs).map(([part]) => part.trim());
    use.ariaLabel = `Use this: ${apart.join(", ") || text}`;
    return [row];
  });
  slot(view, "others").hidden = !rows.length;
  slot(view, "alternatives").replaceChildren(...rows);
}

function offerCopies(view, item) {
  copies(button(view, "copy-text"), () => said(item));
  copies(button(view, "copy-html"), () => asHtml(item.name, said(item)));
  copies(button(view, "copy-markdown"), () => asMarkdown(item.name, said(item)));
  closeOnLeaving(slot(view, "formats"));
}

function offerSnippets(view, texts) {
  slot(view, "snippets").hidden = false;
  let shown;
  const buttons = Object.keys(texts).map((name) => h("button", { type: "button", onclick: () => show(name) }, name));
  const show = (name) => {
    shown = name;
    fill(view, "code", texts[name]);
    for (const language of buttons) language.ariaPressed = String(language.textContent === name);
  };
  slot(view, "languages").prepend(...buttons);
  show("curl");
  copies(button(view, "copy-code"), () => texts[shown]);
}
