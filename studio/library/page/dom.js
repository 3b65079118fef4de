// Small helpers of the library page. Texts become text nodes, never HTML.

export function make(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) made[name] = value; else made.setAttribute(name, value === true ? '' : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

export async function ask(path, body) {
  const options = body && { method: 'POST', headers: { 'content-type': body instanceof Blob ? 'application/octet-stream' : 'application/json' },
    body: body instanceof Blob ? body : JSON.stringify(body) };
  const response = await fetch(new URL(`api/${path}`, document.baseURI), options);
  const answer = await response.json().catch(() => ({ error: 'The studio did not answer. Is it still running?' }));
  if (answer.error) throw new Error(answer.error);
  return answer;
}

export const thumb = (id) => new URL(`api/library/${id}/thumb.webp`, document.baseURI).href;
export const whole = (id) => new URL(`studio/library/${id}.png`, document.baseURI).href;

export function bytes(count) {
  return count >= 1e9 ? `${(count / 1e9).toFixed(2)} GB` : count >= 1e6 ? `${(count / 1e6).toFixed(1)} MB` : `${Math.ceil(count / 1e3)} kB`;
}
