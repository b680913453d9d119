/* The buttons that copy and export the session. */

import { copies } from "../../web/clipboard.js";
import { closeOnLeaving } from "../../web/menu.js";
import { exportAs, lines } from "./writers.js";

/** Wire those in `bar`; `done()` gives the captioned items, `exported()` is called when somebody has them. */
export function wireExport(bar, done, exported) {
  const menu = bar.querySelector(".menu");
  for (const choice of bar.querySelectorAll("[data-export]")) {
    choice.addEventListener("click", () => {
      exportAs(choice.dataset.export, done());
      exported();
      menu.open = false;
    });
  }
  for (const choice of bar.querySelectorAll("[data-copy-all]")) {
    copies(choice, () => {
      exported();
      return lines(done());
    });
  }
  closeOnLeaving(menu);
}
