// Small helpers for panels: elements, and a button that works for a while.

/** el('label.ol-field', {title: 'x', onclick: fn, hidden: true}, child, 'text', ...) -> an element. Unknown names become attributes. */
export function el(what, given = {}, ...children) {
  const [tag, ...classes] = what.split('.'), element = document.createElement(tag || 'div');
  if (classes.length) element.className = classes.join(' ');
  for (const [name, value] of Object.entries(given)) {
    if (name in element && typeof value !== 'string') element[name] = value;
    else if (['value', 'textContent', 'htmlFor', 'type', 'innerHTML'].includes(name)) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An icon of the page: paths of a 24 px drawing. */
export function icon(path) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const line = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  line.setAttribute('d', path);
  svg.append(line);
  return svg;
}

/** While run({onProgress, signal}) goes on: the button is off, a bar and a Cancel stand below it. Returns what run resolves to. */
export async function busy(button, root, run) {
  const ending = new AbortController(), bar = el('i'), what = el('span', {}, 'Working …');
  const box = el('.ol-busy', { role: 'status' }, el('.ol-progress.is-unknown', {}, bar), el('.ol-busy-row', {}, what, el('button.os-btn', { type: 'button', onclick: () => ending.abort() }, 'Cancel')));
  const onProgress = (done, total, words) => {
    box.firstElementChild.classList.toggle('is-unknown', !(total > 0));
    if (total > 0) bar.style.width = `${Math.min(100, 100 * done / total)}%`;
    what.textContent = words ? `${words[0].toUpperCase()}${words.slice(1)} …` : 'Working …';
  };
  button.disabled = true;
  button.after(box);
  try {
    return await run({ onProgress, signal: ending.signal });
  } finally {
    button.disabled = false;
    box.remove();
  }
}
