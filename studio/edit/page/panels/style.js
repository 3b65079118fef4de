// Style: the picture in the manner of another one, the same for all views of a thing; and a drawing of strokes towards words.
import { busy, el } from '../../../layers/page/dom.js';
import { shots, slider, slot } from '../parts.js';

export default {
  id: 'style', title: 'Style', order: 40,
  build(root, tab) {
    const drawn = strokes(tab, root, () => reference.id), drop = () => {};
    const reference = slot(tab, 'Drop or press for a picture whose style is wanted', drop), manner = manners(tab, root, () => reference.id);
    root.append(reference.box, manner.box, drawn.box);
  },
};

function manners(tab, root, style) {
  const why = tab.config.stylish, strength = slider('Strength', { min: 0, max: 1, step: 0.05, value: 1, say: (v) => `${Math.round(100 * v)} %`, hint: '0: the picture bit for bit' });
  const file = el('input', { type: 'file', accept: 'image/*', multiple: true, hidden: true, tabIndex: -1, 'aria-label': 'Other views' }), others = el('div'), results = el('div'), go = el('button.os-btn.is-first.is-wide', { type: 'button', disabled: !!why }, 'Take on its style');
  const views = [];
  const list = () => others.replaceChildren(views.length ? shots(tab, views.map((id, i) => ({ id, says: `View ${i + 2}`, title: 'Press to take it out' })), (i) => { views.splice(i, 1); list(); }) : '');
  file.addEventListener('change', async () => {
    for (const one of file.files) try { views.push((await tab.upload(one)).id); } catch (error) { tab.error(error.message); }
    file.value = '';
    list();
  });
  go.addEventListener('click', () => busy(go, root, async (given) => {
    const before = tab.picture, asked = { picture: before?.picture ?? '', views: [...views], style: style() ?? '', strength: strength.value() };
    if (!before) { tab.error('There is no picture yet. Drop one onto the stage.'); return; }
    if (!asked.style) { tab.error('Give a picture whose style is wanted: press the field above, or drop one on it.'); return; }
    const made = [];
    const first = await tab.run('style', asked, { ...given, onPart: (one) => made.push(one) });
    if (!first) return;
    results.replaceChildren(made.length > 1 ? shots(tab, made.map((one, i) => ({ id: one.picture, says: i ? `View ${i + 1}` : 'This picture', title: 'Press to save it', chosen: !i })), (i, shot) => tab.download(shot.id, `view-${i + 1}.png`)) : '');
    tab.offer({ before, after: first, mask: null, title: 'Style of a picture', asked: { task: 'style', ...asked }, notes: first.notes });
  }));
  return { box: el('section.oe-use', {}, why ? el('p.ol-note.is-wrong', {}, why) : null, strength.field, others, el('button.os-btn', { type: 'button', onclick: () => file.click() }, 'Add other views of it'), file, go, results,
    el('p.ol-note', {}, 'Other views of the same thing are painted alike. Alpha stays as it is.')) };
}

/** StyleCLIPDraw: watched while it draws, saved as SVG. */
function strokes(tab, root, style) {
  const words = el('input', { type: 'text', placeholder: 'a red fox', 'aria-label': 'What to draw' }), count = slider('Strokes', { min: 16, max: 256, step: 8, value: 96 }), turns = slider('Rounds', { min: 20, max: 600, step: 20, value: 200 });
  const weight = slider('Weight of the style', { min: 0, max: 4, step: 0.1, value: 1, say: (v) => v.toFixed(1) }), go = el('button.os-btn.is-wide', { type: 'button' }, 'Draw it in strokes'), watch = el('.oe-drawn', { hidden: true }), face = el('img', { alt: 'The drawing' });
  const saved = el('button.os-btn', { type: 'button' }, 'Save as SVG'), taken = el('button.os-btn', { type: 'button' }, 'Take it'), says = el('p.ol-note'), ends = el('.ol-row', { hidden: true }, taken, saved);
  let outcome = null, asked = null;
  watch.append(face, says, ends);
  go.addEventListener('click', () => busy(go, root, async (given) => {
    asked = { words: words.value.trim(), style: style() ?? '', weight: weight.value(), strokes: count.value(), iterations: turns.value(), seed: tab.how().seed };
    if (!asked.words) { tab.error('Say what to draw.'); words.focus(); return; }
    ends.hidden = true;
    outcome = await tab.run('strokes', asked, { ...given, onPart: (now) => { watch.hidden = false; face.src = tab.pictureURL(now.picture); says.textContent = `Round ${now.iteration} of ${now.iterations}`; } });
    ends.hidden = !outcome;
    if (outcome) face.src = `data:image/svg+xml;utf8,${encodeURIComponent(outcome.svg)}`;
  }));
  saved.addEventListener('click', () => tab.save(new Blob([outcome.svg], { type: 'image/svg+xml' }), `${asked.words || 'drawing'}.svg`));
  taken.addEventListener('click', async () => { try { await tab.bring(new Blob([outcome.svg], { type: 'image/svg+xml' }), { title: asked.words || 'Stroke drawing', asked: { task: 'strokes', ...asked } }); } catch (error) { tab.error(error.message); } });
  return { box: el('details', {}, el('summary', {}, 'Draw it in strokes'), el('label.ol-field', {}, 'What to draw', words), count.field, turns.field, weight.field, go, watch) };
}
