/* A picture of the session: the file, the answer, and what the person has made of the caption. */

let last = 0;

/** A new picture that is not yet in any queue. */
export const makeItem = ({ file, path }, options) => ({
  id: `${Date.now().toString(36)}-${(last += 1)}`,
  file,
  name: path || file.name || "picture",
  options,
  state: "waiting",
  answer: null,
  problem: null,
  thumbnail: null,
  explanation: null, // the promise of one, once a word was looked at
  chosen: 0, // which of the captions is the caption
  text: "",
  past: [], // [chosen, text] before each change
});

/** Start over with the answer that has just come. */
export function answered(item) {
  item.explanation = null;
  item.chosen = 0;
  item.text = item.answer.captions[0].caption;
  item.past = [];
}

/** What the picture shows, of a model that says so. */
export const tags = ({ answer }) => answer?.tags ?? [];

/** The caption as the model wrote it. */
export const original = (item) => item.answer.captions[item.chosen];

export const isEdited = (item) => item.text !== original(item).caption;

/** Make one of the alternatives the caption. */
export const choose = (item, index) => change(item, index, item.answer.captions[index].caption);

/** Replace the text by what a person wrote. */
export const write = (item, text) => change(item, item.chosen, text);

export const revert = (item) => write(item, original(item).caption);

export function undo(item) {
  if (item.past.length) [item.chosen, item.text] = item.past.pop();
}

function change(item, chosen, text) {
  if (chosen === item.chosen && text === item.text) return;
  item.past.push([item.chosen, item.text]);
  [item.chosen, item.text] = [chosen, text];
}
