// The pictures that look like the drawing; any of them can become the reference.
export class Finding {
  /** find({picture}), found({id}): the server's answers; on: {take(url), error(text)}. */
  constructor(dialog, { find, found, on }) {
    Object.assign(this, { dialog, find, found, on, note: dialog.querySelector('.os-find-note'), hits: dialog.querySelector('.os-find-hits') });
    dialog.querySelector('[data-find=close]').addEventListener('click', () => dialog.close());
    dialog.addEventListener('keydown', (e) => { if (e.key === 'Escape') { e.stopPropagation(); dialog.close(); } });
    this.hits.addEventListener('click', ({ target }) => this.take(target.closest('.os-hit')));
    this.asked = 0;
  }

  /** picture: the drawing as a data URL. */
  async look(picture) {
    const mine = ++this.asked;
    this.hits.replaceChildren();
    this.note.textContent = 'Looking …';
    if (!this.dialog.open) this.dialog.show();
    const answer = await this.find({ picture }).catch(() => ({ error: 'The studio did not answer. Try again.' }));
    if (mine !== this.asked) return;
    const hits = answer.hits ?? [];
    this.note.textContent = answer.error ?? (hits.length ? ['Press one to make it the reference.', answer.note].filter(Boolean).join(' ') : answer.note || 'Nothing looks like this drawing yet.');
    this.hits.replaceChildren(...hits.map(hitOf));
    this.hits.firstElementChild?.focus({ preventScroll: true });
  }

  async take(button) {
    if (!button) return;
    const told = this.note.textContent;
    this.note.textContent = 'Fetching the picture …';
    button.classList.add('is-coming');
    const answer = await this.found({ id: button.dataset.id }).catch(() => ({ error: 'The studio did not answer. Try again.' }));
    button.classList.remove('is-coming');
    this.note.textContent = told;
    if (answer.error) { this.on.error(answer.error); return; }
    for (const hit of this.hits.children) hit.setAttribute('aria-pressed', String(hit === button));
    await this.on.take(answer.picture);
  }
}

function hitOf({ id, title, thumb, score, from }) {
  const button = document.createElement('button'), image = new Image(), place = document.createElement('span');
  const where = from === 'library' ? 'your library' : 'bundled', percent = Math.round(100 * score);
  Object.assign(button, { type: 'button', className: 'os-hit', title: `${title}, from ${where}: ${percent} % alike` });
  button.dataset.id = id;
  button.setAttribute('aria-pressed', 'false');
  button.setAttribute('aria-label', button.title);
  Object.assign(image, { src: thumb, alt: '', draggable: false });
  Object.assign(place, { className: 'os-hit-from', textContent: from === 'library' ? 'Yours' : '' });
  button.append(image, place);
  return button;
}
