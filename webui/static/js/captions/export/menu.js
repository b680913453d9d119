/* The buttons that copy and export the session. */

import { copies } from "../../web/clipboard.js";
import { announce, fill } from "../../web/dom.js";
import { closeOnLeaving } from "../../web/menu.js";
import { form, showNotice } from "../form.js";
import { embed } from "./embed.js";
import { exportAs, lines } from "./writers.js";

/** Wire those in `bar`; `done()` gives the captioned items, `exported()` is called when somebody has them. */
export function wireExport(bar, done, exported) {
  const menu = bar.querySelector(".menu");
  const embeds = [...bar.querySelectorAll("[data-embed]")];
  const tell = (text) => {
    fill(bar, "exported", text);
    announce(text);
  };
  const write = async () => {
    menu.open = false;
    showNotice(null);
    for (const choice of embeds) choice.disabled = true; // the server writes for two at a time
    try {
      tell(await embed(done(), form.dataset.inscriptions, Number(form.dataset.maxZipBytes), tell));
      exported();
    } catch (problem) {
      tell("");
      showNotice(problem, "retry", write);
    }
    for (const choice of embeds) choice.disabled = false;
  };
  for (const choice of embeds) choice.addEventListener("click", write);
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
