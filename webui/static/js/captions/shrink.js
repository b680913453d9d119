/* Pictures that are too large to send, made smaller: the model sees a few hundred pixels of each. */

const SIDE = 1280; // pixels, the longer side

const made = new WeakMap(); // file -> a promise of what is sent instead
let last = Promise.resolve(); // one after the other: a large photo decoded takes hundreds of megabytes

/** Whether a picture was found too large before. */
export const isLarge = (file) => made.has(file);

/** A small JPEG of a picture, upright; the picture itself where the browser cannot read it. */
export function shrink(file) {
  if (!made.has(file)) {
    last = last.then(() => make(file)).catch(() => file);
    made.set(file, last);
  }
  return made.get(file);
}

async function make(file) {
  const whole = await size(file);
  const scale = Math.min(1, SIDE / Math.max(whole.width, whole.height));
  const width = Math.max(1, Math.round(whole.width * scale));
  const height = Math.max(1, Math.round(whole.height * scale));
  // Decoded, scaled and encoded beside the page's own thread, wherever the browser can.
  const bitmap = await createImageBitmap(file, { resizeWidth: width, resizeHeight: height, resizeQuality: "high" });
  const canvas = self.OffscreenCanvas ? new OffscreenCanvas(width, height) : document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff"; // under what is transparent
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  const type = { type: "image/jpeg", quality: 0.85 };
  const blob = await (canvas.convertToBlob?.(type)
    ?? new Promise((done) => { canvas.toBlob(done, type.type, type.quality); }));
  return new File([blob], file.name, { type: blob.type });
}

/** The upright size of a picture, read from its header. */
async function size(file) {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    await new Promise((done, failed) => { Object.assign(image, { onload: done, onerror: failed }); });
    return { width: image.naturalWidth, height: image.naturalHeight };
  } finally {
    URL.revokeObjectURL(image.src);
  }
}
