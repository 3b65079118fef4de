// Objects: rows of "what → to what". Each thing is tried at several depths, the best is taken, and all are put together.
import { busy, el, icon } from '../../../layers/page/dom.js';
import { shots } from '../parts.js';

const MOST = 6;

export default {
  id: 'objects', title: 'Objects', order: 20,
  build(root, tab) {
    const list = el('.oe-pairs'), found = el('.oe-found'), more = el('button.os-btn', { type: 'button', onclick: () => row().source.focus() }, 'Another thing'), state = el('p.ol-note', { 'aria-live': 'polite' });
    const go = el('button.os-btn.is-first.is-wide', { type: 'button', onclick: () => work([]) }, 'Change them together');
    const rows = [];
    let strips = [], before = null;

    function row(first = '', second = '') {
      const source = el('input', { type: 'text', value: first, placeholder: 'the dog', 'aria-label': 'What there is' }), target = el('input', { type: 'text', value: second, placeholder: 'a grey cat', 'aria-label': 'What it becomes' });
      const where = tab.maskSlot({ says: 'Found by its words', small: true });
      const one = { source, target, where }, gone = el('button.ol-icon', { type: 'button', 'aria-label': 'Take this row out', title: 'Take this row out', onclick: () => { rows.splice(rows.indexOf(one), 1); one.box.remove(); count(); } }, icon('M7 7l10 10M17 7 7 17'));
      one.box = el('.oe-pair', {}, el('.oe-pair-words', {}, source, el('span', { 'aria-hidden': 'true' }, '→'), target, gone), where.box);
      for (const field of [source, target]) field.addEventListener('keydown', (e) => { if (e.key === 'Enter') go.click(); });
      rows.push(one);
      list.append(one.box);
      count();
      return one;
    }

    function count() { more.disabled = rows.length >= MOST; if (!rows.length) row(); }

    /** chosen: [[row, depth], ...] of the person's own. */
    const work = (chosen) => busy(go, root, async ({ onProgress, signal }) => {
      before = tab.picture;
      if (!before) { tab.error('There is no picture yet. Drop one onto the stage.'); return; }
      if (!chosen.length) strips = [];
      state.textContent = '';
      const asked = { picture: before.picture, pairs: rows.map(({ source, target, where }) => ({ source: source.value, target: target.value, ...(where.mask && { mask: where.mask }) })), chosen, how: tab.how() };
      let whole = null;
      const outcome = await tab.run('objects', asked, { onProgress, signal, onPart: (part) => { if (part.whole) ({ whole } = part); else { strips[part.number] = part; draw(); } } });
      if (!outcome) return;
      if (outcome.missing) { state.textContent = outcome.missing.words; return; }
      if (whole) tab.offer({ before, after: { picture: whole.after, width: whole.width, height: whole.height }, mask: whole.mask, title: title(), asked: { task: 'objects', words: title(), ...asked }, notes: outcome.notes });
    });

    const title = () => rows.map(({ source, target }) => `${source.value.trim()} → ${target.value.trim()}`).join(', ').slice(0, 190);

    function draw() {
      found.replaceChildren(...strips.filter(Boolean).map((strip) => el('section', {}, el('h3', {}, `${rows[strip.number]?.source.value ?? ''} → ${rows[strip.number]?.target.value ?? ''}`),
        shots(tab, strip.pictures.map((id, i) => ({ id, says: strip.depths[i].toFixed(1), chosen: i === strip.chosen, title: `Depth ${strip.depths[i]}: change ${strip.edit[i]}, kept ${strip.keep[i]}` })), (i) => { strip.chosen = i; draw(); work(strips.map((one, n) => [n, one?.chosen]).filter(([, depth]) => Number.isInteger(depth))); }),
        strip.chosen === null ? el('p.ol-note.is-wrong', {}, 'No depth did it. Choose one yourself, or say it otherwise.') : null,
        strip.notes.length ? el('p.ol-note', {}, strip.notes.join(' ')) : null)));
    }

    row();
    root.append(el('p.ol-note', {}, 'Say of several things what they become. Each is changed as deep as suits it, the rest stays.'), list, el('.ol-row', {}, more), go, state, found);
    tab.on('entry', () => { for (const { where } of rows) where.clear(); strips = []; draw(); });
  },
};
