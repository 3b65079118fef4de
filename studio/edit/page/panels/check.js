// Check and fix: what the words say, fact by fact, held against the picture; what is missing is mended by steps that can be seen.
import { busy, el, icon } from '../../../layers/page/dom.js';

const YES = 'M5 13l4 4L19 7', NO = 'M7 7l10 10M17 7 7 17';

export default {
  id: 'check', title: 'Check', order: 50,
  build(root, tab) {
    const words = el('textarea', { rows: 2, placeholder: 'a red ball and two blue stars on grass', 'aria-label': 'What the picture should show' }), facts = el('ul.oe-facts', { 'aria-live': 'polite' }), log = el('ol.oe-log'), state = el('p.ol-note', { 'aria-live': 'polite' });
    const look = el('button.os-btn.is-first', { type: 'button', onclick: () => check() }, 'Check'), plan = el('button.os-btn', { type: 'button', hidden: true, onclick: () => tab.propose(mending) }, 'See the plan'), fix = el('button.os-btn', { type: 'button', hidden: true, onclick: () => mend() }, 'Fix it');
    let mending = null;

    const asked = () => ({ picture: tab.picture?.picture, words: words.value.trim(), how: tab.how() });

    const ready = () => {
      if (!tab.picture) { tab.error('There is no picture yet. Drop one onto the stage.'); return false; }
      if (!words.value.trim()) { state.textContent = 'Say what the picture should show.'; words.focus(); return false; }
      return true;
    };

    const check = () => ready() && busy(look, root, async (given) => {
      log.replaceChildren();
      const found = await tab.run('check', asked(), given);
      if (found) show(found);
    });

    function show({ facts: list, share, plan: next }) {
      facts.replaceChildren(...list.map(({ says, holds, missing }) => el('li', { 'data-holds': String(!missing) }, icon(missing ? NO : YES), el('span', {}, says), el('output', { title: 'How sure the judge is' }, `${Math.round(100 * holds)} %`))));
      if (next !== undefined) mending = next;
      for (const button of [plan, fix]) button.hidden = !mending;
      state.textContent = !list.length ? 'Nothing in these words can be checked: name things, colours, numbers, or where they are.' : mending ? `${list.filter((one) => one.missing).length} of ${list.length} do not hold.` : `All of it holds, at ${Math.round(100 * share)} %.`;
    }

    const mend = () => ready() && busy(fix, root, async (given) => {
      const before = tab.picture, ask = asked();
      log.replaceChildren();
      const onPart = (part) => {
        if (part.facts) show({ ...part });
        if (part.step) log.append(el('li', { 'data-kept': String(part.kept) }, el('img', { src: tab.pictureURL(part.picture, 128), alt: '' }), el('span', {}, el('b', {}, part.step.title), part.kept === false ? 'taken back: it did not help' : part.kept ? 'kept' : '', part.notes.length ? ` ${part.notes.join(' ')}` : '')));
      };
      const last = await tab.run('fix', ask, { ...given, onPart });
      if (!last) return;
      show({ facts: last.facts ?? [], share: last.share ?? 0, plan: null });
      mending = null;
      if (last.picture && last.picture !== before.picture) tab.offer({ before, after: last, mask: null, title: `Check and fix: ${ask.words}`.slice(0, 190), asked: { task: 'fix', ...ask }, notes: last.notes });
    });

    root.append(el('label.ol-field', {}, 'What the picture should show', words), el('.ol-row', {}, look, plan, fix), state, facts, log,
      el('p.ol-note', {}, 'The judge is small and works offline: it knows plain things, colours and numbers. A step that does not help is taken back.'));
    words.addEventListener('keydown', (e) => { if (e.key === 'Enter' && !e.shiftKey) { e.preventDefault(); check(); } });
    tab.on('entry', () => { facts.replaceChildren(); mending = null; plan.hidden = fix.hidden = true; state.textContent = ''; });
  },
};
