/* One figure's last hour as a small line, with a mark wherever something changed. */

const [WIDTH, HEIGHT] = [240, 48]; // the drawing's own units; CSS stretches it to the space there is
const HOUR_S = 3600;
const GAP_S = 30; // between two points a longer time is a gap, not a line

function path(kind, d) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "path");
  made.setAttribute("class", kind);
  made.setAttribute("d", d);
  return made;
}

/** Draw `values` (null where there is none) at `times`, in seconds; the scale reaches up to `top`. */
export function draw(plot, times, values, marks, top) {
  const now = times.at(-1);
  const x = (time) => (WIDTH * (1 - (now - time) / HOUR_S)).toFixed(1);
  let line = "";
  let last = -Infinity; // the time of the point before, where the line is not broken
  values.forEach((value, index) => {
    if (value === null) return;
    const point = `${x(times[index])} ${(HEIGHT * (1 - value / top)).toFixed(1)}`;
    line += times[index] - last > GAP_S ? `M${point}h.5` : `L${point}`; // a lone point shows, too
    last = times[index];
  });
  plot.replaceChildren(
    path("base", `M0 ${HEIGHT}H${WIDTH}`),
    ...marks.map(({ time }) => path("mark", `M${x(time)} 0V${HEIGHT}`)),
    path("line", line),
  );
}
