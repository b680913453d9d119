/* Copies of the pictures with their captions inside: the server writes them, and keeps nothing. */

import { askForFile } from "../../web/api.js";
import { count } from "../../web/format.js";
import { said } from "../trust.js";
import { save } from "./table.js";

const MOST = 200; // pictures that the server takes at once
const OVERHEAD = 1024; // bytes, more than a picture's name and caption take in a request
const HOLDS = /^(JPEG|MPO|PNG|WEBP|TIFF)$/; // formats that can have a caption inside

/**
 * Download ZIPs of the captioned items' copies, made at `address` from at most `limit` bytes at a time.
 * Promises a sentence about it; `tell(text)` says what it is at.
 */
export async function embed(items, address, limit, tell) {
  const given = items.filter((item) => item.file && (item.decorative || said(item)));
  const all = parts(given, limit);
  for (const [index, part] of all.entries()) {
    tell(`Writing captions into ${count(given.length, "picture")}…${all.length > 1 ? ` Part ${index + 1} of ${all.length}.` : ""}`);
    const body = new FormData();
    for (const item of part) {
      body.append("image", item.file, item.file.name || "picture");
      body.append("caption", said(item));
    }
    const made = await askForFile(address, { method: "POST", body });
    save(all.length > 1 ? `captioned-${index + 1}.zip` : "captioned.zip", made, made.type);
  }
  const unfit = given.filter(({ answer }) => !HOLDS.test(answer.image.format)).length;
  const without = items.length - given.length;
  return [
    `${count(given.length - unfit, "picture")} saved with ${given.length - unfit === 1 ? "its caption" : "their captions"} inside.`,
    unfit && `${unfit} of a kind that holds none: left-out.txt has the names.`,
    without && `${without} left out: no caption, or the picture itself was not kept.`,
  ].filter(Boolean).join(" ");
}

/** The items in groups that the server takes at once. */
function parts(items, limit) {
  const made = [];
  let bytes = Infinity;
  for (const item of items) {
    const size = item.file.size + OVERHEAD + 4 * said(item).length;
    if (bytes + size > limit || made.at(-1).length === MOST) {
      made.push([]);
      bytes = 0;
    }
    made.at(-1).push(item);
    bytes += size;
  }
  return made;
}
