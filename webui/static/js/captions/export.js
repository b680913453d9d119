/* The session as a file: CSV, JSON, JSON Lines, or a .txt beside each picture's name in a zip. */

import { isEdited, original, tags } from "./item.js";
import { zip } from "./zip.js";

/** What is exported of a captioned picture. */
export function record(item) {
  const caption = original(item);
  const { image, model } = item.answer;
  return {
    file: item.name,
    caption: item.text,
    edited: isEdited(item),
    original: caption.caption,
    confidence: caption.confidence,
    log_probability: caption.log_probability,
    model: model.name,
    version: model.version,
    width: image.width,
    height: image.height,
    format: image.format,
    trust: caption.trust, // none of older models
    tags: tags(item).map(({ word }) => word).join("; "),
  };
}

/** Everything, with the alternatives and the probability of every word and tag. */
const detailed = (item) => ({ ...record(item), tags: tags(item), captions: item.answer.captions });

const WRITERS = {
  csv: (items) => [csv(items.map(record)), "text/csv"],
  json: (items) => [`${JSON.stringify(items.map(detailed), null, 2)}\n`, "application/json"],
  jsonl: (items) => [items.map((item) => `${JSON.stringify(detailed(item))}\n`).join(""), "application/jsonl"],
  zip: (items) => [zip(sidecars(items)), "application/zip"],
};

/** Download the captioned pictures' texts as `kind`: csv, json, jsonl or zip. */
export function exportAs(kind, items) {
  const [content, type] = WRITERS[kind](items);
  save(`captions.${kind}`, content, type);
}

/** Hand a file to the browser's downloads. */
export function save(name, content, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000); // the download has begun by then
}

/** Records of the same members as CSV, as in RFC 4180. */
export function csv(records) {
  const names = Object.keys(records[0] ?? {});
  const rows = records.map((one) => names.map((name) => cell(one[name])).join(","));
  return [names.join(","), ...rows, ""].join("\r\n");
}

function cell(value) {
  // A spreadsheet would run a text that begins like a formula.
  const text = typeof value === "string" ? value.replace(/^[=+\-@\t\r]/, "'$&") : String(value ?? "");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** [name, text] for each picture: its own name with .txt, made unique, its folders kept. */
function sidecars(items) {
  const taken = new Set();
  return items.map(({ name, text }) => {
    const parts = name.split(/[\\/]/).filter((part) => part && part !== "." && part !== "..");
    const stem = parts.join("/").replace(/\.[^./]*$/, "") || "picture";
    let path = `${stem}.txt`;
    for (let number = 2; taken.has(path.toLowerCase()); number += 1) path = `${stem}-${number}.txt`;
    taken.add(path.toLowerCase());
    return [path, `${text}\n`];
  });
}
