/* Small helpers over templates. All text goes in as text, never as markup. */

export const slot = (root, name) => root.querySelector(`[data-slot="${name}"]`);

export const fill = (root, name, text) => { slot(root, name).textContent = text; };

/** A copy of what a <template> holds. */
export const copyOf = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true);

/** Have a click on the element with this data-action call `then`; returns the element. */
export function on(root, action, then) {
  const element = root.querySelector(`[data-action="${action}"]`);
  element.addEventListener("click", then);
  return element;
}

const announcement = document.getElementById("announce");

/** Have screen readers say something. */
export const say = (text) => { announcement.textContent = text; };

/** What stands over an error with this HTTP status. */
export function title({ code }) {
  const { titles, otherTitle } = document.getElementById("problem").dataset;
  if (code === 0) return "The server cannot be reached";
  return JSON.parse(titles)[code] ?? otherTitle;
}

/** The box that tells of an error: {code, message}. */
export function problemBox({ code, message }) {
  const view = copyOf("problem");
  fill(view, "title", title({ code }));
  fill(view, "message", message);
  return view;
}

/** Show a picture, or a line in its place where the browser cannot. */
export function showPicture(view, source) {
  const image = slot(view, "picture");
  const instead = slot(view, "nopicture");
  instead.hidden = true;
  image.addEventListener("error", () => {
    image.hidden = true;
    instead.hidden = false;
  });
  image.src = source;
  image.hidden = false;
}
