/* The session as this browser keeps it, and the earlier ones. None of it reaches the server. */

import { forgetAll, forgetSession, ofSession, transact } from "./database.js";
import { forgetOptions } from "./options.js";

export const LIMIT_MB = 500; // of pictures' files; the oldest sessions' go first

const CURRENT = "captionize.session"; // of this tab
const TOGETHER_MS = 200; // changes that come within are written together
const KEPT = [
  "id", "name", "options", "state", "answer", "thumbnail", "chosen", "text", "checked", "decorative", "asked", "past",
];

const newId = () => `${Date.now()}-${Math.random().toString(36).slice(2)}`;

/** Keeps one session; everything still works where the browser keeps nothing. Dispatches "change". */
export class Keeper extends EventTarget {
  constructor() {
    super();
    this.session = null; // {id, begun, bytes, open}: open until it is started over
    this.waiting = new Set(); // items to write
    this.writing = Promise.resolve();
    // A page that goes has little time left to write: the question before it gives some.
    for (const leaving of ["beforeunload", "pagehide"]) addEventListener(leaving, () => this.flush());
  }

  /** The items of the session that this tab had, or of the one that was left open last. */
  async restore() {
    const sessions = (await this.sessions()).filter(({ open }) => open);
    const mine = sessions.find(({ id }) => id === sessionStorage.getItem(CURRENT));
    for (const session of mine ? [mine, ...sessions] : sessions) {
      if (await this.#hold(session)) return this.#items();
    }
    return [];
  }

  /** The items of an earlier session, which becomes the current one. */
  async open(id) {
    await this.close();
    const session = (await this.sessions()).find((one) => one.id === id);
    if (!session || !await this.#hold(session)) return [];
    session.open = true;
    await this.#write(({ sessions }) => { sessions.put(session); });
    return this.#items();
  }

  /** End the current session; it stays among the earlier ones. Promises its id, null if there was none. */
  async close() {
    const { session } = this;
    const written = this.flush();
    this.session = null; // at once: what comes next belongs to another one
    this.beginning = null;
    this.release?.();
    this.release = null;
    sessionStorage.removeItem(CURRENT);
    if (!session) return null;
    await written;
    await this.#write(({ sessions }) => { sessions.put({ ...session, open: false }); });
    this.dispatchEvent(new Event("change"));
    return session.id;
  }

  /** Keep new items, their files too. */
  async add(items) {
    for (const item of items) this.save(item);
    await (this.beginning ??= this.#begin());
    const { session } = this;
    await this.flush();
    for (const { id, file } of items.filter((item) => item.file)) {
      await this.#makeRoom(file.size);
      if (session.bytes + file.size > LIMIT_MB * 2 ** 20) continue; // the small picture will do
      session.bytes += file.size;
      await this.#write(({ sessions, files }) => {
        files.put({ id, session: session.id, file });
        sessions.put(session);
      });
    }
    this.dispatchEvent(new Event("change"));
  }

  /** Keep what has become of an item. */
  save(item) {
    this.waiting.add(item);
    this.timer ??= setTimeout(() => this.flush(), TOGETHER_MS);
  }

  remove(item) {
    this.waiting.delete(item);
    if (this.session) this.session.bytes -= Math.min(this.session.bytes, item.file?.size ?? 0);
    return this.#write(({ pictures, files }) => {
      pictures.delete(item.id);
      files.delete(item.id);
    });
  }

  flush() {
    clearTimeout(this.timer);
    this.timer = null;
    if (!this.session || !this.waiting.size) return this.writing;
    const { session } = this;
    const records = [...this.waiting].map((item) => ({
      ...Object.fromEntries(KEPT.map((name) => [name, item[name]])),
      problem: item.problem && { code: item.problem.code, type: item.problem.type, message: item.problem.message },
      session: session.id,
    }));
    this.waiting.clear();
    this.writing = this.#write(({ sessions, pictures }) => {
      sessions.put(session);
      for (const record of records) pictures.put(record);
    });
    return this.writing;
  }

  /** All sessions with pictures, newest first. */
  async sessions() {
    const all = await transact("readonly", ({ sessions }) => sessions.index("begun").getAll()).catch(() => []);
    return all.reverse();
  }

  /** The pictures of a session that is shown in the history, without their files. */
  pictures(id) {
    return ofSession("pictures", id).catch(() => []);
  }

  async forget(id) {
    await forgetSession(id).catch(() => {});
    this.dispatchEvent(new Event("change"));
  }

  async forgetAll() {
    await this.close();
    await forgetAll().catch(() => {});
    forgetOptions();
    this.dispatchEvent(new Event("change"));
  }

  async #items() {
    const { id } = this.session;
    this.dispatchEvent(new Event("change"));
    const [pictures, files] = await Promise.all([this.pictures(id), ofSession("files", id).catch(() => [])]);
    const found = new Map(files.map((one) => [one.id, one.file]));
    return pictures.map((picture) => ({ ...picture, file: found.get(picture.id) ?? null, explanation: null }));
  }

  async #begin() {
    if (!this.session) await this.#hold({ id: newId(), begun: Date.now(), bytes: 0, open: true });
  }

  /** Take a session for this tab; false where another tab has it. */
  #hold(session) {
    const held = () => {
      this.session = session;
      sessionStorage.setItem(CURRENT, session.id);
    };
    if (!navigator.locks) return held() ?? true; // pages without TLS have no locks
    return new Promise((done) => {
      navigator.locks.request(`${CURRENT}.${session.id}`, { ifAvailable: true }, (lock) => {
        if (lock) held();
        done(Boolean(lock));
        return lock && new Promise((release) => { this.release = release; });
      });
    });
  }

  /** Let the files of the oldest sessions go until there is room for so many bytes. */
  async #makeRoom(bytes) {
    const all = await this.sessions();
    let used = all.reduce((sum, session) => sum + session.bytes, bytes);
    for (const session of all.reverse()) {
      if (used <= LIMIT_MB * 2 ** 20) return;
      if (session.id === this.session.id || !session.bytes) continue;
      used -= session.bytes;
      await forgetSession(session.id, true).catch(() => {});
      await this.#write(({ sessions }) => { sessions.put({ ...session, bytes: 0 }); });
    }
  }

  /** A write that may fail: a full disk or a private window must not stop the work. */
  #write(work) {
    return transact("readwrite", work).catch(() => {});
  }
}
