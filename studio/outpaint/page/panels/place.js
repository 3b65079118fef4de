// A cut-out in imagined places: the thing stays as it is, four places with their reasons are painted around it.
import { busy, el, icon } from '../../../layers/page/dom.js';
import { Box } from '../box.js';
import { onlyWithPicture, paints } from '../painting.js';
import { says, wrong } from './extend.js';

const COUNT = 4, SIDE = 256;
const LOCK = 'M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 7 0v3', ROLL = 'M4 12a8 8 0 0 1 14-5l2 2m0-5v5h-5M20 12a8 8 0 0 1-14 5l-2-2m0 5v-5h5', TAKE = 'm5 12 5 5 9-10';
const newSeed = () => Math.floor(Math.random() * 2 ** 31);
const percent = (v) => `${Math.round(100 * v)} %`;

export default {
  id: 'place', title: 'Place', order: 50,
  build(root, bench) {
    const state = el('p.ol-note', { role: 'status' }), list = el('.op-places', { role: 'list' });
    const box = new Box(bench, { key: 'stand', says, changed: () => look(), onlyMove: true });
    const what = el('input', { type: 'text', placeholder: 'a red kettle', 'aria-label': 'What is it?', oninput: () => bench.draft('place.words', what.value || null) });
    const painting = paints(bench, { draft: 'place.unused', feather: null, variants: false });
    const make = el('button.os-btn.is-first.is-wide', { type: 'button' }, 'Imagine places'), propose = el('button.os-btn', { type: 'button', onclick: () => fresh() }, 'Other proposals');
    const cut = el('button.os-btn.is-first.is-wide', { type: 'button', hidden: true }, 'Cut it out');
    let rows = [], source = null, isCut = false, begun = null;

    async function fresh() {
      const { step } = bench;
      if (!step) return;
      const asked = await bench.ask('places', { picture: step.picture, words: what.value, base: bench.base, count: 8 }).catch((error) => { bench.error(error.message); return null; });
      if (!asked || bench.step?.id !== step.id) return;
      isCut = asked.cut;
      look();
      if (!isCut) return;
      const known = new Set(rows.filter((row) => row.locked).map((row) => row.words.value)), rest = asked.places.filter(({ words }) => !known.has(words)), at = rows.length ? rows.at(-1).turn ?? 0 : 0;
      const pick = (n) => rest[(at + n) % rest.length];
      let n = 0;
      rows = Array.from({ length: COUNT }, (_, i) => { if (rows[i]?.locked) return rows[i]; const { words, reason } = pick(n++); return row(words, reason); });
      rows.at(-1).turn = at + n;
      list.replaceChildren(...rows.map((one) => one.root));
    }

    function row(place, reason) {
      const words = el('input', { type: 'text', value: place, 'aria-label': 'A place', oninput: () => { said.textContent = ''; } }), said = el('p.ol-note', {}, reason), image = el('img', { alt: '' });
      const shot = el('button.ol-shot', { type: 'button', 'aria-label': `Show it ${place}`, disabled: true, onclick: () => show(one) }, image);
      const button = (title, path, onclick, more = {}) => el('button.ol-icon', { type: 'button', title, 'aria-label': title, onclick, ...more }, icon(path));
      const lock = button('Keep this one while others are rolled', LOCK, () => { one.locked = !one.locked; lock.setAttribute('aria-pressed', String(one.locked)); }, { 'aria-pressed': 'false' });
      const roll = button('Paint this one again', ROLL, () => busy(roll, one.root, (how) => paint([one], how))), take = button('Take this one', TAKE, () => keep(one), { disabled: true });
      const one = { words, said, image, shot, take, reason, seed: newSeed(), locked: false, made: null, root: el('.op-place', { role: 'listitem' }, shot, el('div', {}, words, said), el('.op-acts', {}, lock, roll, take)) };
      return one;
    }

    function show(one) {
      if (one.made) bench.preview({ ...one.made, before: source.before });
      for (const other of rows) other.shot.setAttribute('aria-pressed', String(other === one && !!one.made));
    }

    function keep(one) {
      if (!one.made || bench.step?.id !== source.step) { bench.error('The picture has changed since. Imagine the places anew.'); return; }
      const { picture, width, height, asked } = one.made, others = rows.filter((row) => row.made).map(({ made }) => ({ picture: made.picture, width: made.width, height: made.height }));
      bench.commit({ picture, width, height, title: `Placed ${one.words.value}`, asked: { ...source.asked, ...asked }, before: source.before, notes: one.made.said, more: { others } });
    }

    async function paint(which, how) {
      const { step } = bench, sides = { ...box.sides }, asked = { ...painting.asked(), words: what.value, places: which.map((one) => one.words.value), seeds: which.map((one) => { one.seed = newSeed(); return one.seed; }), ...sides };
      source = { step: step.id, before: [sides.left, sides.top, step.width, step.height], asked: { task: 'place', base: bench.base, ...asked } };
      bench.preview(null);
      const onPart = (part) => { if (bench.step?.id === step.id) put(which[part.number], part); };
      await bench.run('place', asked, { ...how, onPart });
    }

    function put(one, made) {
      one.made = made;
      one.image.src = bench.pictureURL(made.picture, SIDE);
      one.shot.disabled = one.take.disabled = false;
      const [before, after] = made.growth;
      one.said.textContent = [one.reason, before === undefined ? '' : after < 0.005 ? 'The thing has not grown.' : after < before ? `It had grown by ${percent(before)}, now ${percent(after)}.` : `It has grown by ${percent(after)}.`].filter(Boolean).join(' ');
    }

    function look() {
      const no = box.any && wrong(box), can = isCut && !!bench.step;
      for (const part of [list, make, proposing]) part.hidden = !can;
      cut.hidden = isCut || !bench.step;
      if (can && bench.panel === 'place') { box.show(); begin(); } else box.hide();
      state.classList.toggle('is-wrong', !!no);
      state.textContent = !bench.step ? 'Open a cut-out, or any picture with one thing on it.' : !isCut ? 'This picture is not cut out yet. Corrections to the cut can be made in the Layers tab.' : no ? `That canvas is ${no}.` : 'Drag the sides to say how much is seen around it, and the middle to move it.';
    }

    cut.addEventListener('click', () => busy(cut, root, (how) => bench.make('cut', {}, { ...how, title: 'Cut out' })));
    make.addEventListener('click', () => busy(make, root, async (how) => {
      if (!rows.length) await fresh();
      const which = rows.filter((one) => !one.locked && one.words.value.trim());
      if (!which.length) { bench.error('All places are locked.'); return; }
      await paint(which, how);
    }));
    const proposing = el('.op-row', {}, propose);
    root.append(el('label.ol-field', {}, 'What is it?', what), cut, proposing, list, make, state, painting.more);
    bench.on('shown', (id) => { if (id === 'place') { if (rows.length) look(); else fresh(); } else { box.hide(); bench.preview(null); } });
    bench.on('step', () => { rows = []; isCut = false; list.replaceChildren(); if (bench.panel === 'place') fresh(); look(); });
    bench.on('document', () => { what.value = bench.draft('place.words') ?? ''; rows = []; isCut = false; list.replaceChildren(); if (bench.panel === 'place') fresh(); look(); });
    /** Room around it, as a first proposal, where there is none. */
    function begin() { if (!box.any && bench.step.asked.task !== 'place' && begun !== bench.step.id) { begun = bench.step.id; box.around(1.5); } }
    onlyWithPicture(bench, make, propose);
    look();
  },
};
