/* Small helpers over the document and its templates. All text goes in as text, never as markup. */

export const byId = (id) => document.getElementById(id);

export const slot = (root, name) => root.querySelector(`[data-slot="${name}"]`);

export const button = (root, action) => root.querySelector(`[data-action="${action}"]`);

/** Set text only where it differs: what is unchanged is neither drawn nor announced again. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export const fill = (root, name, text) => put(slot(root, name), text);

/** A copy of what a <template> holds. */
export const copyOf = (id) => byId(id).content.firstElementChild.cloneNode(true);

/** Call `then` on each click on the element with this data-action; returns the element. */
export function on(root, action, then) {
  const element = button(root, action);
  element.addEventListener("click", then);
  return element;
}

/** Have screen readers announce something. */
export const announce = (text) => { byId("announce").textContent = text; };

/** Show a picture that was hidden until there was one. */
export function showImage(image, source) {
  image.src = source;
  image.hidden = false;
}

/** Show a picture in a view, or a line in its place where the browser cannot. */
export function showPicture(view, source) {
  const image = slot(view, "picture");
  const instead = slot(view, "nopicture");
  instead.hidden = true;
  image.addEventListener("error", () => {
    image.hidden = true;
    instead.hidden = false;
  });
  showImage(image, source);
}

/** An element: `h("p", {className: "soft", "aria-label": "x"}, "text", child)`. Nothing and false are left out. */
export function h(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key in made && !key.includes("-")) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== undefined && child !== null && child !== false));
  return made;
}

/**
 * Bring the children of `parent` in line with `items`: one for each, known by its key, kept where it
 * was there before, so that focus and open folds stay.
 */
export function keyed(parent, items, key, make, update) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const now = items.map((item) => {
    const name = key(item);
    const child = before.get(name) ?? make(item);
    child.dataset.key = name;
    update(child, item);
    return child;
  });
  const old = [...parent.children];
  if (old.every((child, at) => child === now[at])) parent.append(...now.slice(old.length));
  else parent.replaceChildren(...now);
}
