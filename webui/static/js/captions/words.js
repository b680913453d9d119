/* How captions are shown; the same rules as webui/captions/shading.py has for the form. */

import { h } from "../web/dom.js";

const LEVELS = [0.8, 0.6, 0.4, 0.2];
const UNSURE_BELOW = 0.4; // shading.py says why
const MARKS = {
  right: "",
  check: "Not sure: may well be wrong",
  unknown: "This does not look like a photo it knows.",
};

/** How unsure a word is, 0 (sure) to 4. */
const doubt = (probability) => LEVELS.filter((level) => probability < level).length;

/** What a caption is marked with, "" for nothing. */
export const mark = ({ confidence, trust = confidence < UNSURE_BELOW ? "check" : "right" }) => MARKS[trust];

/** A word, shaded by its probability; further attributes as `h` takes them. */
export const shaded = (text, probability, attributes) => (
  h("span", { className: `word doubt-${doubt(probability)}`, ...attributes }, text)
);

/** Cut the caption's text at its words: [text, index of the word or null], in order. */
export function pieces({ caption, words }) {
  const cut = [];
  let end = 0;
  for (const [index, { word }] of words.entries()) {
    const start = caption.indexOf(word, end);
    if (start < 0 || !word) return [[caption, null]];
    if (start > end) cut.push([caption.slice(end, start), null]);
    end = start + word.length;
    cut.push([word, index]);
  }
  if (end < caption.length) cut.push([caption.slice(end), null]);
  return cut;
}

/** The same for a text that a person has edited: words that are still there keep their index. */
export function editedPieces(text, caption) {
  if (text === caption.caption) return pieces(caption);
  const tokens = text.split(/(\s+)/).filter(Boolean);
  const plain = tokens.map((token) => token.toLowerCase().replace(/^\W+|\W+$/g, ""));
  const words = caption.words.map(({ word }) => word.toLowerCase());
  const kept = common(plain, words);
  return tokens.map((token, at) => [token, kept.get(at) ?? null]);
}

/** The longest common subsequence of two lists of words, as a map from a's places to b's. */
function common(a, b) {
  const best = Array.from({ length: a.length + 1 }, () => new Array(b.length + 1).fill(0));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      best[i][j] = a[i] && a[i] === b[j]
        ? best[i + 1][j + 1] + 1
        : Math.max(best[i + 1][j], best[i][j + 1]);
    }
  }
  const pairs = new Map();
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    if (a[i] && a[i] === b[j]) pairs.set(i++, j++);
    else if (best[i + 1][j] >= best[i][j + 1]) i += 1;
    else j += 1;
  }
  return pairs;
}
