/* Making elements; all text goes in as text, never as markup. */

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

/** The element, with others inside it in place of what it had. */
export function filled(element, ...children) {
  element.replaceChildren(...children);
  return element;
}
