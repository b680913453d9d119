/* A worker that makes small pictures of large ones, beside the page's own thread. */

const SIDE = 240; // pixels, the shorter side

onmessage = async ({ data: { file, port } }) => {
  port.postMessage(await make(file).catch(() => null));
  port.close();
};

async function make(file) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, SIDE / Math.min(bitmap.width, bitmap.height));
  const side = (pixels) => Math.max(1, Math.min(2 * SIDE, Math.round(pixels * scale)));
  const canvas = new OffscreenCanvas(side(bitmap.width), side(bitmap.height));
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff"; // under what is transparent
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.7 });
  return new FileReaderSync().readAsDataURL(blob);
}
