/* The line over the pictures: how far the session is, what holds it up, what can be done with it. */

import { fill, on, say, slot, title } from "./dom.js";
import { canRetry } from "./queue.js";
import { count } from "./words.js";

/** Show the state of `queue` in `bar`. `act` has a function for each button. */
export class Bar {
  constructor(bar, queue, act) {
    this.bar = bar;
    this.queue = queue;
    this.busy = false;
    for (const action of ["cancel-all", "retry-failed", "clear"]) on(bar, action, act[action]);
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
    const shown = (action, condition) => {
      this.bar.querySelector(`[data-action=${action}]`).hidden = !condition;
    };
    shown("cancel-all", many && open);
    shown("retry-failed", many && !open && items.some(canRetry));
    shown("clear", !open);
    slot(this.bar, "export").hidden = !counts.done;
    this.#announce(many, open, counts);
  }

  /** Said once when a batch begins and once when it is through: not for each of 200 pictures. */
  #announce(many, open, counts) {
    if (many && !open && this.busy) say(`Finished. ${wording(counts, 0)}.`);
    if (many && open && !this.busy) say(`${count(open, "picture")} to be captioned.`);
    this.busy = open > 0;
  }

  #pause() {
    clearInterval(this.clock);
    const { pause } = this.queue;
    slot(this.bar, "hold").hidden = !pause;
    if (!pause) return;
    this.#countDown();
    say(`${title(pause.problem)}. The pictures are kept and tried again by themselves.`);
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
