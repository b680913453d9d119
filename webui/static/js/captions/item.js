/* A picture of the session: the file, the answer, and what the person has made of the caption. */

import { sentence } from "./words.js";

let last = 0;

/** A new picture that is not yet in any queue. */
export const makeItem = ({ file, path }, options) => ({
  id: `${Date.now().toString(36).padStart(9, "0")}-${String(last += 1).padStart(5, "0")}`, // in the order of being given
  file, // null where only the small picture was kept
  name: path || file.name || "picture",
  options,
  state: "waiting",
  answer: null,
  problem: null,
  thumbnail: null,
  explanation: null, // the promise of one, once a word was looked at
  ...fresh(""),
  past: [], // what `fresh` has, before each change
});

const fresh = (text) => ({
  chosen: 0, // which of the captions is the caption
  text,
  checked: false, // by a person
  decorative: false, // it needs no text
  asked: false, // for a caption that is a wild guess
});

/** Start over with the answer that has just come. */
export function answered(item) {
  item.explanation = null;
  item.past = [];
  Object.assign(item, fresh(sentence(item.answer.captions[0].caption)));
}

/** What the picture shows, of a model that says so. */
export const tags = ({ answer }) => answer?.tags ?? [];

/** The caption as the model wrote it. */
export const original = (item) => item.answer.captions[item.chosen];

export const isEdited = (item) => item.text !== sentence(original(item).caption);

/** Make one of the alternatives the caption. */
export const choose = (item, index) => change(item, {
  chosen: index, text: sentence(item.answer.captions[index].caption), checked: true, decorative: false,
});

/** Replace the text by what a person wrote, or keep it as it is: it is checked then. */
export const write = (item, text) => change(item, { text: sentence(text), checked: true, decorative: false });

/** Replace the text without having looked at it. */
export const replace = (item, text) => change(item, { text: sentence(text) });

/** Say that the picture needs no text, or that it does after all. */
export const decorate = (item, decorative) => change(item, { decorative, checked: decorative });

export const ask = (item) => change(item, { asked: true });

export const revert = (item) => change(item, { text: sentence(original(item).caption), checked: false });

export function undo(item) {
  if (item.past.length) Object.assign(item, item.past.pop());
}

function change(item, made) {
  const { chosen, text, checked, decorative, asked } = item;
  if (Object.entries(made).every(([name, value]) => item[name] === value)) return;
  item.past.push({ chosen, text, checked, decorative, asked });
  Object.assign(item, made);
}
