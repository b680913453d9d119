/* How far a caption can be trusted, in one language everywhere; webui/captions/shading.py has the same for the form. */

import { isEdited, original } from "./item.js";
import { doubtful } from "./words.js";

const CHECK_BELOW = 0.4; // shading.py says why
const SMALLEST = 16; // pixels; the same

const NAMES = {
  right: "Looks right",
  check: "Check",
  unknown: "Can't tell",
};
const OWN = { checked: "Checked", decorative: "Decorative" };

/** How far one of an answer's captions can be trusted; null where its model's confidence means nothing. */
export function trust({ image, calibrated }, caption) {
  if (Math.min(image.width, image.height) < SMALLEST) return "unknown";
  if (caption.trust || calibrated === false) return caption.trust ?? null;
  return caption.confidence < CHECK_BELOW ? "check" : "right";
}

/** What the caption of a captioned item is now: what a person has said of it, or else its trust. */
export function level(item) {
  if (item.decorative) return "decorative";
  if (item.checked) return "checked";
  return isEdited(item) ? "check" : trust(item.answer, original(item));
}

/** Whether somebody should still look at it. */
export const isToCheck = (item) => item.state === "done" && !["right", "checked", "decorative"].includes(level(item));

/** Whether the caption is a wild guess, not shown until it is asked for. */
export const isWithheld = (item) => level(item) === "unknown" && !item.asked;

/** The text as it is shown, copied and exported. */
export const said = (item) => (item.decorative || isWithheld(item) ? "" : item.text);

/** A level in words, "" for none. */
export const named = (one) => NAMES[one] ?? OWN[one] ?? "";

/** Least sure first. */
export function unsureFirst(a, b) {
  const rank = (item) => ["unknown", "check", null, "right"].indexOf(trust(item.answer, original(item)));
  return rank(a) - rank(b) || original(a).confidence - original(b).confidence;
}

/** Show a level in its mark: an icon, a word and a colour. */
export function showTrust(mark, one) {
  mark.hidden = !named(one);
  mark.dataset.trust = one ?? "";
  mark.textContent = named(one);
}

/** Whether a word of an answer's caption is in doubt; a tag that is sure speaks for it. */
export const isDoubtful = ({ tags = [] }, { word, probability }) => (
  doubtful(word, probability) && !tags.some((tag) => tag.word === word && tag.probability >= 0.5)
);
