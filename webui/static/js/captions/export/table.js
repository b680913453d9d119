/* Files for the browser's downloads, and tables as spreadsheets read them. */

const BOM = "\ufeff"; // without it spreadsheets take UTF-8 for something else

/** Hand a file to the browser's downloads. */
export function save(name, content, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000); // the download has begun by then
}

/** Records of the same members as CSV, as in RFC 4180. */
export function csv(records) {
  const names = Object.keys(records[0] ?? {});
  const rows = records.map((one) => names.map((name) => cell(one[name])).join(","));
  return BOM + [names.join(","), ...rows, ""].join("\r\n");
}

function cell(value) {
  // A spreadsheet would run a text that begins like a formula.
  const text = typeof value === "string" ? value.replace(/^[=+\-@\t\r]/, "'$&") : String(value ?? "");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
