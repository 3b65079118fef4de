// The library tab: views at the left, pictures in the middle, the chosen one at the right. Everything shown is what /api/library answers.
import * as detail from './detail.js';
import { ask, bytes, make } from './dom.js';
import { Grid } from './grid.js';

const PAUSE_MS = 160, UNDO_MS = 12000;
const VIEWS = [['all', 'All pictures', {}], ['starred', 'Starred', { starred: 1 }], ['trashed', 'Trash', { trashed: 1 }]];

export function start(root, { receivers, send }) {
  const at = (name) => root.querySelector(name);
  const state = { view: 'all', board: '', words: '', about: { usage: {}, boards: [], bases: [] }, alike: null };
  const box = at('.lb-detail');
  let noticeTurn = 0;

  function notice(text, wrong = false, action = null) {
    const mine = ++noticeTurn, line = at('.lb-notice');
    line.replaceChildren(text, ...(action ? [' ', action] : []));
    line.className = `lb-notice${wrong ? ' is-error' : ''}`;
    line.hidden = !text;
    if (text && !wrong) setTimeout(() => { if (mine === noticeTurn) line.hidden = true; }, UNDO_MS);
  }

  async function tried(work) {
    try { return await work(); } catch (error) { notice(error.message, true); return null; }
  }

  const grid = new Grid(at('.lb-scroll'), {
    fetchPage: (offset, limit) => state.alike ? ask(`library/${state.alike.id}/similar`)
      : ask(`library?${new URLSearchParams({ words: state.words, board: state.board, offset, limit, ...VIEWS.find(([id]) => id === state.view)[2] })}`),
    changed: bar, opened: show });

  const chosen = () => [...grid.picked.values()];

  function show(item) {
    tried(() => detail.one(box, item, { receivers, send, notice, similar: (one) => { state.alike = one; look(); } }));
  }

  async function look(keep = false) {
    await tried(() => grid.reset(keep));
    at('.lb-scroll').dataset.empty = grid.total ? '' : empty();
    root.dataset.state = 'ready';
  }

  function empty() {
    if (state.words) return 'No picture has these words.';
    return { starred: 'Star a picture to find it here.', trashed: 'The trash is empty.' }[state.view] ?? (state.board ? 'Nothing is on this board yet.' : 'Keep a picture in any tab, and it is here.');
  }

  async function about(known = null) {
    state.about = known ?? (await tried(() => ask('library/about'))) ?? state.about;
    const { usage, boards } = state.about, item = (label, pressed, count, onclick, extra = null) => make('li', {},
      make('button', { type: 'button', 'aria-pressed': String(pressed), onclick }, make('span', {}, label), make('small', {}, count ? count.toLocaleString() : '')), extra);
    const counts = { all: usage.pictures - usage.trashed, trashed: usage.trashed };
    at('.lb-views').replaceChildren(...VIEWS.map(([id, title]) => item(title, state.view === id && !state.board && !state.alike, counts[id], () => view(id))));
    at('.lb-boards').replaceChildren(...boards.map(({ name, pictures }) => item(name, state.board === name, pictures, () => view('all', name),
      make('button', { type: 'button', class: 'lb-drop', title: `Delete the board ${name}; its pictures stay`, 'aria-label': `Delete the board ${name}`, onclick: () => dropBoard(name) }, '×'))));
    at('.lb-usage').textContent = usage.pictures ? `${bytes(usage.bytes)} on disk${usage.trashed ? `, ${bytes(usage.trash_bytes)} of it in the trash` : ''}` : '';
  }

  function view(id, board = '') {
    Object.assign(state, { view: id, board, alike: null });
    about(state.about);
    look();
  }

  async function change(what, body, says, undo = null) {
    const done = await tried(() => ask(`library/${what}`, body));
    if (!done) return;
    await about(done);
    await look();
    const back = undo && make('button', { type: 'button', onclick: () => change(undo, body, 'Undone.') }, 'Undo');
    notice(typeof says === 'function' ? says(done.changed) : says, false, back);
  }

  const many = (count) => count === 1 ? 'One picture' : `${count.toLocaleString()} pictures`;

  function bar() {
    const items = chosen(), ids = items.map(({ id }) => id), button = (text, onclick, given = {}) => make('button', { type: 'button', disabled: !ids.length, onclick, ...given }, text);
    const out = [];
    if (state.alike) out.push(make('button', { type: 'button', onclick: () => view('all') }, '← All pictures'));
    out.push(make('span', { class: 'lb-count' }, ids.length ? `${many(ids.length)} chosen` : `${many(grid.total)}`));
    if (state.view === 'trashed') {
      out.push(button('Put back', () => change('restore', { ids }, (n) => `${many(n)} put back.`)), button('Delete for ever', () => forever('delete', { ids }, ids.length)),
        make('button', { type: 'button', disabled: !state.about.usage.trashed, onclick: () => forever('empty-trash', {}, state.about.usage.trashed) }, 'Empty the trash'));
    } else {
      const starred = items.length && items.every((item) => item.starred);
      out.push(button('Open', () => show(items[0]), { disabled: ids.length !== 1 }), button('Compare', () => detail.compare(box, items), { disabled: ids.length !== 2 }),
        button(starred ? 'Unstar' : 'Star', () => change('star', { ids, on: !starred }, (n) => `${many(n)} ${starred ? 'without a star' : 'starred'}.`)),
        button('To a board…', () => board(ids)),
        ...(state.board ? [button('Off this board', () => change('pin', { ids, board: state.board, on: false }, (n) => `${many(n)} taken off.`))] : []),
        button('Throw away', () => change('trash', { ids }, (n) => `${many(n)} in the trash.`, 'restore')));
    }
    at('.lb-bar').replaceChildren(...out);
    if (items.length === 1 && !box.hidden) show(items[0]);
  }

  function forever(what, body, count) {
    if (confirm(`${many(count)} will be gone for ever. Delete?`)) change(what, body, (n) => `${many(n)} deleted.`);
  }

  function board(ids) {
    const name = prompt(`Name of the board${state.about.boards.length ? ` (there are: ${state.about.boards.map((one) => one.name).join(', ')})` : ''}`);
    if (name?.trim()) change('pin', { ids, board: name }, (n) => `${many(n)} on “${name.trim()}”.`);
  }

  async function dropBoard(name) {
    const done = await tried(() => ask('library/drop-board', { name }));
    if (done) { if (state.board === name) view('all'); about(done); }
  }

  async function read(file) {
    const said = await tried(() => ask('recipe', file));
    if (said) detail.recipe(box, file, said, async () => {
      notice('Painting …');
      const painted = await tried(() => ask('recipe?paint=1', file));
      if (painted) { notice('Painted and kept.'); await about(); await look(); show(painted.item); }
    });
  }

  let pause = 0;
  at('.lb-search').addEventListener('input', (event) => {
    clearTimeout(pause);
    pause = setTimeout(() => { state.words = event.target.value.trim(); state.alike = null; look(); }, PAUSE_MS);
  });
  at('.lb-read').onclick = () => at('.lb-file').click();
  at('.lb-file').onchange = (event) => { if (event.target.files[0]) read(event.target.files[0]); event.target.value = ''; };
  root.addEventListener('dragover', (event) => event.preventDefault());
  root.addEventListener('drop', (event) => { event.preventDefault(); if (event.dataTransfer.files[0]) read(event.dataTransfer.files[0]); });
  at('.lb-scroll').addEventListener('keydown', (event) => {
    if (event.key === 'Delete' && grid.picked.size && state.view !== 'trashed') change('trash', { ids: [...grid.picked.keys()] }, (n) => `${many(n)} in the trash.`, 'restore');
    if (event.key === 's' && grid.picked.size) change('star', { ids: [...grid.picked.keys()], on: !chosen().every((item) => item.starred) }, () => 'Done.');
    if (event.key === 'Escape') box.hidden = true;
  });
  new IntersectionObserver(([seen]) => { if (seen.isIntersecting) { about(); look(true); } }).observe(root);
  (window.onestroke ??= {}).library = { grid, look };
}
