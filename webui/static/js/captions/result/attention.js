/* Where a word looked: a heat map over the picture. */

const SIDE = 160; // pixels of the map's longer side; the browser stretches it over the picture
const VEIL = 0.5; // how far the picture is dimmed where the word did not look
const WARM = [255, 176, 32];

/**
 * Paint a word's attention, `rows` x `columns` weights over the picture squeezed to a square.
 *
 * The canvas gets the picture's proportions, so that `object-fit` lays it exactly over the picture.
 */
export function paint(canvas, { rows, columns, weights }, { width, height }) {
  const scale = SIDE / Math.max(width, height);
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const most = Math.max(...weights) || 1;
  const heat = (row, column) => weights[row * columns + column] / most;
  for (let y = 0; y < canvas.height; y += 1) {
    const [top, bottom, down] = between((y + 0.5) / canvas.height, rows);
    for (let x = 0; x < canvas.width; x += 1) {
      const [left, right, along] = between((x + 0.5) / canvas.width, columns);
      const above = mix(heat(top, left), heat(top, right), along);
      const below = mix(heat(bottom, left), heat(bottom, right), along);
      put(image.data, 4 * (y * canvas.width + x), mix(above, below, down));
    }
  }
  context.putImageData(image, 0, 0);
}

/** The two cells beside a place (0..1) on an axis, and how far it is on from the first to the second. */
function between(place, cells) {
  const at = Math.min(cells - 1, Math.max(0, place * cells - 0.5));
  const first = Math.floor(at);
  const step = at - first;
  return [first, Math.min(cells - 1, first + 1), step * step * (3 - 2 * step)];
}

const mix = (a, b, share) => a + (b - a) * share;

/** One pixel: a dark veil where the heat is 0, a warm light where it is 1. */
function put(pixels, at, heat) {
  const light = 0.42 * heat ** 1.5;
  const dark = VEIL * (1 - heat) ** 1.5;
  const alpha = light + dark;
  for (let channel = 0; channel < 3; channel += 1) {
    pixels[at + channel] = alpha ? (WARM[channel] * light) / alpha : 0;
  }
  pixels[at + 3] = 255 * alpha;
}
