/* What makes a caption a good text alternative; the hints beside the field. */

const LONG = 125; // characters; some screen readers stop reading there
const SHORT = 3; // words; fewer seldom say who or what, and doing what
const OPENING = /^\s*(?:(?:this|here) is\s+)?(?:(?:an?|the)\s+)?(?:close-?up\s+)?(image|picture|photo(?:graph)?|pic|graphic|screenshot) (?:of|showing)\b/i;

/** Advice on a caption: {good, text}. Only one that is `trusted` is praised. */
export function advice(caption, trusted = true) {
  const text = caption.trim();
  const words = text.split(/\s+/).filter(Boolean).length;
  const opening = OPENING.exec(text);
  if (!words) return bad("Empty. Say what the picture shows.");
  if (opening) {
    return bad(`Leave out “${opening[0].trim()}”: a screen reader already says that it is an image.`);
  }
  if (text.length > LONG) {
    return bad(`${text.length} characters. Up to about ${LONG} are read out well; shorten it.`);
  }
  if (words < SHORT) return bad("Very short. Say who or what, and what happens.");
  return { good: true, text: `${text.length} characters${trusted ? ", a good length for alt text" : ""}.` };
}

const bad = (text) => ({ good: false, text });

const escaped = (text) => text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

/** The caption as an HTML element; a decorative picture has an empty text. */
export const asHtml = (name, text) => `<img src="${escaped(address(name))}" alt="${escaped(text)}">`;

/** The caption as a Markdown picture. */
export const asMarkdown = (name, text) => `![${text.replace(/[\\[\]]/g, "\\$&")}](${address(name)})`;

const address = (name) => encodeURI(name).replace(/[()?#]/g, (c) => `%${c.charCodeAt(0).toString(16)}`);
