// The tools on the left: one file each in panels/, built when it is opened for the first time. See ../desk.md.
import { el } from './dom.js';

const OPENED = 'onestroke.layers.panel';

export class Panels {
  /** load(file): a module of panels/. prefix: of the ids of elements; key: under which the browser keeps which one was open. */
  constructor({ tabs, place, desk, load = (file) => import(`./panels/${file}`), prefix = 'ol', key = OPENED }) { Object.assign(this, { tabs, place, desk, import: load, prefix, key, panels: [], shown: null }); }

  /** files: names in panels/. One that cannot be loaded is said and left out. */
  async load(files) {
    const loaded = await Promise.all(files.map((file) => this.import(file).then((module) => module.default, (error) => { console.error(error); this.desk.error(`The tool in ${file} could not be loaded.`); return null; })));
    this.panels = loaded.filter((panel) => panel?.id && panel.build).sort((a, b) => (a.order ?? 99) - (b.order ?? 99));
    this.tabs.replaceChildren(...this.panels.map(({ id, title }) => el('button', { type: 'button', role: 'tab', id: `${this.prefix}-tab-${id}`, 'data-panel': id, 'aria-selected': 'false', 'aria-controls': `${this.prefix}-panel-${id}`, onclick: () => this.show(id) }, title)));
    this.tabs.hidden = this.panels.length < 2;
    const last = localStorage.getItem(this.key), first = this.panels.find(({ id }) => id === last) ?? this.panels[0];
    if (first) this.show(first.id);
  }

  show(id) {
    const panel = this.panels.find((one) => one.id === id);
    if (!panel || this.shown === id) return;
    this.desk.release();
    panel.root ??= this.build(panel);
    for (const one of this.panels) {
      if (one.root) one.root.hidden = one !== panel;
      this.tabs.querySelector(`[data-panel="${one.id}"]`).setAttribute('aria-selected', String(one === panel));
    }
    this.shown = id;
    localStorage.setItem(this.key, id);
    this.desk.tellAll('shown', id);
  }

  build(panel) {
    const root = el('.ol-panel', { id: `${this.prefix}-panel-${panel.id}`, role: 'tabpanel', 'aria-labelledby': `${this.prefix}-tab-${panel.id}` });
    this.place.append(root);
    try {
      panel.build(root, this.desk);
    } catch (error) {
      console.error(error);
      root.replaceChildren(el('p.ol-note', {}, `${panel.title} could not be opened.`));
    }
    return root;
  }
}
