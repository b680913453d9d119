/* How captions and numbers are shown; the same rules as webui/answer.py has for the form. */

const LEVELS = [0.8, 0.6, 0.4, 0.2];

/** How unsure a word is, 0 (sure) to 4. */
export const doubt = (probability) => LEVELS.filter((level) => probability < level).length;

/** 0.974 as "97%"; never "0%" for what is only small. */
export const percent = (share) => (share < 0.01 ? "<1%" : `${Math.round(share * 100)}%`);

/** Cut the caption's text at its words: [text, probability or null], in order. */
export function pieces({ caption, words }) {
  const cut = [];
  let end = 0;
  for (const { word, probability } of words) {
    const start = caption.indexOf(word, end);
    if (start < 0 || !word) return [[caption, null]];
    if (start > end) cut.push([caption.slice(end, start), null]);
    end = start + word.length;
    cut.push([word, probability]);
  }
  if (end < caption.length) cut.push([caption.slice(end), null]);
  return cut;
}
