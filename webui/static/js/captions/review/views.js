/* Which view of the session is shown, and what it lists. */

import { announce, byId, slot } from "../../web/dom.js";

/** Wire the controls; returns the function that opens a view. `large()` draws the one with a large picture. */
export function wireViews(bar, main, filter, review, large) {
  const controls = slot(bar, "views");
  const choices = [...controls.querySelectorAll("[data-view]")];
  const { show, sort } = controls.elements;
  const open = (name) => {
    const together = name !== "large";
    main.dataset.view = name;
    review.box.hidden = !together;
    byId("replace").parentElement.hidden = !together;
    slot(bar, "keys").hidden = !together;
    for (const choice of choices) choice.ariaPressed = String(choice.dataset.view === name);
    if (together) review.show();
    else large();
  };
  for (const choice of choices) choice.addEventListener("click", () => open(choice.dataset.view));
  for (const select of [show, sort]) {
    select.addEventListener("change", () => {
      filter.set({ [select.name]: select.value });
      announce(`${filter.items.length} of ${filter.queue.items.length} pictures.`);
    });
  }
  filter.addEventListener("change", () => {
    [show.value, sort.value] = [filter.show, filter.sort];
    slot(bar, "none").hidden = filter.items.length > 0 || !filter.queue.items.length;
  });
  return open;
}
