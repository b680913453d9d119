/* The three ways in: choosing, dropping anywhere on the page, pasting. */

/** Call `take(file)` for every picture that is given, and `refuse(message)` for what is none. */
export function listen(input, take, refuse) {
  input.addEventListener("change", () => {
    if (input.files.length) take(input.files[0]);
    input.value = ""; // so that the same file can be chosen again
  });
  listenForDrops(take, refuse);
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files][0];
    if (file) {
      event.preventDefault();
      take(file);
    } else if (!event.target.closest("input")) {
      refuse("There is no picture on the clipboard. Copy a picture, not its address, and paste again.");
    }
  });
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
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(-depth);
    const { files } = event.dataTransfer;
    if (files.length === 1) take(files[0]);
    else if (files.length) refuse(`One picture at a time, please: ${files.length} were dropped.`);
    else refuse("What was dropped is not a file. Save the picture first, then drop the file.");
  });
}
