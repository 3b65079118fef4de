// Tuned: a few seconds of training on this picture make a picture key; edits with the key stay close to it. Keys are kept and used again.
import { busy, el } from '../../../layers/page/dom.js';
import { chips } from '../../../layers/page/making.js';
import { shots, slider } from '../parts.js';

const percent = (v) => `${Math.round(100 * v)} %`;

export default {
  id: 'tuned', title: 'Tuned', order: 30,
  build(root, tab) {
    const learning = learn(tab, root, (key) => using.take(key)), using = use(tab, root);
    root.append(learning.box, using.box);
    const renew = () => using.renew();
    tab.on('entry', renew);
    renew();
  },
};

/** Training, watched: the preview grows into the picture, and can be stopped. */
function learn(tab, root, done) {
  const methods = tab.config.methods ?? [], about = el('p.ol-note');
  const method = chips(methods.map(({ id, title }) => [id, title]), methods[0]?.id, () => tell(), 'How');
  const shows = el('input', { type: 'text', placeholder: 'a red fox on grass' }), target = el('input', { type: 'text', placeholder: 'the fox in watercolour' });
  const steps = slider('Steps', { min: 10, max: 200, step: 10, value: 50, say: String });
  const watch = el('.oe-watch', { hidden: true }), face = el('img', { alt: 'What the key paints by now' }), numbers = el('p.ol-note'), curve = el('span.oe-curve'), start = el('button.os-btn.is-first.is-wide', { type: 'button' }, 'Learn this picture');
  watch.append(face, el('div', {}, numbers, curve));
  const tell = () => {
    const one = methods.find(({ id }) => id === method.value());
    about.textContent = one?.about ?? '';
    if (one) { Object.assign(steps.field.querySelector('input'), { min: one.steps[0], max: one.steps[1] }); steps.set(one.steps[2]); }
  };
  start.addEventListener('click', () => busy(start, root, async (given) => {
    const picture = tab.picture;
    if (!picture) { tab.error('There is no picture yet. Drop one onto the stage.'); return; }
    const seen = [];
    watch.hidden = true;
    const onPart = (now) => {
      watch.hidden = false;
      seen.push(now.likeness);
      if (now.preview) face.src = tab.pictureURL(now.preview, 256);
      numbers.textContent = `Step ${now.step} of ${now.steps}, ${now.seconds} s. Likeness ${percent(now.likeness)}`;
      curve.replaceChildren(...seen.map((v) => { const bar = el('i'); bar.style.height = `${Math.max(4, 100 * v)}%`; return bar; }));
      given.onProgress(now.step, now.steps, 'learning the picture');
    };
    const outcome = await tab.run('tune', { picture: picture.picture, method: method.value(), shows: shows.value.trim(), target: target.value.trim(), steps: steps.value(), seed: tab.how().seed }, { ...given, onPart, onProgress: () => {} });
    if (!outcome) { watch.hidden = true; return; }
    if (seen.length) face.alt = 'What the key paints';
    numbers.textContent = `Learned in ${outcome.key.seconds} s, likeness ${percent(outcome.key.likeness)}, ${(outcome.key.bytes / 2 ** 20).toFixed(1)} MB, ${(100 * outcome.key.share).toFixed(2)} % of the network.`;
    done(outcome.key);
  }));
  tell();
  return { box: el('details', { open: true }, el('summary', {}, 'Learn'), method.box, about, el('label.ol-field', {}, 'What it shows', shows), el('label.ol-field', {}, 'What it is to become (helps, may be empty)', target), steps.field, start, watch) };
}

/** Edits by a key. */
function use(tab, root) {
  const pick = el('select', { 'aria-label': 'Picture key' }), gone = el('button.os-btn', { type: 'button' }, 'Forget'), words = el('input', { type: 'text', placeholder: 'in watercolour', 'aria-label': 'The edit in words' }), state = el('p.ol-note', { 'aria-live': 'polite' });
  const freedom = slider('Freedom', { min: 0, max: 1, step: 0.05, value: 0.8, say: percent, hint: 'How much noise the picture starts from' }), keep = slider('Keep this picture', { min: 0, max: 1, step: 0.05, value: 0, say: percent, hint: 'How much of the key’s own picture is mixed in (SINE)' });
  const until = slider('… until', { min: 0.05, max: 1, step: 0.05, value: 0.5, say: percent, hint: 'For which part of the way' }), fidelity = slider('Strength of the key', { min: 0, max: 1.5, step: 0.05, value: 1, say: percent });
  const take = el('select', { 'aria-label': 'What of the key' }, Object.entries(tab.config.takes ?? { '': 'The picture' }).map(([id, title]) => el('option', { value: id }, title)));
  const restore = el('input', { type: 'checkbox', checked: true }), strip = el('div'), once = el('button.os-btn.is-first', { type: 'button' }, 'Edit'), row = el('button.os-btn', { type: 'button', title: 'From the picture’s words to the edit’s, five pictures' }, 'Row'), field = el('button.os-btn', { type: 'button', title: 'Freedom by keeping, nine pictures' }, '3 × 3');
  const fold = el('details', {}, el('summary', {}, 'Freedom, keeping, strength'), el('label.ol-field', { title: 'A part of the way from noise to picture decides a part of how it looks (ProSpect)' }, 'What of the key', take), freedom.field, keep.field, until.field, fidelity.field, el('label.ol-field.is-line', {}, restore, 'Put back what hardly changed'));
  const mine = { keys: [], box: el('section.oe-use', {}, el('h3', {}, 'Edit by a key'), el('.oe-key', {}, pick, gone), el('label.ol-field', {}, 'What it should be', words), el('.ol-row', {}, once, row, field), state, strip, fold) };

  mine.renew = async (chosen = pick.value) => {
    try {
      ({ keys: mine.keys } = await tab.ask('keys', {}));
    } catch (error) { state.textContent = error.message; return; }
    const here = tab.picture?.picture;
    pick.replaceChildren(...mine.keys.map((key) => new Option(`${key.title}${key.source === here ? ' (this picture)' : ''}`, key.id)));
    pick.value = mine.keys.some(({ id }) => id === chosen) ? chosen : mine.keys.find((key) => key.source === here)?.id ?? mine.keys[0]?.id ?? '';
    for (const one of [pick, gone, once, row, field, words]) one.disabled = !mine.keys.length;
    state.textContent = mine.keys.length ? '' : 'No keys yet: let it learn the picture first.';
  };
  mine.take = (key) => { mine.renew(key.id); words.focus(); };
  gone.addEventListener('click', async () => { try { await tab.ask('forget', { key: pick.value }); } catch (error) { tab.error(error.message); } mine.renew(); });

  const work = (button, shown) => busy(button, root, async (given) => {
    const before = tab.picture, asked = { shown, key: pick.value, words: words.value.trim(), picture: before?.picture ?? '', freedom: freedom.value(), keep: keep.value(), until: until.value(), fidelity: fidelity.value(), restore: restore.checked, take: take.value, seed: tab.how().seed, style: tab.how().style };
    if (!before) { tab.error('There is no picture yet. Drop one onto the stage.'); return; }
    if (!asked.words) { state.textContent = 'Say what it should be.'; words.focus(); return; }
    const made = [];
    const offer = (one) => tab.offer({ before, after: one, mask: one.mask, title: asked.words, asked: { task: 'bykey', ...asked, shown: 'one', eta: one.eta, freedom: one.freedom, keep: one.keep }, notes: one.notes });
    const says = (one) => (shown === 'grid' ? `${percent(one.freedom)} / ${percent(one.keep)}` : percent(one.eta));
    const draw = (at) => strip.replaceChildren(shown === 'one' ? '' : shots(tab, made.map((one, i) => ({ id: one.picture, says: says(one), title: `Likeness ${percent(one.likeness)}`, chosen: i === at })), (i) => { draw(i); offer(made[i]); }));
    const last = await tab.run('bykey', asked, { ...given, onPart: (one) => { made.push(one); draw(-1); } });
    if (!last) return;
    state.textContent = shown === 'one' ? `Likeness to the picture ${percent(last.likeness)}.` : 'Choose one.';
    if (shown === 'one') offer(last);
  });
  once.addEventListener('click', () => work(once, 'one'));
  row.addEventListener('click', () => work(row, 'etas'));
  field.addEventListener('click', () => work(field, 'grid'));
  words.addEventListener('keydown', (e) => { if (e.key === 'Enter') once.click(); });
  return mine;
}
