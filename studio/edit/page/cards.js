// The plan as cards: one a step, in order. Each can be rewritten, moved, switched off, given another mask, another strength, another seed.
import { el, icon } from '../../layers/page/dom.js';

const SIGNS = { grip: 'M9 6h.01M15 6h.01M9 12h.01M15 12h.01M9 18h.01M15 18h.01', gone: 'M7 7l10 10M17 7 7 17', dice: 'M4 4h16v16H4zM9 9h.01M15 15h.01M15 9h.01M9 15h.01', mask: 'M4 20c4-1 5-3 6-6l8-9 2 2-9 8c-3 1-5 2-7 5z', wait: 'M12 7v5l3 2M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18' };
const SAYS = {
  recolour: { target: 'What', words: 'Colour' }, replace: { target: 'What', words: 'By what' }, remove: { target: 'What' }, add: { words: 'What', place: 'Where' },
  restyle: { words: 'Look' }, background: { words: 'What lies behind' }, cutout: { target: 'What' }, move: { target: 'What', place: 'Where to' }, scale: { target: 'What' }, repaint: { target: 'Where', words: 'What it becomes' },
};
const HINTS = { target: 'the hat', words: 'red', place: 'left of the house' };
const DRAG_PX = 5;

export class Cards {
  /** place: an element; editing: the plan at work; tools: by id; on: {mask(step), find(step), guess(step)}. */
  constructor(place, editing, tools, on) {
    Object.assign(this, { place, editing, tools, on, boxes: new Map() });
    for (const what of ['plan', 'chosen', 'running']) editing.on(what, () => this.draw());
    editing.on('progress', () => this.bar());
    this.draw();
  }

  draw() {
    const { editing: { plan }, place } = this, chain = new Map(plan.chain(this.editing.how).map((link) => [link.step.id, link]));
    const focus = document.activeElement?.closest?.('[data-field]'), at = focus && [focus.closest('.oe-card')?.dataset.step, focus.dataset.field];
    if (focus && place.contains(focus) && focus.matches('input:not([type=range])')) { this.light(chain); return; }   // nobody's words are taken from under the hand
    place.replaceChildren(...plan.steps.map((step, i) => this.card(step, i, chain.get(step.id))));
    if (at) place.querySelector(`[data-step="${at[0]}"] [data-field="${at[1]}"]`)?.focus({ preventScroll: true });
    this.bar();
  }

  /** Only what does not hold a field. */
  light(chain) {
    for (const step of this.editing.plan.steps) {
      const card = this.place.querySelector(`[data-step="${step.id}"]`);
      card?.setAttribute('data-state', this.state(step, chain.get(step.id)));
    }
  }

  state(step, link) {
    const { running, failed } = this.editing;
    if (step.on === false) return 'off';
    if (running?.step === step.id) return 'running';
    if (failed?.step === step.id) return 'failed';
    return link?.result ? 'done' : 'new';
  }

  card(step, number, link) {
    const { editing } = this, tool = this.tools.get(step.tool), open = editing.chosen === step.id, state = this.state(step, link), result = link?.result ?? null;
    const choose = () => editing.choose(step.id), change = (fields, again = true) => editing.change((plan) => plan.edit(step.id, fields), { again });
    const head = el('.oe-head', {}, this.grip(step, number), el('button.oe-title', { type: 'button', 'aria-expanded': String(open), onclick: choose }, el('b', {}, tool?.title ?? step.tool), el('span', {}, brief(step, tool))),
      state === 'done' ? this.shot(result) : null,
      el('label.oe-switch', { title: step.on === false ? 'Off: this step is left out' : 'On' }, el('input', { type: 'checkbox', checked: step.on !== false, 'aria-label': `Step ${number + 1} is on`, onchange: ({ target }) => change({ on: target.checked }) }), el('i')),
      el('button.ol-icon', { type: 'button', title: 'Take this step out', 'aria-label': `Take step ${number + 1} out`, onclick: () => editing.change((plan) => plan.remove(step.id), { again: true }) }, icon(SIGNS.gone)));
    const card = el('li.oe-card', { 'data-step': step.id, 'data-state': state }, head);
    card.classList.toggle('is-open', open);
    if (state === 'running') card.append(el('.oe-running', { role: 'status' }, el('.ol-progress.is-unknown', {}, el('i')), el('span', {}, 'Working …')));
    if (state === 'failed') card.append(this.failure(step));
    if (open) card.append(this.body(step, tool, result, change));
    return card;
  }

  shot(result) {
    return el('img.oe-thumb', { src: this.editing.bench.pictureURL(result.after, 128), alt: '', title: `${result.seconds ?? '?'} s` });
  }

  body(step, tool, result, change) {
    const says = SAYS[step.tool] ?? { target: 'What', words: 'Words', place: 'Where' }, fields = tool?.fields ?? [];
    const words = ['target', 'words', 'place'].filter((name) => fields.includes(name)).map((name) => el('label.ol-field', {}, says[name] ?? name,
      el('input', { type: 'text', value: step[name] ?? '', placeholder: HINTS[name], 'data-field': name, onchange: ({ target }) => change({ [name]: target.value.trim() }), onkeydown: (e) => { if (e.key === 'Enter') e.target.blur(); } })));
    const box = el('.oe-body', {}, step.why ? el('p.ol-note.oe-why', {}, step.why) : null, words.length > 1 ? el('.ol-row', {}, words) : words);
    if (fields.includes('amount') && tool.amount) box.append(this.slider(step, 'amount', 'Amount', tool.amount, change, (v) => (step.tool === 'move' ? `${Math.round(100 * v)} % of the side` : `× ${v.toFixed(1)}`)));
    if (fields.includes('strength')) box.append(this.slider(step, 'strength', tool.strength_says || 'Strength', [0, 1, 1], change, (v) => `${Math.round(v * 100)} %`));
    if (tool?.finds) box.append(this.masking(step, result, change));
    if (tool?.repaints) box.append(this.seeding(step, result, change));
    if (result?.notes?.length) box.append(el('p.ol-note', {}, result.notes.join(' ')));
    return box;
  }

  slider(step, name, title, [low, high, usual], change, say) {
    const value = step[name] ?? usual, out = el('output', {}, say(value));
    const input = el('input', { type: 'range', min: low, max: high, step: (high - low) / 100, value: String(value), 'aria-label': title, 'data-field': name,
      oninput: ({ target }) => { out.textContent = say(Number(target.value)); }, onchange: ({ target }) => change({ [name]: Number(target.value) }) });
    return el('label.ol-field', {}, el('span', {}, title, out), input);
  }

  /** What may change: found by words, or drawn. */
  masking(step, result, change) {
    const id = step.mask ?? result?.mask ?? null, own = !!step.mask, sure = result && !own && result.score ? `found, ${Math.round(result.score * 100)} % sure` : own ? 'your mask' : 'is looked for by words';
    return el('.oe-mask', {}, el('span.oe-mask-shot', {}, id ? el('img', { src: this.editing.bench.pictureURL(id, 128), alt: own ? 'Your mask' : 'The mask that was found' }) : icon(SIGNS.mask)),
      el('span.oe-mask-says', {}, el('b', {}, 'Where'), sure),
      el('button.os-btn', { type: 'button', onclick: () => this.on.mask(step, id) }, id ? 'Change' : 'Draw'),
      own ? el('button.ol-quiet', { type: 'button', title: 'Look for it by words again', onclick: () => change({ mask: null }) }, 'Find') : null);
  }

  /** Another seed, and the alternatives that were made along. */
  seeding(step, result, change) {
    const dice = el('button.os-btn', { type: 'button', title: 'Another seed', onclick: () => change({ seed: (step.seed ?? 0) + 1 + Math.floor(Math.random() * 9999) }) }, 'Another'), shots = [result?.after, ...result?.others ?? []].filter(Boolean);
    const others = shots.length > 1 ? el('.ol-shots.oe-others', {}, shots.map((id, i) => el('button.ol-shot', { type: 'button', 'aria-pressed': String(i === 0), 'aria-label': `Alternative ${i + 1}`, onclick: () => { if (i) this.editing.change((plan) => plan.choose(step.id, id), { again: true }); } }, el('img', { src: this.editing.bench.pictureURL(id, 128), alt: '' })))) : null;
    return el('.oe-seeds', {}, el('.oe-seed', {}, el('span.ol-note', {}, `Seed ${step.seed ?? 0}`), dice), others);
  }

  failure(step) {
    const { failed } = this.editing;
    return el('.oe-failed', { role: 'alert' }, el('p', {}, failed.words), failed.guess ? el('.oe-guess', {}, el('img', { src: this.editing.bench.pictureURL(failed.guess, 128), alt: 'The best guess' }),
      el('button.os-btn', { type: 'button', onclick: () => this.editing.change((plan) => plan.edit(step.id, { mask: failed.guess }), { again: false }) || this.editing.run() }, 'It is this'),
      el('button.os-btn', { type: 'button', onclick: () => this.on.mask(step, failed.guess) }, 'Draw it')) : null);
  }

  bar() {
    const { running } = this.editing, card = running && this.place.querySelector(`[data-step="${running.step}"] .oe-running`);
    if (!card) return;
    const known = running.total > 0;
    card.firstElementChild.classList.toggle('is-unknown', !known);
    if (known) card.querySelector('i').style.width = `${Math.min(100, 100 * running.done / running.total)}%`;
    card.lastElementChild.textContent = running.what ? `${running.what[0].toUpperCase()}${running.what.slice(1)} …` : 'Working …';
  }

  // ---- the order

  /** Drag, or arrow keys while it has the focus. */
  grip(step, number) {
    const grip = el('button.oe-grip', { type: 'button', title: 'Drag to another place (arrow keys too)', 'aria-label': `Step ${number + 1}: move`, 'data-field': 'grip' }, el('span', {}, String(number + 1)), icon(SIGNS.grip));
    grip.addEventListener('keydown', (e) => {
      const by = { ArrowUp: -1, ArrowDown: 1 }[e.key];
      if (!by) return;
      e.preventDefault();
      e.stopPropagation();
      this.editing.change((plan) => plan.move(step.id, number + by), { again: true });
      this.place.querySelector(`[data-step="${step.id}"] .oe-grip`)?.focus();
    });
    grip.addEventListener('pointerdown', (e) => this.drag(e, grip, step, number));
    return grip;
  }

  drag(down, grip, step, number) {
    const cards = [...this.place.children], mine = cards[number], tops = cards.map((card) => card.getBoundingClientRect());
    let to = number, moved = false;
    grip.setPointerCapture(down.pointerId);
    const move = (e) => {
      if (!moved && Math.abs(e.clientY - down.clientY) < DRAG_PX) return;
      moved = true;
      mine.classList.add('is-dragged');
      mine.style.translate = `0 ${e.clientY - down.clientY}px`;
      to = tops.filter((box, i) => i !== number && e.clientY > box.top + box.height / 2).length;
      cards.forEach((card, i) => { card.style.translate = i === number ? mine.style.translate : `0 ${(i > number && i <= to ? -1 : i < number && i >= to ? 1 : 0) * (tops[number].height + 8)}px`; });
    };
    const up = () => {
      grip.removeEventListener('pointermove', move);
      for (const card of cards) card.style.translate = '';
      mine.classList.remove('is-dragged');
      if (moved && to !== number) this.editing.change((plan) => plan.move(step.id, to), { again: true });
    };
    grip.addEventListener('pointermove', move);
    for (const end of ['pointerup', 'pointercancel']) grip.addEventListener(end, up, { once: true });
  }
}

/** "hat → red" of what the tool reads. */
function brief(step, tool) {
  const [target, words, place] = ['target', 'words', 'place'].map((name) => (tool?.fields.includes(name) ? step[name] : ''));
  return [target, words && target ? `→ ${words}` : words, place].filter(Boolean).join(' ') || tool?.about || '';
}
