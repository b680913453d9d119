/* The one way to the server: a picture goes out, an answer or a Problem comes back. */

/** Something to tell the person: an HTTP status (0: no answer at all) and a sentence. */
export class Problem extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** Caption a picture. `options` maps names to text; empty ones are left to the server. */
export async function caption(address, picture, options, signal) {
  const form = new FormData();
  form.append("image", picture, picture.name || "picture");
  for (const [name, value] of Object.entries(options)) if (value) form.append(name, value);
  let response;
  try {
    response = await fetch(address, { method: "POST", body: form, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The server cannot be reached. Check the connection and try again.");
  }
  const body = await response.json().catch(() => null);
  if (response.ok && body) return body;
  throw new Problem(response.status, body?.message ?? "The server gave no proper answer. Try again.");
}
