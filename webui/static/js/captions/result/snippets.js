/* The same caption from a program: what to type, with this picture's name and options. */

/** Snippets by language. `address` is the API's, `options` maps names to text. */
export function snippets(address, name, options) {
  const file = name.split(/[\\/]/).pop();
  const given = Object.entries(options).filter(([, value]) => value);
  return { curl: curl(address, file, given), Python: python(address, file, given), JavaScript: javascript(address, file, given) };
}

const literal = (value) => (/^\d+$/.test(value) ? value : JSON.stringify(value));

function curl(address, file, given) {
  // curl reads ; and , in a bare name as its own, and the shell reads almost everything.
  const name = `image=@"${file.replace(/[\\"]/g, "\\$&")}"`;
  const fields = [name, ...given.map(([key, value]) => `${key}=${value}`)];
  const quoted = fields.map((field) => `-F '${field.replaceAll("'", String.raw`'\''`)}'`);
  return `curl ${quoted.join(" \\\n  ")} \\\n  ${address}`;
}

function python(address, file, given) {
  const data = given.map(([key, value]) => `"${key}": ${literal(value)}`).join(", ");
  return [
    "import requests",
    "",
    `with open(${JSON.stringify(file)}, "rb") as picture:`,
    "    answer = requests.post(",
    `        ${JSON.stringify(address)},`,
    '        files={"image": picture},',
    ...(data ? [`        data={${data}},`] : []),
    "        timeout=60,",
    "    )",
    "answer.raise_for_status()",
    'print(answer.json()["caption"])',
  ].join("\n");
}

function javascript(address, file, given) {
  return [
    'import { openAsBlob } from "node:fs";',
    "",
    "const form = new FormData();",
    `form.append("image", await openAsBlob(${JSON.stringify(file)}), ${JSON.stringify(file)});`,
    ...given.map(([key, value]) => `form.append("${key}", ${literal(value)});`),
    `const response = await fetch(${JSON.stringify(address)}, { method: "POST", body: form });`,
    "const answer = await response.json();",
    "console.log(response.ok ? answer.caption : answer.message);",
  ].join("\n");
}
