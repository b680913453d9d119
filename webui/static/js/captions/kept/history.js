/* The earlier sessions: to open again, copy, export and forget. */

import { copies } from "../../web/clipboard.js";
import { button, copyOf, fill, on, showImage, slot } from "../../web/dom.js";
import { count, size, when } from "../../web/format.js";
import { exportAs, lines } from "../export/writers.js";
import { line } from "../list.js";
import { isToCheck, level, showTrust } from "../trust.js";
import { LIMIT_MB } from "./keeper.js";

const SHOWN = 6; // pictures of a session

/** Show the earlier sessions of `keeper` in `box`; `reopen(id)` opens one. */
export async function showHistory(box, keeper, reopen) {
  const sessions = (await keeper.sessions()).filter(({ id, open }) => id !== keeper.session?.id && !open);
  box.hidden = !sessions.length && !keeper.session;
  fill(box, "amount", sessions.length ? `Earlier pictures (${count(sessions.length, "session")})` : "Kept in this browser");
  const used = sessions.reduce((sum, { bytes }) => sum + bytes, keeper.session?.bytes ?? 0);
  fill(box, "used", `${size(used)} of ${LIMIT_MB} MB`);
  if (!box.open) return; // small pictures are many
  const rows = await Promise.all(sessions.map(async (session) => row(session, await keeper.pictures(session.id), keeper, reopen)));
  slot(box, "entries").replaceChildren(...rows);
}

function row({ id, begun }, items, keeper, reopen) {
  const made = copyOf("entry");
  const captioned = items.filter(({ state }) => state === "done");
  const open = captioned.filter(isToCheck).length;
  const [only] = items;
  fill(made, "text", items.length === 1 ? line(only) : count(items.length, "picture"));
  fill(made, "name", [
    when(begun),
    items.length === 1 && only.name,
    items.length > 1 && `${captioned.length} captioned${open ? `, ${open} to check` : ""}`,
  ].filter(Boolean).join(" · "));
  showTrust(slot(made, "trust"), items.length === 1 && captioned.length ? level(only) : null);
  slot(made, "pictures").append(...items.slice(0, SHOWN).filter(picture).map((item) => {
    const image = document.createElement("img");
    image.alt = "";
    showImage(image, item.thumbnail);
    return image;
  }));
  on(made, "open", () => reopen(id));
  copies(button(made, "copy"), () => lines(captioned));
  on(made, "csv", () => exportAs("csv", captioned));
  on(made, "forget", () => keeper.forget(id));
  for (const name of ["copy", "csv"]) button(made, name).hidden = !captioned.length;
  return made;
}

const picture = ({ thumbnail }) => thumbnail?.startsWith("data:image/");
