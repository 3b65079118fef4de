// The models tab. Everything shown is what GET /api/models answers; texts of model files are set as text, never as HTML.
const PAGE = 60, LOOK_MS = 2000, PAUSE_MS = 180;
const COLOURS = ['#d24a31', '#e8b04a', '#7fae84', '#5b86b8', '#8fb7d9', '#7b4fb3', '#a4683f', '#2c8a7d'];
const KINDS = { base: 'Base', lora: 'LoRA', controlnet: 'ControlNet', control: 'Control', t2i: 'T2I adapter', ip_adapter: 'Image prompt', image_prompt: 'Image prompt',
  embedding: 'Embedding', vae: 'VAE', layerdiffuse: 'Transparency', upscaler: 'Enlarging', percept: 'Eye', decoder: 'Decoder', keep_out: 'Keep out', unknown: 'Unknown' };
const FACTS = { description: 'About', usage: 'How to use', author: 'Author', licence: 'Licence', date: 'Date', tags: 'Tags', architecture: 'Made for', trained_on: 'Trained on',
  resolution: 'Resolution', prediction: 'Predicts', rank: 'Rank', alpha: 'Alpha', pictures: 'Pictures', steps: 'Steps', tensor_sha256: 'Tensor hash' };

export function start(root) {
  const at = (name) => root.querySelector(name);
  const state = { words: '', kind: '', shown: PAGE, open: new Set(), busy: new Map(), asked: 0, drawn: '' };

  async function ask(path, body) {
    const options = body && { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
    const response = await fetch(new URL(`api/models${path}`, document.baseURI), options);
    const answer = await response.json();
    if (answer.error) throw new Error(answer.error);
    return answer;
  }

  function notice(text, kind = '', action = null) {
    const box = at('.om-notice');
    box.replaceChildren(text, ...(action ? [action] : []));
    box.className = `om-notice ${kind}`;
    box.hidden = !text;
  }

  async function look(force = false) {
    const mine = ++state.asked, query = new URLSearchParams({ words: state.words, kind: state.kind, limit: state.shown });
    try {
      const found = await ask(`?${query}`);
      if (mine !== state.asked) return;
      show(found, force);
    } catch (error) {
      if (mine === state.asked) notice(error.message, 'is-error');
    }
  }

  function show(found, force) {
    root.dataset.state = 'ready';
    const said = JSON.stringify([found, [...state.busy]]);
    if (!force && said === state.drawn) return ages();
    state.drawn = said;
    showMemory(found.memory);
    state.adding = found.adding;
    at('.om-add').hidden = !found.adding;
    const focus = document.activeElement?.dataset?.key;
    at('.om-list').replaceChildren(...found.items.map(row));
    if (focus) root.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus();
    const [done, total] = found.reading, left = found.total - found.items.length;
    const reading = total ? ` Reading new files: ${done.toLocaleString()} of ${total.toLocaleString()}.` : '';
    at('.om-more span').textContent = (found.total ? `${found.items.length.toLocaleString()} of ${found.total.toLocaleString()} models.` : nothing(found)) + reading;
    at('.om-more button').hidden = left <= 0 || state.shown >= 480;
    if (found.download.source) notice(`Downloading ${found.download.source}: ${bytes(found.download.done)} of ${bytes(found.download.total)}`);
    ages();
  }

  const nothing = (found) => state.words || state.kind ? 'No model matches.' : `There are no models. Yours belong into ${found.folder}.`;

  function showMemory(memory) {
    at('.om-device').textContent = memory.device;
    at('.om-used').textContent = `${bytes(memory.used_bytes)} of ${bytes(memory.budget_bytes)}`;
    const whole = Math.max(memory.budget_bytes, memory.used_bytes, 1);
    at('.om-bar').replaceChildren(...memory.resident.filter((r) => !r.parked).map((r, i) =>
      make('i', { title: `${r.title}: ${bytes(r.bytes)}`, style: `width:${Math.max(100 * r.bytes / whole, 0.4)}%;background:${COLOURS[i % COLOURS.length]}` })));
    at('.om-bar').setAttribute('aria-label', `${bytes(memory.used_bytes)} of ${bytes(memory.budget_bytes)} used by models`);
    const shown = memory.resident.filter((r) => !r.parked);
    at('.om-resident').replaceChildren(...memory.resident.map((r) => make('li', {},
      make('b', { class: 'om-dot', style: `background:${r.parked ? 'var(--os-track)' : COLOURS[shown.indexOf(r) % COLOURS.length]}` }),
      make('span', { class: 'om-name', title: r.id }, r.title), make('span', {}, bytes(r.bytes)), make('span', {}, `loaded in ${r.load_s.toFixed(1)} s`),
      make('span', { 'data-used': r.used_at }), make('span', { class: 'om-tag' }, r.pinned ? 'pinned' : r.busy ? 'painting' : r.parked ? 'parked' : ''))));
    if (!memory.resident.length) at('.om-resident').replaceChildren(make('li', { class: 'om-empty' }, 'Nothing is loaded yet. A model is loaded when a picture needs it.'));
  }

  function ages() {
    for (const cell of root.querySelectorAll('[data-used]')) cell.textContent = `used ${ago(Date.now() / 1000 - cell.dataset.used)}`;
  }

  function row(card) {
    const key = `${card.plugin}:${card.id}`, open = state.open.has(key), working = state.busy.get(key) || (card.state === 'loading' && 'Loading');
    const there = ['resident', 'pinned', 'parked'].includes(card.state);
    const toggle = make('button', { type: 'button', class: 'om-open', 'aria-expanded': open, 'data-key': `open ${key}` },
      make('span', { class: 'om-title' }, card.title), make('span', { class: 'om-sub' }, card.error ? 'Cannot be used' : sub(card)));
    toggle.onclick = () => { open ? state.open.delete(key) : state.open.add(key); look(true); };
    const button = (text, path, body, hint) => {
      const made = make('button', { type: 'button', title: hint, 'data-key': `${text} ${key}`, disabled: working ? '' : null }, text);
      made.onclick = () => change(key, card, path, body, text);
      return made;
    };
    const acts = !card.here ? (card.repo && state.adding ? [fetching(card)] : []) : card.plugin && !card.error && card.bytes ? [
      there ? button('Unload', '/unload', {}, 'Give its memory back') : button('Load', '/load', {}, 'Have it in memory before it is needed'),
      card.state === 'pinned' ? button('Unpin', '/pin', { on: false }, 'Let it go when room is needed') : button('Pin', '/pin', { on: true }, 'Load and keep it in memory')] : [];
    const status = working ? `${working} …` : { resident: 'In memory', pinned: 'Pinned', parked: 'Parked' }[card.state] || (card.here ? '' : 'Not here');
    return make('li', { class: `om-row${card.error ? ' is-broken' : ''}${card.here ? '' : ' is-away'}`, 'data-id': card.id, 'data-state': card.state },
      make('span', { class: 'om-kind' }, KINDS[card.kind] || card.kind), toggle, make('span', { class: 'om-arch' }, card.arch.split(' (')[0].replace('onestroke-', '')),
      make('span', { class: 'om-bytes' }, card.bytes ? bytes(card.memory_bytes || card.bytes) : ''), make('span', { class: `om-state is-${card.state}` }, status),
      make('span', { class: 'om-acts' }, ...acts), ...(open ? [details(card)] : []));
  }

  function fetching(card) {
    const made = make('button', { type: 'button', title: `Ask how large ${card.repo} is`, 'data-key': `fetch ${card.id}` }, 'Download');
    made.onclick = () => { at('.om-source').value = card.repo; add(card.repo); root.scrollIntoView({ behavior: 'smooth' }); };
    return made;
  }

  const sub = (card) => card.words.length ? card.words.slice(0, 4).join(', ') : card.knows || (card.where === 'yours' ? card.path : card.where);

  function details(card) {
    const facts = Object.entries(FACTS).filter(([name]) => card.facts[name]).map(([name, title]) => [title, card.facts[name]]);
    const plain = [['Id', card.id], ['Where', card.path || card.where], ['Architecture', card.arch], ['Licence', !card.facts.licence && card.licence], ['About', !card.facts.description && card.knows]];
    const list = make('dl', {}, ...[...plain, ...facts].filter(([, value]) => value).flatMap(([title, value]) => [make('dt', {}, title), make('dd', {}, value)]));
    const words = card.words.map((word) => {
      const chip = make('button', { type: 'button', class: 'om-word', title: 'Copy' }, word);
      chip.onclick = () => navigator.clipboard?.writeText(word).then(() => notice(`Copied “${word}”.`));
      return chip;
    });
    return make('div', { class: 'om-details' }, ...(card.error ? [make('p', { class: 'om-error' }, card.error)] : []),
      ...(words.length ? [make('p', { class: 'om-words' }, make('span', {}, 'Trigger words'), ...words)] : []), list);
  }

  async function change(key, card, path, body, verb) {
    state.busy.set(key, { Load: 'Loading', Unload: 'Unloading', Pin: 'Pinning', Unpin: 'Unpinning' }[verb]);
    look(true);
    try {
      await ask(path, { kind: card.plugin, id: card.id, ...body });
      notice('');
    } catch (error) {
      notice(error.message, 'is-error');
    }
    state.busy.delete(key);
    look(true);
  }

  async function add(source, download = false) {
    const button = at('.om-add button');
    button.disabled = true;
    notice(download ? `Downloading ${source} …` : `Looking at ${source} …`);
    try {
      const answer = await ask('/add', { source, download });
      if (answer.card) {
        notice(`${answer.card.title} was added (${KINDS[answer.card.kind] || answer.card.kind}, ${bytes(answer.card.bytes)}).`, 'is-done');
        at('.om-source').value = '';
      } else {
        const go = make('button', { type: 'button' }, `Download ${bytes(answer.size)}`);
        go.onclick = () => add(source, true);
        notice(`${answer.says}. `, '', go);
      }
    } catch (error) {
      notice(error.message, 'is-error');
    }
    button.disabled = false;
    look(true);
  }

  let pause = 0;
  at('.om-search').addEventListener('input', (event) => {
    clearTimeout(pause);
    pause = setTimeout(() => { state.words = event.target.value.trim(); state.shown = PAGE; look(); }, PAUSE_MS);
  });
  at('.om-chips').addEventListener('click', (event) => {
    const chip = event.target.closest('.om-chip');
    if (!chip) return;
    state.kind = chip.dataset.kind;
    state.shown = PAGE;
    for (const other of root.querySelectorAll('.om-chip')) other.setAttribute('aria-pressed', other === chip);
    look();
  });
  at('.om-add').addEventListener('submit', (event) => {
    event.preventDefault();
    const source = at('.om-source').value.trim();
    if (source) add(source);
  });
  at('.om-more button').onclick = () => { state.shown += 2 * PAGE; look(); };
  look();
  setInterval(() => { if (root.isConnected && root.offsetParent && !document.hidden) look(); }, LOOK_MS);
}

function make(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export function bytes(count) {
  if (!count) return '0 MB';
  return count >= 1e9 ? `${(count / 1e9).toFixed(2)} GB` : count >= 1e5 ? `${Math.round(count / 1e6) || (count / 1e6).toFixed(1)} MB` : `${(count / 1e3).toFixed(1)} kB`;
}

export function ago(seconds) {
  if (seconds < 10) return 'just now';
  if (seconds < 90) return `${Math.round(seconds / 10) * 10} s ago`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min ago` : `${Math.round(seconds / 3600)} h ago`;
}
