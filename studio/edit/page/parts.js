// Form parts that several panels use.
import { el } from '../../layers/page/dom.js';

/** {field, value(), set(v)}. */
export function slider(title, { min, max, step, value, say = String, hint = '', oninput = () => {}, onchange = () => {} }) {
  const out = el('output', {}, say(value)), input = el('input', { type: 'range', min, max, step, 'aria-label': title, onchange: () => onchange(Number(input.value)) });
  input.value = String(value);
  const shown = () => { out.textContent = say(Number(input.value)); };
  input.addEventListener('input', () => { shown(); oninput(Number(input.value)); });
  return { field: el('label.ol-field', { title: hint }, el('span', {}, title, out), input), value: () => Number(input.value), set: (v) => { input.value = String(v); shown(); } };
}

/** A place for a picture: pressed, dropped on or pasted into. {box, id, set(id)}; onchange(id or null). */
export function slot(tab, title, onchange) {
  const file = el('input', { type: 'file', accept: 'image/*', hidden: true, tabIndex: -1, 'aria-label': title }), face = el('span.oe-slot-face', {}, title);
  const button = el('button.oe-slot', { type: 'button', 'aria-label': title, onclick: () => file.click() }, face), gone = el('button.ol-quiet', { type: 'button', hidden: true, onclick: () => set(null) }, 'Take away');
  const mine = { box: el('.oe-slot-box', {}, button, gone, file), id: null, set };
  function set(id) {
    mine.id = id;
    face.replaceChildren(id ? el('img', { src: tab.pictureURL(id, 256), alt: title }) : title);
    gone.hidden = !id;
    onchange(id);
  }
  const take = async (blob) => { try { set((await tab.upload(blob)).id); } catch (error) { tab.error(error.message); } };
  file.addEventListener('change', () => { if (file.files[0]) take(file.files[0]); file.value = ''; });
  button.addEventListener('dragover', (e) => { if ([...e.dataTransfer.types].includes('Files')) { e.preventDefault(); e.stopPropagation(); } });
  button.addEventListener('drop', (e) => { if (e.dataTransfer.files[0]) { e.preventDefault(); e.stopPropagation(); take(e.dataTransfer.files[0]); } });
  button.addEventListener('paste', (e) => { const item = [...e.clipboardData?.files ?? []][0]; if (item) { e.preventDefault(); e.stopPropagation(); take(item); } });
  return mine;
}

/** A row of pictures, one of which may be chosen. shots: [{id, says, title, chosen}]. */
export function shots(tab, list, onchoose) {
  return el('.oe-strip', {}, list.map((shot, i) => el('figure', {}, el('button.ol-shot', { type: 'button', title: shot.title ?? '', 'aria-pressed': String(!!shot.chosen), 'aria-label': shot.title || shot.says, onclick: () => onchoose(i, shot) },
    el('img', { src: tab.pictureURL(shot.id, 256), alt: '' })), el('figcaption', {}, shot.says))));
}
