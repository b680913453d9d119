/* Small pictures of large ones, made two at a time so that the page stays quick. */

const SIDE = 240; // pixels, the shorter side

const lanes = [Promise.resolve(), Promise.resolve()]; // each makes one after the other

/** A small JPEG of the picture as a data: address, or null where the browser cannot read it. */
export function thumbnail(file) {
  const made = lanes.shift().then(() => make(file)).catch(() => null);
  lanes.push(made);
  return made;
}

async function make(file) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, SIDE / Math.min(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.min(2 * SIDE, Math.round(bitmap.width * scale)));
  canvas.height = Math.max(1, Math.min(2 * SIDE, Math.round(bitmap.height * scale)));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff"; // under what is transparent
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas.toDataURL("image/jpeg", 0.7);
}
