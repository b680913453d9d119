/* The one way to the server: a request goes out, an answer or a Problem comes back. */

/** The path that the service is under, with a slash at its end: a proxy may give it one. */
export const ROOT = new URL("../../../", import.meta.url).pathname;

const AWAY = "The server cannot be reached. Check the connection.";
const UNREADABLE = "The server's answer could not be read. Try again.";

/** Something for the person to read: an HTTP status (0: no answer at all) and a sentence. */
export class Problem extends Error {
  constructor(code, message, { type = "", retryAfter = 0 } = {}) {
    super(message);
    this.code = code;
    this.type = type;
    this.retryAfter = retryAfter; // seconds, 0 when the server names none
  }
}

/** The JSON that a request is answered with, null for nothing; `away` is for when no answer comes. */
export const ask = (address, request, away) => reach(address, request, answer, away);

/** The file that a request is answered with. */
export const askForFile = (address, request) => (
  reach(address, request, (response) => (response.ok ? response.blob() : answer(response)))
);

const answer = async (response) => read(response.status, await response.text(), response.headers.get("Retry-After"));

async function reach(address, request, take, away = AWAY) {
  try {
    return await take(await fetch(address, request));
  } catch (error) {
    if (error instanceof Problem || error.name === "AbortError") throw error;
    throw new Problem(0, away);
  }
}

/** The JSON of an answer that has come; throws a Problem for an error. */
export function read(status, text, retryAfter) {
  if (status === 204) return null;
  let body = null;
  try {
    body = JSON.parse(text);
  } catch { /* it did not come from Captionize: a proxy's page, for example */ }
  if (status < 400 && body) return body;
  throw new Problem(status, body?.message ?? UNREADABLE, {
    type: body?.type,
    retryAfter: Number(retryAfter) || 0,
  });
}
