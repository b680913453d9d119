/* The large view of one picture: being read, captioned, or refused. */

import { copies } from "../../web/clipboard.js";
import { announce, button, copyOf, fill, h, on, showPicture, slot } from "../../web/dom.js";
import { percent } from "../../web/format.js";
import { problemBox } from "../form.js";
import { choose, original, tags } from "../item.js";
import { canRetry } from "../queue.js";
import { isLarge } from "../shrink.js";
import { mark } from "../words.js";
import { asHtml, asMarkdown } from "./alttext.js";
import { Editor } from "./editor.js";
import { Reading } from "./reading.js";
import { snippets } from "./snippets.js";

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
  fill(view, "image", `${image.width} × ${image.height} ${image.format}${isLarge(item.file) ? ", made smaller to send it" : ""}`);
  fill(view, "model", `${model.name} ${model.version}`);
  slot(view, "tools").hidden = false;
  const refresh = () => {
    slot(view, "picture").alt = item.text;
    numbers(view, original(item));
    others(view, item, () => { editor.refresh(); refresh(); });
    reading.show();
    changed();
  };
  const reading = new Reading(view, item, explain);
  const editor = new Editor(view, item, refresh);
  refresh();
  slot(view, "tags").replaceChildren(...tags(item).map((tag) => chip(tag, filter)));
  slot(view, "tags").hidden = !tags(item).length;
  offerCopies(view, item);
  offerSnippets(view, snippets(address, item.name, item.options));
  return view;
}

function numbers(view, caption) {
  fill(view, "percent", percent(caption.confidence));
  fill(view, "mark", mark(caption));
  slot(view, "mark").hidden = !mark(caption);
  slot(view, "words").replaceChildren(...caption.words.map(({ word, probability }) => {
    const row = copyOf("word-row");
    fill(row, "word", word);
    fill(row, "percent", percent(probability));
    setBar(row, probability);
    return row;
  }));
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

function others(view, item, chosen) {
  const rows = item.answer.captions.flatMap((caption, index) => {
    if (index === item.chosen) return [];
    const row = copyOf("alternative");
    fill(row, "text", caption.caption);
    fill(row, "percent", percent(caption.confidence));
    fill(row, "log", caption.log_probability.toFixed(2));
    setBar(row, caption.confidence);
    const use = on(row, "use", () => {
      choose(item, index);
      chosen();
      announce(`The caption is now: ${caption.caption}`);
      button(view, "edit").focus(); // the button that was used is gone
    });
    use.hidden = false;
    use.ariaLabel = `Use this: ${caption.caption}`;
    return [row];
  });
  slot(view, "others").hidden = !rows.length;
  slot(view, "alternatives").replaceChildren(...rows);
}

const setBar = (row, share) => row.querySelector("rect").setAttribute("width", share * 100);

function offerCopies(view, item) {
  copies(button(view, "copy-text"), () => item.text);
  copies(button(view, "copy-html"), () => asHtml(item.name, item.text));
  copies(button(view, "copy-markdown"), () => asMarkdown(item.name, item.text));
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
