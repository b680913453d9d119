/* JSON Schema made readable: members with types, limits and meaning, nested ones folded. */

import { h } from "../web/dom.js";

const PLURAL = { file: "files", object: "objects", integer: "integers", number: "numbers", text: "texts" };

let whole = {};

/** A box of text, such as an answer, an example or a command. */
export const block = (label, text, className) => (
  h("pre", { className, tabIndex: 0, role: "group", "aria-label": label }, text)
);

/** From here on, look up references in this specification. */
export function use(specification) {
  whole = specification;
}

/** The node, or what its $ref points to. */
export function resolved(node) {
  let found = node;
  while (found?.$ref) {
    found = found.$ref.slice(2).split("/").reduce((from, name) => from[name], whole);
  }
  return found;
}

/** A schema without $ref and allOf at its top; `null` beside another type is `nullable`. */
export function plain(schema) {
  let found = resolved(schema);
  if (found.allOf) {
    const { allOf, ...rest } = found;
    found = [...allOf, rest].map(plain).reduce(merged, {});
  }
  if (found.anyOf) {
    const others = found.anyOf.filter(({ type }) => type !== "null");
    if (others.length === 1) return { description: found.description, ...plain(others[0]), nullable: true };
  }
  if (Array.isArray(found.type)) {
    return { ...found, type: found.type.find((type) => type !== "null"), nullable: found.type.includes("null") };
  }
  return found;
}

function merged(one, other) {
  const result = { ...one };
  for (const [key, value] of Object.entries(other)) {
    const mine = result[key];
    if (Array.isArray(mine) && Array.isArray(value)) result[key] = [...new Set([...mine, ...value])];
    else if (isObject(mine) && isObject(value)) result[key] = merged(plain(mine), plain(value));
    else if (value !== undefined) result[key] = value;
  }
  return result;
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

/** The schema's own example, or one put together from its members'. Undefined where there is none. */
export function exampleOf(schema) {
  const found = plain(schema);
  if (found.example !== undefined) return found.example;
  if (found.const !== undefined) return found.const;
  if (found.type === "array") {
    const one = exampleOf(found.items);
    return one === undefined ? undefined : [one];
  }
  if (!found.properties) return undefined;
  const members = Object.entries(found.properties)
    .map(([name, member]) => [name, exampleOf(member)])
    .filter(([, value]) => value !== undefined);
  return members.length ? Object.fromEntries(members) : undefined;
}

/**
 * The schema for reading; objects and arrays of objects list their members. `must` is the word for
 * members that cannot be missing.
 */
export function schemaTree(schema, must) {
  const found = plain(schema);
  const inner = membersOf(found);
  return inner ? members(inner, must) : h("p", { className: "member" }, h("span", { className: "type" }, typeOf(found)));
}

/** The object whose members are worth listing: the schema itself, or its items. */
function membersOf(schema) {
  if (schema.properties) return schema;
  return schema.type === "array" ? membersOf(plain(schema.items)) : null;
}

function members({ properties, required = [] }, must) {
  return h("ul", { className: "members" }, ...Object.entries(properties).map(([name, schema]) => {
    const found = plain(schema);
    const inner = membersOf(found);
    return h("li", {},
      h("div", { className: "member" },
        h("code", {}, name),
        h("span", { className: "type" }, typeOf(found)),
        required.includes(name) && h("span", { className: "required" }, must)),
      found.description && h("p", {}, found.description),
      inner && folded(inner, must));
  }));
}

/** Nested members are made when they are unfolded, so that a schema may hold itself. */
function folded(schema, must) {
  const details = h("details", { className: "fold" }, h("summary", {}, "Members"));
  details.addEventListener("toggle", () => details.append(members(schema, must)), { once: true });
  return details;
}

/** "integer, 1 to 8", "one of left, right, tie", "list of text or null". */
export function typeOf(schema) {
  const found = plain(schema);
  return [kindOf(found), limitsOf(found)].filter(Boolean).join(", ") + (found.nullable ? ", or null" : "");
}

function kindOf(schema) {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return `one of ${schema.enum.join(", ")}`;
  if (schema.type === "array") {
    const kind = kindOf(plain(schema.items));
    return `list of ${PLURAL[kind] ?? kind}`;
  }
  if (schema.format === "binary") return "file";
  return { string: "text", object: "object" }[schema.type] ?? schema.type ?? "anything";
}

function limitsOf({ minimum, exclusiveMinimum, maximum, format }) {
  if (format === "date-time") return "date and time";
  const least = exclusiveMinimum !== undefined ? `above ${exclusiveMinimum}` : minimum;
  if (least !== undefined && maximum !== undefined) return `${least} to ${maximum}`;
  if (least !== undefined) return exclusiveMinimum !== undefined ? least : `${least} or more`;
  return maximum !== undefined ? `at most ${maximum}` : "";
}
