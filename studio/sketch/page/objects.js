// A scene's objects: each has an ink, words and a seed of its own, and stays editable for as long as it is there.
const newSeed = () => Math.floor(Math.random() * 2 ** 31);

const DIE = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M19 12a7 7 0 1 1-2.2-5.100M19 3.500V7.500h-4"/></svg>';
const CROSS = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="m7 7 10 10M17 7 7 17"/></svg>';

export class Objects {
  /** inks: the colours an object can have; on: {change(objects), choose(ink)}. */
  constructor(element, { inks, on }) {
    Object.assign(this, { element, inks, on, rows: element.querySelector('.os-objects-rows'), more: element.querySelector('.os-objects-add') });
    this.all = [];
    this.ink = inks[0];
    this.more.addEventListener('click', () => { this.add(); this.rows.lastElementChild.querySelector('input').focus(); });
    this.rows.addEventListener('input', ({ target }) => this.say(this.at(target), target.value));
    this.rows.addEventListener('focusin', ({ target }) => { if (target.matches('input')) this.choose(this.at(target)); });
    this.rows.addEventListener('click', ({ target }) => this.clicked(target));
  }

  at(target) { return [...this.rows.children].indexOf(target.closest('.os-object')); }

  /** objects: [{ink, words, seed}]; what is no such thing is left out. */
  show(objects) {
    const fit = (objects ?? []).filter((o) => this.inks.includes(o?.ink) && typeof o.words === 'string' && Number.isInteger(o.seed));
    this.all = fit.filter((o, i) => fit.findIndex((other) => other.ink === o.ink) === i);
    if (!this.all.some((o) => o.ink === this.ink)) this.ink = this.all[0]?.ink ?? this.inks[0];
    this.rows.replaceChildren(...this.all.map((object) => row(object)));
    this.dress();
  }

  dress() {
    [...this.rows.children].forEach((chip, i) => {
      const mine = this.all[i].ink === this.ink;
      chip.classList.toggle('is-held', mine);
      chip.querySelector('.os-object-dot').setAttribute('aria-pressed', String(mine));
    });
    this.more.disabled = this.all.length >= this.inks.length;
  }

  add() {
    const ink = this.inks.find((one) => !this.all.some((o) => o.ink === one));
    if (!ink) return;
    this.ink = ink;
    this.change([...this.all, { ink, words: '', seed: newSeed() }]);
    this.on.choose(ink);
  }

  /** Draw with the ink of object i from now on; false when there is no such object. */
  choose(i) {
    if (!this.all[i]) return false;
    this.ink = this.all[i].ink;
    this.dress();
    this.on.choose(this.ink);
    return true;
  }

  /** Words come letter by letter, so the row that is typed into stays. */
  say(i, words) {
    this.all = this.all.map((o, n) => (n === i ? { ...o, words } : o));
    this.on.change(this.all);
  }

  clicked(target) {
    const i = this.at(target), act = target.closest('button')?.dataset.object;
    if (i < 0 || !act) return;
    if (act === 'hold') this.choose(i);
    if (act === 'roll') { this.all = this.all.map((o, n) => (n === i ? { ...o, seed: newSeed() } : o)); this.on.change(this.all); }
    if (act === 'drop') { this.change(this.all.filter((o, n) => n !== i)); this.on.choose(this.ink); }
  }

  change(objects) {
    this.show(objects);
    this.on.change(this.all);
  }
}

function row({ ink, words }) {
  const chip = document.createElement('div');
  chip.className = 'os-object';
  chip.style.setProperty('--ink', ink);
  chip.innerHTML = '<button type="button" class="os-object-dot" data-object="hold" title="Draw this object" aria-label="Draw this object"></button>'
    + '<input type="text" class="os-object-words" placeholder="what is it?" maxlength="300" aria-label="Words of this object" spellcheck="false">'
    + `<button type="button" class="os-mini" data-object="roll" title="Another one" aria-label="Another seed for this object">${DIE}</button>`
    + `<button type="button" class="os-mini" data-object="drop" title="Forget this object; its strokes stay" aria-label="Forget this object">${CROSS}</button>`;
  chip.querySelector('input').value = words;
  return chip;
}
