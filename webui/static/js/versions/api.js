/* The administrator's API. Every call answers JSON (null for nothing) or throws a Problem. */

import { Problem, ROOT, ask, read } from "../web/api.js";
import { byId } from "../web/dom.js";

const token = byId("csrf").value;

const AWAY = "The page's server cannot be reached. This page continues automatically when it is back.";

/** Ask for a path below /api, or change something there. */
export function call(method, path, body) {
  const headers = { "X-CSRFToken": token };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  return loggedIn(ask(`${ROOT}api${path}`, { method, headers, body: JSON.stringify(body) }, AWAY));
}

/** Upload an archive; `progress` is called with the percents, and an aborted `signal` ends it. */
export function upload(file, progress, signal) {
  const request = new XMLHttpRequest(); // fetch does not say how far an upload is
  const form = new FormData();
  form.append("archive", file);
  return loggedIn(new Promise((resolve, reject) => {
    request.upload.addEventListener("progress", ({ loaded, total }) => progress((100 * loaded) / total));
    request.addEventListener("error", () => reject(new Problem(0, AWAY)));
    request.addEventListener("abort", () => reject(new Problem(0, "The upload was cancelled.")));
    request.addEventListener("load", resolve);
    signal.addEventListener("abort", () => request.abort());
    request.open("POST", `${ROOT}api/archives`);
    request.setRequestHeader("X-CSRFToken", token);
    request.send(form);
  }).then(() => read(request.status, request.responseText)));
}

/** The answer, unless the session has ended: then on to the login page. */
function loggedIn(answer) {
  return answer.catch((error) => {
    if (error.code === 401) location.assign(`${ROOT}login`);
    throw error;
  });
}
