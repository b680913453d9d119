/* The API's page: the specification as operations by group, each with its schemas and a try-out. */

import { Problem, ask } from "../web/api.js";
import { copies } from "../web/clipboard.js";
import { byId, h, put } from "../web/dom.js";
import { block, exampleOf, resolved, schemaTree, typeOf, use } from "./schema.js";
import { tryOut } from "./tryout.js";

const main = byId("main");
const list = byId("operations");
const METHODS = ["get", "post", "put", "delete"];

for (const button of document.querySelectorAll("[data-copies]")) {
  copies(button, () => byId(button.dataset.copies).textContent);
  button.hidden = false;
}
load();

async function load() {
  try {
    show(await ask(list.dataset.specification));
    main.dataset.state = "shown";
    openLinked();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    put(byId("problem"), "The specification could not be loaded. Reload the page.");
    byId("problem").hidden = false;
    main.dataset.state = "error";
  }
}

window.addEventListener("hashchange", openLinked);

/** Open the operation that the address names. */
function openLinked() {
  const linked = byId(decodeURIComponent(location.hash.slice(1)));
  if (linked?.matches("details")) {
    linked.open = true;
    linked.scrollIntoView();
  }
}

/** List every operation that is for programs: what a browser opens is in the specification alone. */
function show(specification) {
  use(specification);
  const found = [];
  for (const { name, description } of specification.tags) {
    if (name === "Pages") continue;
    const id = `tag-${name.toLowerCase()}`;
    const group = h("section", { className: "group", "aria-labelledby": id },
      h("h2", { id }, name),
      h("p", { className: "soft" }, description));
    const links = h("ul", { className: "links" });
    for (const one of operationsOf(specification, name)) {
      const link = h("li", {}, h("a", { href: `#op-${one.operationId}` }, one.summary));
      const words = [one.method, one.path, one.summary, name, one.description ?? ""].join(" ");
      const shown = operation(one);
      found.push({ shown, link, words: words.toLowerCase() });
      links.append(link);
      group.append(shown);
    }
    byId("index").append(h("section", {}, h("p", { className: "in" }, h("a", { href: `#${id}` }, name)), links));
    list.append(group);
  }
  byId("side").hidden = false;
  byId("search").addEventListener("input", ({ target }) => search(found, target.value));
}

/** Leave only the operations that have all these words. */
function search(found, typed) {
  const words = typed.toLowerCase().split(/\s+/);
  for (const one of found) {
    const hidden = !words.every((word) => one.words.includes(word));
    one.shown.hidden = hidden;
    one.link.hidden = hidden;
  }
  for (const group of document.querySelectorAll(".group, #index > section")) {
    const left = group.matches(".group") ? ".operation:not([hidden])" : "li:not([hidden])";
    group.hidden = !group.querySelector(left);
  }
  byId("nothing").hidden = found.some(({ link }) => !link.hidden);
}

function operationsOf(specification, tag) {
  const found = [];
  for (const [path, item] of Object.entries(specification.paths)) {
    for (const method of METHODS) {
      const one = item[method];
      if (!one?.tags.includes(tag)) continue;
      const parameters = [...(item.parameters ?? []), ...(one.parameters ?? [])].map(resolved);
      const security = one.security?.some((way) => "token" in way); // the administrator's; a key may not be set
      found.push({ ...one, security, path, method, parameters, body: one.requestBody && resolved(one.requestBody) });
    }
  }
  return found;
}

function operation(one) {
  const details = h("details", { className: "operation panel", id: `op-${one.operationId}` },
    h("summary", { className: "wrap" },
      h("span", { className: `method ${one.method}` }, one.method.toUpperCase()),
      h("h3", {}, h("code", {}, one.path), h("span", { className: "what" }, one.summary)),
      one.security && h("span", { className: "badge" }, "administrator")));
  // Most are never opened: each is made when it is.
  details.addEventListener("toggle", () => details.open && details.append(contents(one)), { once: true });
  return details;
}

function contents(one) {
  return h("div", { className: "contents" },
    one.description && h("p", {}, one.description),
    one.parameters.length > 0 && part("Parameters", h("ul", { className: "members" }, ...one.parameters.map(parameter))),
    one.body && part("Request", ...Object.entries(one.body.content).map(media("required", false))),
    part("Responses", ...Object.entries(one.responses).map(([code, given]) => answer(code, resolved(given)))),
    tryOut(one));
}

const part = (title, ...children) => h("section", { className: "part" }, h("h4", {}, title), ...children);

function parameter({ name, in: place, required, description, schema }) {
  return h("li", {},
    h("div", { className: "member" },
      h("code", {}, name),
      h("span", { className: "type" }, `${place}, ${typeOf(schema)}`),
      required && h("span", { className: "required" }, "required")),
    description && h("p", {}, description));
}

const media = (must, open) => ([type, { schema, example }]) => {
  const shown = type === "application/json" ? example ?? exampleOf(schema) : example;
  const text = typeof shown === "string" ? shown : JSON.stringify(shown, null, 2);
  return h("div", { className: "media" },
    h("p", { className: "soft" }, type),
    schemaTree(schema, must),
    text && h("details", { className: "fold", open }, h("summary", {}, "Example"), block("Example", text)));
};

function answer(code, { description, content = {}, headers = {} }) {
  const names = Object.keys(headers);
  return h("details", { className: "fold answer", open: code.startsWith("2") },
    h("summary", {}, h("b", {}, code === "default" ? "other" : code), ` ${description}`),
    h("div", { className: "inside" },
      names.length > 0 && h("p", { className: "soft" }, `Headers: ${names.join(", ")}`),
      ...Object.entries(content).map(media("always", true))));
}
