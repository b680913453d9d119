/* The browser's database: sessions, their pictures with the captions, and the pictures' files. */

const NAME = "captionize";
const STORES = ["sessions", "pictures", "files"];

let opening = null;

function open() {
  opening ??= new Promise((done, failed) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => {
      const [sessions, ...parts] = STORES.map((name) => request.result.createObjectStore(name, { keyPath: "id" }));
      sessions.createIndex("begun", "begun");
      for (const part of parts) part.createIndex("session", "session");
    };
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });
  return opening;
}

/**
 * Do `work(stores)` in one transaction, all of it or nothing; promises what the request that it
 * returns found. Rejects where the browser keeps nothing, or nothing more.
 */
export async function transact(mode, work) {
  const database = await open();
  const transaction = database.transaction(STORES, mode, { durability: "relaxed" });
  const request = work(Object.fromEntries(STORES.map((name) => [name, transaction.objectStore(name)])));
  return new Promise((done, failed) => {
    transaction.oncomplete = () => done(request?.result);
    transaction.onabort = () => failed(transaction.error);
  });
}

/** All that a store has of a session. */
export const ofSession = (store, session) => (
  transact("readonly", (stores) => stores[store].index("session").getAll(session))
);

/** Forget a session with all that belongs to it, or only its files. */
export function forgetSession(id, onlyFiles) {
  return transact("readwrite", ({ sessions, pictures, files }) => {
    for (const store of onlyFiles ? [files] : [files, pictures]) {
      store.index("session").getAllKeys(id).onsuccess = ({ target }) => target.result.forEach((key) => store.delete(key));
    }
    if (!onlyFiles) sessions.delete(id);
  });
}

export const forgetAll = () => (
  transact("readwrite", (stores) => { for (const name of STORES) stores[name].clear(); })
);
