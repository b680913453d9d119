/* Where pictures come from: choosing files or a folder, the camera, dropping anywhere on the page, pasting. */

const PICTURE = /\.(jpe?g|jpe|jfif|png|webp|gif|bmp|tiff?|hei[cf]|avif)$/i;

/** Call `take([{file, path}])` with the pictures that are given, `refuse(message)` where there is none. */
export function listen(form, take, refuse) {
  const chooser = form.querySelector("#image");
  chooser.multiple = true; // the form without script sends one
  chooser.required = false; // it is emptied after each choice, which must not make the form invalid
  for (const input of form.querySelectorAll("input[type=file]")) {
    input.addEventListener("change", () => {
      const files = [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
      input.value = ""; // so that the same file can be chosen again
      give(files, input.webkitdirectory, take, refuse);
    });
  }
  listenForDrops(take, refuse);
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files].map((file) => ({ file, path: file.name }));
    if (files.length) {
      event.preventDefault();
      give(files, false, take, refuse);
    } else if (!event.target.closest("input, textarea")) {
      refuse("There is no picture on the clipboard. Copy a picture, not its address, and paste again.");
    }
  });
}

/** Pass on what was given; of a folder only what is named like a picture. */
function give(files, folder, take, refuse) {
  const pictures = folder ? files.filter(({ file }) => PICTURE.test(file.name)) : files;
  if (pictures.length) take(pictures);
  else if (files.length || folder) {
    refuse("There is no picture in this folder. Captionize reads JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC and AVIF files.");
  }
}

function listenForDrops(take, refuse) {
  const page = document.documentElement;
  let depth = 0; // dragenter and dragleave also come for every element inside
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    page.classList.toggle("dragging", depth > 0);
  };
  document.addEventListener("dragenter", () => mark(1));
  document.addEventListener("dragleave", () => mark(-1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    mark(-depth);
    const { files, folder } = await dropped(event.dataTransfer);
    if (files.length || folder) give(files, folder, take, refuse);
    else refuse("This is not a file. Save the picture first, then drop the file.");
  });
}

/** The files of a drop, those in folders too. */
async function dropped(transfer) {
  // Both lists are empty once the event is over, so they are read before anything is awaited.
  const plain = [...transfer.files].map((file) => ({ file, path: file.name }));
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const folder = entries.some((entry) => entry.isDirectory);
  if (!folder) return { files: plain, folder };
  const files = [];
  for (const entry of entries) await collect(entry, files);
  return { files, folder };
}

async function collect(entry, files) {
  if (entry.isFile) {
    const file = await new Promise((found) => { entry.file(found, () => found(null)); });
    if (file) files.push({ file, path: entry.fullPath.replace(/^\//, "") });
    return;
  }
  const reader = entry.createReader();
  let part;
  do { // a folder is read in parts of a hundred
    part = await new Promise((found) => { reader.readEntries(found, () => found([])); });
    for (const one of part) await collect(one, files);
  } while (part.length);
}

/** Give an example's picture when it is clicked. */
export function showExamples(give, refuse) {
  for (const choice of document.querySelectorAll("[data-example]")) {
    const address = choice.dataset.example;
    const name = address.split("/").pop().replace(/\?.*/, "");
    choice.addEventListener("click", async () => {
      const response = await fetch(address).catch(() => null);
      if (response?.ok) give([{ file: new File([await response.blob()], name, { type: "image/jpeg" }), path: name }]);
      else refuse("The example could not be loaded. Check the connection and try again.");
    });
  }
}

/** What a Problem is made of for a file that would only be refused after its upload; else null. */
export function check(file, { maxBytes, maxMb }) {
  if (file.size === 0) return [400, "This file is empty. Choose another one.", { type: "EmptyFile" }];
  if (file.size > Number(maxBytes)) {
    return [413, `A picture can be at most ${maxMb} MB. Save it smaller or as a JPEG and try again.`];
  }
  return null;
}
