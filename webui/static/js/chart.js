/* One chart: lines over time as SVG, with a key of the newest values, a summary and a table. */

const WIDTH = 600; // the drawing's own units; CSS stretches it to the space there is
const HEIGHT = 160;
const ROWS = 20; // of the table, at most
const SVG = "http://www.w3.org/2000/svg";

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

const element = (name, text, className) => {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
};

const shape = (name, attributes) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

/** The least number of one digit, and even beyond 1, times a power of ten that is at least `value`. */
export function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 8, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

export class Chart {
  /**
   * `format` writes a value with its unit; the scale reaches up to `least` at least, and to a round
   * number of `unit(value)`; `first` is the style of the first line.
   */
  constructor(root, { format, least, unit = () => 1, first = 0, names = [] }) {
    this.root = root;
    this.title = root.querySelector("h2").textContent;
    this.format = format;
    this.least = least;
    this.unit = unit;
    this.first = first;
    this.names = names;
    this.slots = Object.fromEntries([...root.querySelectorAll("[data-slot]")].map((one) => [one.dataset.slot, one]));
    root.querySelector("details").addEventListener("toggle", () => this.tabulate());
  }

  /** Draw `points`, {time, values} oldest first; values are null in a gap. Times are in seconds. */
  draw(points, begin, end) {
    this.points = points;
    this.span = [begin, end];
    const values = points.flatMap((point) => point.values ?? []).filter((value) => value !== null);
    const most = Math.max(this.least, ...values);
    const top = ceiling(most / this.unit(most)) * this.unit(most);
    this.slots.nothing.hidden = values.length > 0;
    this.slots.top.textContent = this.format(top);
    this.slots.middle.textContent = this.format(top / 2);
    this.slots.begin.textContent = `${Math.round((end - begin) / 60)} min ago`;
    this.slots.plot.replaceChildren(
      ...[0, 0.5, 1].map((share) => shape("path", { class: "grid", d: `M0 ${HEIGHT * share}H${WIDTH}` })),
      ...this.names.map((_, line) => shape("path", { class: this.style(line), d: this.path(line, top) })),
    );
    this.label();
    this.tabulate();
  }

  style(line) {
    return `line line-${(this.first + line) % 6}`;
  }

  /** The line as a path, broken where there is no value; a lone value is a short stroke. */
  path(line, top) {
    const [begin, end] = this.span;
    let drawn = "";
    let open = false;
    for (const { time, values } of this.points) {
      const value = values?.[line] ?? null;
      if (value === null) { open = false; continue; }
      const x = (WIDTH * (time - begin)) / (end - begin);
      const y = HEIGHT * (1 - value / top);
      drawn += `${open ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}${open ? "" : "h.5"}`;
      open = true;
    }
    return drawn;
  }

  /** The newest values, as a key for the eye and as a sentence for a screen reader. */
  label() {
    const newest = this.points.at(-1)?.values;
    const now = this.names.map((_, line) => newest?.[line] ?? null);
    const shown = now.map((value) => (value === null ? "–" : this.format(value)));
    this.slots.key.replaceChildren(...this.names.map((name, line) => {
      const entry = element("div");
      const swatch = shape("svg", { class: "swatch", viewBox: "0 0 24 8", "aria-hidden": "true" });
      swatch.append(shape("path", { class: this.style(line), d: "M0 4H24" }));
      const term = element("dt");
      term.append(swatch, name);
      entry.append(term, element("dd", shown[line]));
      return entry;
    }));
    this.slots.plot.setAttribute("aria-label", this.summary(now));
  }

  summary(now) {
    const parts = this.names.map((name, line) => {
      const values = this.points.map((point) => point.values?.[line] ?? null).filter((value) => value !== null);
      if (!values.length) return `${name}: no figures`;
      const said = now[line] === null ? "none now" : `now ${this.format(now[line])}`;
      return `${name}: ${said}, from ${this.format(Math.min(...values))} to ${this.format(Math.max(...values))}`;
    });
    const [begin, end] = this.span;
    return `${this.title} in the last ${Math.round((end - begin) / 60)} minutes. ${parts.join(". ")}.`;
  }

  /** Fill the table, newest first, while it is open; at most ROWS, evenly apart. */
  tabulate() {
    if (!this.root.querySelector("details").open || !this.points) return;
    const head = element("tr");
    head.append(...["Time", ...this.names].map((name) => {
      const cell = element("th", name);
      cell.scope = "col";
      return cell;
    }));
    this.slots.head.replaceChildren(head);
    const step = Math.max(1, Math.ceil(this.points.length / ROWS));
    const chosen = this.points.filter((_, index) => (this.points.length - 1 - index) % step === 0);
    this.slots.rows.replaceChildren(...chosen.reverse().map(({ time, values }) => {
      const row = element("tr");
      const cells = this.names.map((_, line) => values?.[line] ?? null);
      row.append(
        element("td", clock.format(time * 1000)),
        ...cells.map((value) => element("td", value === null ? "–" : this.format(value))),
      );
      return row;
    }));
  }
}
