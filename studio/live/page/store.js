// What a reload or crash must not lose: the drawing (IndexedDB) and the settings (localStorage), per page and as "the last one".
const CANVASES = 'canvases', KEEP = 4;

/** This page's secret name; it survives a reload, not a new window. */
export function clientName() {
  let name = sessionStorage.getItem('onestroke.client');
  if (!name) {
    name = Array.from(crypto.getRandomValues(new Uint8Array(16)), (v) => v.toString(16).padStart(2, '0')).join('');
    sessionStorage.setItem('onestroke.client', name);
  }
  return name;
}

/** places: {database: its name in IndexedDB, settings: their name in the browser's storage}. */
export class Store {
  constructor({ database, settings }) { Object.assign(this, { name: database, place: settings }); }

  get settings() {
    try {
      return JSON.parse(sessionStorage.getItem(this.place) ?? localStorage.getItem(this.place)) ?? {};
    } catch {
      return {};
    }
  }

  set settings(values) {
    const text = JSON.stringify(values);
    sessionStorage.setItem(this.place, text);
    localStorage.setItem(this.place, text);
  }

  /** What this page saved, or else the newest of any page; undefined when there is nothing. */
  async load(client) {
    const shelf = (await this.open()).transaction(CANVASES).objectStore(CANVASES);
    const all = await answer(shelf.getAll());
    const newest = all.sort((a, b) => b.at - a.at)[0];
    return all.find((entry) => entry.client === client) ?? newest;
  }

  /** record: an object of what can be cloned. */
  async save(client, record) {
    const shelf = (await this.open()).transaction(CANVASES, 'readwrite').objectStore(CANVASES);
    shelf.put({ ...record, client, at: Date.now() });
    const all = (await answer(shelf.getAll())).sort((a, b) => b.at - a.at);
    for (const old of all.slice(KEEP)) shelf.delete(old.client);
  }

  open() {
    const request = indexedDB.open(this.name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(CANVASES, { keyPath: 'client' });
    return answer(request);
  }
}

const answer = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});
