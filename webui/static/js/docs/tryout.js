/* Trying an operation: a form made from its schema, the curl line for it, and what comes back. */

import { ROOT } from "../web/api.js";
import { h } from "../web/dom.js";
import { block, exampleOf, plain, typeOf } from "./schema.js";

const SHOWN = 20_000; // characters of an answer
const JSON_TYPE = "application/json";
const ZIP_TYPE = "application/zip";
const HIDDEN = new Set(["X-CSRFToken"]); // the page adds it

let token = ""; // the administrator's, where it was typed in: the same for all operations
let count = 0; // so that every field has an id of its own

/** The part of an operation that sends it. */
export function tryOut(operation) {
  const { method } = operation;
  const fields = [...credentialFields(operation), ...parameterFields(operation), ...bodyFields(operation)];
  const curl = block("The same with curl", "", "curl");
  const result = h("div", { className: "came", role: "status" });
  const send = h("button", { className: "button small", type: "submit" }, `Send ${method.toUpperCase()}`);
  const form = h("form", { className: "try" },
    h("h4", {}, "Try it"),
    h("div", { className: "fields" }, ...fields.map(({ row }) => row)),
    h("p", { className: "soft curl-title" }, "With curl"),
    curl,
    h("div", { className: "send" }, send),
    result);
  const refresh = () => { curl.textContent = curlLine(operation, fields); };
  form.addEventListener("input", refresh);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    try {
      await exchange(operation, fields, result);
    } finally {
      send.disabled = false;
    }
  });
  refresh();
  return form;
}

const under = (path) => ROOT + path.slice(1);

/** {place, name, value(), row}: one input with its label; `place` is path, query, header or body. */
function field(place, name, input, hint, required) {
  count += 1;
  input.id = `field-${count}`;
  if (hint) input.setAttribute("aria-describedby", `${input.id}-hint`);
  input.required = Boolean(required);
  const row = h("div", { className: "input" },
    h("label", { htmlFor: input.id }, name),
    input,
    hint && h("small", { id: `${input.id}-hint` }, hint));
  row.classList.toggle("wide", place === "json");
  return { place, name, input, row };
}

/** Where the administrator's token goes: only with the operations that need it. */
function credentialFields({ security }) {
  if (!security) return [];
  const input = h("input", { type: "password", value: token, autocomplete: "off", spellcheck: false });
  input.addEventListener("input", () => { token = input.value; });
  const hint = "Forgotten when you leave this page; not needed while you are logged in.";
  return [field("token", "Administrator's token", input, hint)];
}

function parameterFields({ parameters }) {
  return parameters.filter(({ name }) => !HIDDEN.has(name)).map((one) => {
    const value = one.in === "path" ? one.example ?? "" : "";
    const input = h("input", { type: "text", value, spellcheck: false, autocomplete: "off" });
    return field(one.in, one.name, input, one.description, one.required);
  });
}

function bodyFields({ body }) {
  if (!body) return [];
  const [[type, { schema, example }]] = Object.entries(body.content);
  if (type === JSON_TYPE) {
    const text = JSON.stringify(example ?? exampleOf(schema) ?? {}, null, 2);
    const input = h("textarea", { value: text, rows: text.split("\n").length + 1, spellcheck: false });
    return [field("json", "Body", input, "JSON", true)];
  }
  const { properties, required = [] } = plain(schema);
  return Object.entries(properties).map(([name, member]) => {
    const found = plain(member);
    const hint = found.format === "binary" ? found.description : `${capital(typeOf(found))}. ${found.description ?? ""}`;
    return field("form", name, formInput(found), hint, required.includes(name));
  });
}

function formInput({ type, format, minimum, maximum, items, enum: choices }) {
  if (type === "array") {
    const many = plain(items).format === "binary";
    return many ? h("input", { type: "file", multiple: true }) : h("textarea", { rows: 3, placeholder: "One a line" });
  }
  if (format === "binary") return h("input", { type: "file" });
  if (choices) return h("select", {}, ...["", ...choices].map((one) => h("option", { value: one }, one || "not sent")));
  if (type === "integer") return h("input", { type: "number", min: minimum, max: maximum, step: 1 });
  return h("input", { type: "text", spellcheck: false, autocomplete: "off" });
}

function address({ path }, fields) {
  const values = fields.filter(({ place }) => place === "path");
  const filled = (made, { name, input }) => made.replace(`{${name}}`, encodeURIComponent(input.value));
  return under(values.reduce(filled, path));
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);

/** What a field of a form sends: a text, files, or texts. */
function valuesOf({ input }) {
  if (input.type === "file") return [...input.files];
  return input.type === "textarea" ? input.value.split("\n").filter(Boolean) : [input.value];
}

const given = (fields, place) => fields.filter((one) => one.place === place && one.input.value !== "");

/** Send what the form says and show what comes back. */
async function exchange(operation, fields, result) {
  result.replaceChildren(h("p", { className: "soft" }, "Sent. Waiting for the answer…"));
  const started = performance.now();
  let response;
  let body;
  try {
    response = await fetch(address(operation, fields), request(operation, fields));
    body = await response.blob();
  } catch (error) {
    result.replaceChildren(h("p", {}, `No answer came: ${error.message}. Check the connection and send it again.`));
    return;
  }
  const zip = body.type === ZIP_TYPE;
  const text = zip ? "" : await body.text();
  const milliseconds = Math.round(performance.now() - started);
  result.replaceChildren(
    h("p", { className: response.ok ? "outcome good" : "outcome bad" },
      h("b", {}, String(response.status)),
      ` ${response.statusText}`,
      h("span", { className: "soft" }, ` ${milliseconds} ms`)),
    ...(text ? [block("Answer", readable(response, text))] : []),
    ...(zip ? [h("a", { href: URL.createObjectURL(body), download: "captioned.zip" }, "Save the ZIP")] : []),
    h("details", { className: "fold" },
      h("summary", {}, "Headers"),
      block("Headers of the answer", [...response.headers].map((pair) => pair.join(": ")).join("\n"))));
}

function request({ method, security }, fields) {
  const headers = Object.fromEntries(given(fields, "header").map(({ name, input }) => [name, input.value]));
  const sent = { method: method.toUpperCase(), headers };
  if (security) Object.assign(headers, credential(method, fields));
  const json = fields.find(({ place }) => place === "json");
  const parts = given(fields, "form");
  if (json) {
    headers["Content-Type"] = JSON_TYPE;
    sent.body = json.input.value;
  } else if (parts.length) {
    sent.body = new FormData();
    for (const one of parts) for (const value of valuesOf(one)) sent.body.append(one.name, value);
  }
  return sent;
}

/** The token where one was typed in; else the browser sends the session's cookie, which needs this. */
function credential(method, fields) {
  const [{ input: { value: token } }] = fields.filter(({ place }) => place === "token");
  if (token) return { Authorization: `Bearer ${token}` };
  return method === "get" ? {} : { "X-CSRFToken": document.querySelector("meta[name=csrf-token]").content };
}

function readable(response, text) {
  const shown = response.headers.get("Content-Type")?.startsWith(JSON_TYPE) ? formatted(text, 2) : text;
  return shown.length > SHOWN ? `${shown.slice(0, SHOWN)}\n… ${shown.length - SHOWN} characters more` : shown;
}

/** The same request as a line for a shell; the token stays a variable. */
function curlLine(operation, fields) {
  const words = ["curl"];
  if (operation.method !== "get" && !(operation.method === "post" && operation.body)) {
    words.push("-X", operation.method.toUpperCase());
  }
  for (const { name, input } of given(fields, "header")) words.push("-H", quoted(`${name}: ${input.value}`));
  if (operation.security) words.push("-H", '"Authorization: Bearer $CAPTIONIZE_ADMIN_TOKEN"');
  for (const one of fields.filter(({ place }) => place === "form")) {
    const file = one.input.type === "file";
    const values = file && !one.input.files.length ? [{ name: "photo.jpg" }] : valuesOf(one);
    for (const value of values.filter(Boolean)) {
      words.push("-F", quoted(file ? `${one.name}=@${value.name}` : `${one.name}=${value}`));
    }
  }
  const json = fields.find(({ place }) => place === "json");
  if (json) words.push("-H", quoted(`Content-Type: ${JSON_TYPE}`), "-d", quoted(formatted(json.input.value)));
  words.push(quoted(location.origin + address(operation, fields)));
  return words.join(" ");
}

/** JSON with this indentation; text that is not JSON, or not yet, as it is. */
function formatted(text, spaces) {
  try {
    return JSON.stringify(JSON.parse(text), null, spaces);
  } catch {
    return text;
  }
}

const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
