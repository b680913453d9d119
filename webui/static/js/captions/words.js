/* How captions are written out; the same rules as webui/captions/shading.py has for the form. */

import { h } from "../web/dom.js";

const DOUBTFUL_BELOW = 0.2; // shading.py says why
const FUNCTION_WORDS = new Set((
  "a an the 's his her its their he him she it they them who which that this these those there "
  + "is are was were be been being has have had and or but while as of in on at to from with by for "
  + "into near next over under up down through around behind beside between out off front top"
).split(" "));

/** The text as a sentence: its first letter is a capital one. */
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Whether a word that names something is in doubt. */
export const doubtful = (word, probability) => probability < DOUBTFUL_BELOW && !FUNCTION_WORDS.has(word);

/** A word as it stands in a caption. */
export const marked = (text, doubt, attributes) => h("span", { className: doubt ? "word doubtful" : "word", ...attributes }, text);

/** Cut the caption's text, as a sentence, at its words: [text, index of the word or null], in order. */
export function pieces({ caption, words }) {
  const whole = sentence(caption);
  const cut = [];
  let end = 0;
  for (const [index, { word }] of words.entries()) {
    const start = caption.indexOf(word, end);
    if (start < 0 || !word) return [[whole, null]];
    if (start > end) cut.push([whole.slice(end, start), null]);
    end = start + word.length;
    cut.push([whole.slice(start, end), index]);
  }
  if (end < caption.length) cut.push([whole.slice(end), null]);
  return cut;
}

/** The same for a text that a person has edited: words that are still there keep their index. */
export function editedPieces(text, caption) {
  if (text === sentence(caption.caption)) return pieces(caption);
  const tokens = text.split(/(\s+)/).filter(Boolean);
  const kept = common(tokens.map(plain), caption.words.map(({ word }) => plain(word)));
  return tokens.map((token, at) => [token, kept.get(at) ?? null]);
}

/** A text cut where it differs from another one: [text, whether the other lacks it], in order. */
export function differences(text, other) {
  const tokens = text.split(/(\s+)/).filter(Boolean);
  const kept = common(tokens.map(plain), other.split(/\s+/).map(plain));
  const cut = [];
  for (const [at, token] of tokens.entries()) {
    const lacking = token.trim() ? !kept.has(at) : Boolean(cut.at(-1)?.[1] && !kept.has(at + 1));
    if (cut.at(-1)?.[1] === lacking) cut.at(-1)[0] += token;
    else cut.push([token, lacking]);
  }
  return cut;
}

const plain = (token) => token.toLowerCase().replace(/^\W+|\W+$/g, "");

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
