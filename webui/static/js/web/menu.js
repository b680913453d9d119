/* Menus: a <details> whose panel has buttons. */

/** Close a menu when it is left, when something was chosen, and on Escape. */
export function closeOnLeaving(menu) {
  const leave = ({ target }) => { if (menu.open && !menu.contains(target)) menu.open = false; };
  const listening = new AbortController();
  for (const type of ["pointerdown", "focusin"]) {
    document.addEventListener(type, (event) => {
      if (menu.isConnected) leave(event);
      else listening.abort(); // it belonged to a view that is gone
    }, { signal: listening.signal });
  }
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    event.stopPropagation();
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}
