/* The session as a file: CSV, JSON, JSON Lines, or a .txt beside each picture's name in a zip. */

import { isEdited, original, tags } from "../item.js";
import { said, trust } from "../trust.js";
import { sentence } from "../words.js";
import { csv, save } from "./table.js";
import { zip } from "./zip.js";

/** What is exported of a captioned picture; of what a person wrote, nothing that the model thinks of its own. */
function record(item) {
  const caption = original(item);
  const { image, model } = item.answer;
  const own = isEdited(item);
  return {
    file: item.name,
    caption: said(item), // empty: decorative, or a wild guess that nobody has looked at
    trust: own ? undefined : trust(item.answer, caption) ?? undefined,
    checked: item.checked,
    edited: own,
    decorative: item.decorative,
    original: sentence(caption.caption),
    confidence: own ? undefined : caption.confidence,
    log_probability: own ? undefined : caption.log_probability,
    model: model.name,
    version: model.version,
    width: image.width,
    height: image.height,
    format: image.format,
    tags: tags(item).map(({ word }) => word).join("; "),
  };
}

/** Everything, with the alternatives and the probability of every word and tag. */
const detailed = (item) => ({ ...record(item), tags: tags(item), captions: item.answer.captions });

const table = (items) => csv(items.map(record));

const WRITERS = {
  csv: (items) => [table(items), "text/csv"],
  json: (items) => [`${JSON.stringify(items.map(detailed), null, 2)}\n`, "application/json"],
  jsonl: (items) => [items.map((item) => `${JSON.stringify(detailed(item))}\n`).join(""), "application/jsonl"],
  zip: (items) => [zip([...sidecars(items), ["captions.csv", table(items)]]), "application/zip"],
};

/** Download the captioned pictures' texts as `kind`: csv, json, jsonl or zip. */
export function exportAs(kind, items) {
  const [content, type] = WRITERS[kind](items);
  save(`captions.${kind}`, content, type);
}

/** All captions as text that spreadsheets and documents take: a line for each picture. */
export const lines = (items) => items.map((item) => `${item.name}\t${said(item)}`).join("\n");

/** [name, text] for each picture with a caption: its own name with .txt, made unique, its folders kept. */
function sidecars(items) {
  const taken = new Set();
  return items.filter(said).map((item) => {
    const parts = item.name.split(/[\\/]/).filter((part) => part && part !== "." && part !== "..");
    const stem = parts.join("/").replace(/\.[^./]*$/, "") || "picture";
    let path = `${stem}.txt`;
    for (let number = 2; taken.has(path.toLowerCase()); number += 1) path = `${stem}-${number}.txt`;
    taken.add(path.toLowerCase());
    return [path, `${said(item)}\n`];
  });
}
