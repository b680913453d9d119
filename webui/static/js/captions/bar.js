/* The line above the pictures: how far the session is, what holds it up, what can be done with it. */

import { announce, button, fill, on, slot } from "../web/dom.js";
import { count } from "../web/format.js";
import { title } from "./form.js";
import { canRetry } from "./queue.js";

/** Show the state of `queue` and the filter of `list` in `bar`. `act` has a function for each button. */
export class Bar {
  constructor(bar, queue, list, act) {
    this.bar = bar;
    this.queue = queue;
    this.list = list;
    this.busy = false;
    for (const action of ["cancel-all", "retry-failed", "clear", "show-all"]) on(bar, action, act[action]);
    on(bar, "wake", () => queue.wake());
    queue.addEventListener("item", () => this.update());
    queue.addEventListener("pause", () => this.#pause());
  }

  update() {
    const { items } = this.queue;
    const counts = this.queue.counts();
    const open = counts.waiting + counts.sending;
    const many = items.length > 1;
    this.bar.hidden = !items.length;
    fill(this.bar, "title", many ? count(items.length, "picture") : items[0]?.name ?? "");
    fill(this.bar, "counts", many ? wording(counts, open) : "");
    const progress = slot(this.bar, "progress");
    progress.max = Math.max(1, items.length);
    progress.value = items.length - open;
    progress.hidden = !many || !open;
    button(this.bar, "cancel-all").hidden = !many || !open;
    button(this.bar, "retry-failed").hidden = !many || open || !items.some(canRetry);
    button(this.bar, "clear").hidden = open;
    slot(this.bar, "export").hidden = !counts.done;
    slot(this.bar, "filter").hidden = this.list.tag === null;
    if (this.list.tag !== null) fill(this.bar, "filtered", this.filtered);
    this.#announce(many, open, counts);
  }

  /** What the list is filtered by, in words. */
  get filtered() {
    const { tag, shown } = this.list;
    const all = count(this.queue.items.length, "picture");
    return tag === null ? `All pictures are listed: ${all}.` : `Tagged “${tag}”: ${shown.length} of ${all}.`;
  }

  /** Once when a batch begins and once when it is done, not for each of 200 pictures. */
  #announce(many, open, counts) {
    if (many && !open && this.busy) announce(`Finished. ${wording(counts, 0)}.`);
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

function wording({ done, failed, cancelled }, open) {
  const parts = [
    `${done} captioned`,
    open && `${open} to go`,
    failed && `${failed} not captioned`,
    cancelled && `${cancelled} cancelled`,
  ];
  return parts.filter(Boolean).join(", ");
}
