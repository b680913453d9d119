/* The administrator's API. Every call answers JSON (null for nothing) or throws a Problem. */

import { Problem } from "../api.js";

const token = document.getElementById("csrf").value;

const GONE = "The page's server cannot be reached. This page goes on by itself when it is back.";

/** Ask for a path below /api, or change something there. */
export async function call(method, path, body) {
  const headers = { "X-CSRFToken": token };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(`/api${path}`, { method, headers, body: JSON.stringify(body) });
  } catch {
    throw new Problem(0, GONE);
  }
  return read(response.status, await response.text());
}

/** Upload an archive; `progress` is told the percents, and an aborted `signal` ends it. */
export function upload(file, progress, signal) {
  const request = new XMLHttpRequest(); // fetch does not say how far an upload is
  const form = new FormData();
  form.append("archive", file);
  return new Promise((resolve, reject) => {
    request.upload.addEventListener("progress", ({ loaded, total }) => progress((100 * loaded) / total));
    request.addEventListener("error", () => reject(new Problem(0, GONE)));
    request.addEventListener("abort", () => reject(new Problem(0, "The upload was cancelled.")));
    request.addEventListener("load", () => {
      try {
        resolve(read(request.status, request.responseText));
      } catch (problem) {
        reject(problem);
      }
    });
    signal.addEventListener("abort", () => request.abort());
    request.open("POST", "/api/archives");
    request.setRequestHeader("X-CSRFToken", token);
    request.send(form);
  });
}

function read(status, text) {
  if (status === 401) location.assign("/login"); // the session has ended
  let body = null;
  try {
    body = text ? JSON.parse(text) : null;
  } catch {
    throw new Problem(status, "The server gave no proper answer. Try again.");
  }
  if (status >= 400) throw new Problem(status, body?.message ?? "The server gave no proper answer. Try again.");
  return body;
}
