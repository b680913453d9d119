/* The one way to the server: a picture goes out, an answer or a Problem comes back. */

const UNREADABLE = "The server gave no proper answer. Try again.";

/** Something to tell the person: an HTTP status (0: no answer at all) and a sentence. */
export class Problem extends Error {
  constructor(code, message, { type = "", retryAfter = 0 } = {}) {
    super(message);
    this.code = code;
    this.type = type;
    this.retryAfter = retryAfter; // seconds, 0 when the server names none
  }
}

/** Caption or explain a picture. `options` maps names to text; empty ones are left to the server. */
export function caption(address, picture, options, signal) {
  const form = new FormData();
  form.append("image", picture, picture.name || "picture");
  for (const [name, value] of Object.entries(options)) if (value) form.append(name, value);
  return ask(address, { method: "POST", body: form, signal });
}

/** The versions of the model that there are. */
export const versions = (address) => ask(address, {});

/** Tell the server of a vote; what becomes of it changes nothing here. */
export async function vote(address, body) {
  const headers = { "Content-Type": "application/json" };
  try {
    await fetch(address, { method: "POST", headers, body: JSON.stringify(body), keepalive: true });
  } catch { /* the votes are tallied and exported on the page itself */ }
}

async function ask(address, request) {
  let response;
  try {
    response = await fetch(address, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The server cannot be reached. Check the connection.");
  }
  const body = await response.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    return null;
  });
  if (response.ok && body) return body;
  throw new Problem(response.status, body?.message ?? UNREADABLE, {
    type: body?.type,
    retryAfter: Number(response.headers.get("Retry-After")) || 0,
  });
}
