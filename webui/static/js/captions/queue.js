/* Pictures in a line: a few are sent at a time, and none is lost while the service is away. */

const AT_ONCE = 4;
const SERVICE = new Set([0, 429, 502, 503]); // the service is at fault: everything waits
const PICTURE = new Set([408, 500, 504]); // may be the picture's fault: a few more tries, then an error
const TRIES = 3;
// What these types mean here, whatever the code that they come with.
const MEANS = { CaptioningFailed: 500, DecodingStopped: 422, EmptyFile: 422 };
const REFUSED = new Set([413, 415, 422]); // the same picture would only be refused again
const FIRST_WAIT_S = 2;
const LONGEST_WAIT_S = 30;

/** Whether trying an item again may help. */
export const canRetry = ({ file, state, problem }) => Boolean(file) && (
  state === "cancelled" || (state === "failed" && !REFUSED.has(MEANS[problem.type] ?? problem.code))
);

/** Whether an item is still to be answered. */
export const isOpen = ({ state }) => state === "waiting" || state === "sending";

/**
 * `send(item, signal)` promises an item's answer; every `item` gets `state` ("waiting",
 * "sending", "done", "failed", "cancelled"), `answer` and `problem`. Dispatches "item" (with
 * `detail` the item) on each change of one, and "pause" when the whole line begins or ends waiting.
 */
export class Queue extends EventTarget {
  constructor(send) {
    super();
    this.send = send;
    this.items = [];
    this.pause = null; // {until: milliseconds, problem}
    this.running = new Map(); // item -> AbortController
    this.limit = AT_ONCE;
    this.troubles = 0;
    addEventListener("online", () => this.wake());
  }

  add(items) {
    this.items.push(...items);
    for (const item of items) this.#queue(item);
    this.#next();
  }

  /** Have an item answered again, after an error or a change of its options. */
  retry(item) {
    if (!this.running.has(item)) this.#queue(item);
    this.#next();
  }

  cancel(item) {
    this.running.get(item)?.abort();
    this.running.delete(item);
    if (isOpen(item)) this.#set(item, "cancelled");
    this.#next();
  }

  remove(item) {
    this.cancel(item);
    this.items.splice(this.items.indexOf(item), 1);
  }

  /** End a pause now. */
  wake() {
    if (!this.pause) return;
    clearTimeout(this.pause.timer);
    this.pause = null;
    this.#dispatch("pause");
    this.#next();
  }

  /** How many items are in each state. */
  counts() {
    const counts = { waiting: 0, sending: 0, done: 0, failed: 0, cancelled: 0 };
    for (const { state } of this.items) counts[state] += 1;
    return counts;
  }

  get unfinished() {
    return this.items.some(isOpen);
  }

  #queue(item) {
    item.tries = 0;
    item.problem = null;
    this.#set(item, "waiting");
  }

  #next() {
    if (this.pause && !this.items.some(({ state }) => state === "waiting")) this.wake();
    while (!this.pause && this.running.size < this.limit) {
      const item = this.items.find(({ state }) => state === "waiting");
      if (!item) return;
      this.#run(item);
    }
  }

  async #run(item) {
    const mine = new AbortController();
    this.running.set(item, mine);
    this.#set(item, "sending");
    let outcome;
    try {
      outcome = { answer: await this.send(item, mine.signal) };
    } catch (error) {
      outcome = { problem: error };
    }
    if (this.running.get(item) !== mine) return; // cancelled meanwhile, or asked for again
    this.running.delete(item);
    if (outcome.answer) {
      this.limit = AT_ONCE;
      this.troubles = 0;
      item.answer = outcome.answer;
      item.problem = null;
      this.#set(item, "done");
    } else {
      this.#failed(item, outcome.problem);
    }
    this.#next();
  }

  #failed(item, problem) {
    item.problem = problem;
    const code = MEANS[problem.type] ?? problem.code;
    item.tries += 1;
    const again = SERVICE.has(code) || (PICTURE.has(code) && item.tries < TRIES);
    this.#set(item, again ? "waiting" : "failed");
    if (again) this.#hold(problem);
    if (code === undefined) reportError(problem); // a bug, which belongs on the console
  }

  #hold(problem) {
    if (this.pause) return; // others of the same few came back with it
    this.troubles += 1;
    this.limit = 1; // a single picture tests whether the service is back
    const patience = Math.min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (this.troubles - 1));
    const seconds = problem.retryAfter || patience;
    const timer = setTimeout(() => this.wake(), seconds * 1000);
    this.pause = { until: Date.now() + seconds * 1000, problem, timer };
    this.#dispatch("pause");
  }

  #set(item, state) {
    item.state = state;
    this.#dispatch("item", item);
  }

  #dispatch(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
