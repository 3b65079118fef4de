// What a reload or crash must not lose: the canvas (IndexedDB) and the settings (localStorage), per page and as "the last one".
const DB = 'onestroke', CANVASES = 'canvases', SETTINGS = 'onestroke.live', KEEP = 4;

/** This page's secret name; it survives a reload, not a new window. */
export function clientName() {
  let name = sessionStorage.getItem('onestroke.client');
  if (!name) {
    name = Array.from(crypto.getRandomValues(new Uint8Array(16)), (v) => v.toString(16).padStart(2, '0')).join('');
    sessionStorage.setItem('onestroke.client', name);
  }
  return name;
}

export function loadSettings() {
  try {
    return JSON.parse(sessionStorage.getItem(SETTINGS) ?? localStorage.getItem(SETTINGS)) ?? {};
  } catch {
    return {};
  }
}

export function saveSettings(settings) {
  const text = JSON.stringify(settings);
  sessionStorage.setItem(SETTINGS, text);
  localStorage.setItem(SETTINGS, text);
}

const database = () => new Promise((resolve, reject) => {
  const request = indexedDB.open(DB, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(CANVASES, { keyPath: 'client' });
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

const answer = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

/** The canvas of this page, or else the newest of any; undefined when there is none. */
export async function loadCanvas(client) {
  const shelf = (await database()).transaction(CANVASES).objectStore(CANVASES);
  const all = await answer(shelf.getAll());
  const newest = all.sort((a, b) => b.at - a.at)[0];
  return (all.find((entry) => entry.client === client) ?? newest)?.image;
}

export async function saveCanvas(client, image) {
  const shelf = (await database()).transaction(CANVASES, 'readwrite').objectStore(CANVASES);
  shelf.put({ client, image, at: Date.now() });
  const all = (await answer(shelf.getAll())).sort((a, b) => b.at - a.at);
  for (const old of all.slice(KEEP)) shelf.delete(old.client);
}
