/* The API's page: the specification as operations by group, each with its schemas and a try-out. */

import { Problem, ask } from "../web/api.js";
import { byId, h, put } from "../web/dom.js";
import { block, exampleOf, resolved, schemaTree, typeOf, use } from "./schema.js";
import { tryOut } from "./tryout.js";

const main = byId("main");
const list = byId("operations");
const METHODS = ["get", "post", "put", "delete"];

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

function show(specification) {
  use(specification);
  const tags = byId("tags");
  for (const { name, description } of specification.tags) {
    const id = `tag-${name.toLowerCase()}`;
    tags.append(h("a", { href: `#${id}` }, name));
    const group = h("section", { className: "group", "aria-labelledby": id },
      h("h2", { id }, name),
      h("p", { className: "soft" }, description));
    for (const one of operationsOf(specification, name)) group.append(operation(one));
    list.append(group);
  }
  tags.hidden = false;
  byId("credential").hidden = false;
}

function operationsOf(specification, tag) {
  const found = [];
  for (const [path, item] of Object.entries(specification.paths)) {
    for (const method of METHODS) {
      const one = item[method];
      if (!one?.tags.includes(tag)) continue;
      const parameters = [...(item.parameters ?? []), ...(one.parameters ?? [])].map(resolved);
      found.push({ ...one, path, method, parameters, body: one.requestBody && resolved(one.requestBody) });
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
    one.security && h("p", { className: "soft" }, "Log in, or send the token in the header Authorization."),
    one.parameters.length > 0 && part("Parameters", h("ul", { className: "members" }, ...one.parameters.map(parameter))),
    one.body && part("Request", ...Object.entries(one.body.content).map(media("required"))),
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

const media = (must) => ([type, { schema, example }]) => {
  const shown = type === "application/json" ? example ?? exampleOf(schema) : example;
  const text = typeof shown === "string" ? shown : JSON.stringify(shown, null, 2);
  return h("div", { className: "media" },
    h("p", { className: "soft" }, type),
    schemaTree(schema, must),
    text && h("details", { className: "fold" }, h("summary", {}, "Example"), block("Example", text)));
};

function answer(code, { description, content = {}, headers = {} }) {
  const names = Object.keys(headers);
  return h("details", { className: "fold answer" },
    h("summary", {}, h("b", {}, code === "default" ? "other" : code), ` ${description}`),
    h("div", { className: "inside" },
      names.length > 0 && h("p", { className: "soft" }, `Headers: ${names.join(", ")}`),
      ...Object.entries(content).map(media("always"))));
}
