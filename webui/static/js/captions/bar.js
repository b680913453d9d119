/* The line above the pictures: how far the session is, what holds it up, what can be done with it. */

import { announce, button, fill, on, slot } from "../web/dom.js";
import { count } from "../web/format.js";
import { title } from "./form.js";
import { canRetry } from "./queue.js";
import { isToCheck } from "./trust.js";

/** Show the state of `queue` and of `filter` in `bar`. `act` has a function for each button. */
export class Bar {
  constructor(bar, queue, filter, act) {
    this.bar = bar;
    this.queue = queue;
    this.filter = filter;
    this.busy = false;
    for (const [action, then] of Object.entries(act)) on(bar, action, then);
    on(bar, "wake", () => queue.wake());
    queue.addEventListener("item", () => this.#soon());
    queue.addEventListener("pause", () => this.#pause());
    filter.addEventListener("change", () => this.#soon());
  }

  /** Once for all the items that change together. */
  #soon() {
    if (this.due) return;
    this.due = true;
    queueMicrotask(() => {
      this.due = false;
      this.update();
    });
  }

  update() {
    const { items } = this.queue;
    const counts = this.queue.counts();
    const open = counts.waiting + counts.sending;
    const many = items.length > 1;
    const doubtful = items.filter(isToCheck).length;
    const checked = items.filter((item) => item.checked).length;
    this.bar.hidden = !items.length;
    fill(this.bar, "title", many ? count(items.length, "picture") : items[0]?.name ?? "");
    fill(this.bar, "counts", many ? wording(counts, { open, doubtful, checked }) : "");
    const progress = slot(this.bar, "progress");
    progress.max = Math.max(1, items.length);
    progress.value = items.length - open;
    progress.hidden = !many || !open;
    button(this.bar, "cancel-all").hidden = !many || !open;
    button(this.bar, "retry-failed").hidden = !many || open || !items.some(canRetry);
    button(this.bar, "clear").hidden = open;
    slot(this.bar, "export").hidden = !counts.done;
    slot(this.bar, "views").hidden = !many || !counts.done;
    slot(this.bar, "finish").hidden = !many || open || doubtful || !checked;
    fill(this.bar, "finished", `All checked: ${count(counts.done, "caption")} ready.`);
    button(this.bar, "check").hidden = !many || !doubtful || open;
    fill(this.bar, "to-check", `Check ${doubtful}`);
    slot(this.bar, "filter").hidden = this.filter.tag === null;
    if (this.filter.tag !== null) fill(this.bar, "filtered", this.filtered);
    this.#announce(many, open, wording(counts, { open, doubtful, checked: 0 }));
  }

  /** What the list is filtered by, in words. */
  get filtered() {
    const { tag, items } = this.filter;
    const all = count(this.queue.items.length, "picture");
    return tag === null ? `All pictures are listed: ${all}.` : `Tagged “${tag}”: ${items.length} of ${all}.`;
  }

  /** Once when a batch begins and once when it is done, not for each of 200 pictures. */
  #announce(many, open, closing) {
    if (many && !open && this.busy) announce(`Finished. ${closing}.`);
    if (many && open && !this.busy) announce(`Captioning ${count(open, "picture")}.`);
    this.busy = open > 0;
  }

  #pause() {
    clearInterval(this.clock);
    const { pause } = this.queue;
    slot(this.bar, "hold").hidden = !pause;
    if (!pause) return;
    this.#countDown();
    announce(`${title(pause.problem)}. The pictures are kept and tried again automatically.`);
    this.clock = setInterval(() => this.#countDown(), 1000);
  }

  #countDown() {
    const { pause } = this.queue;
    const { waiting, sending } = this.queue.counts();
    const seconds = Math.max(1, Math.ceil((pause.until - Date.now()) / 1000));
    const kept = `${count(waiting + sending, "picture")} kept`;
    fill(this.bar, "reason", `${title(pause.problem)}. ${kept}; the next try is in ${seconds} s.`);
  }
}

function wording({ done, failed, cancelled }, { open, doubtful, checked }) {
  const parts = [
    `${done} captioned`,
    doubtful && !checked && `${doubtful} to check`,
    checked && `${checked} of ${checked + doubtful} checked`,
    open && `${open} to go`,
    failed && `${failed} not captioned`,
    cancelled && `${cancelled} cancelled`,
  ];
  return parts.filter(Boolean).join(", ");
}
