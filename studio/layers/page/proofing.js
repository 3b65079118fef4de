// Reading the canvas back: misread words are outlined on the stage and listed, each with what can be done about it.
import { el, busy } from './dom.js';
import { find, walk } from './stack.js';

const COLOUR = '#d8261c', AROUND = 0.12;

/** The outlines of marks over the stage, in canvas px. */
export function outline(ink, view, marks) {
  ink.save();
  ink.setLineDash([]);
  [ink.strokeStyle, ink.lineWidth] = [COLOUR, 2.5 / view.zoom];
  for (const { box: [left, top, right, bottom] } of marks) {
    const by = AROUND * (bottom - top) + 2 / view.zoom;
    ink.strokeRect(left - by, top - by, right - left + 2 * by, bottom - top + 2 * by);
  }
  ink.restore();
}

/** A button that reads every word on the canvas, and the list of those that are misread. again(mark), if given, paints a painted one anew. */
export function proofing(desk, root, again = null) {
  const button = el('button.os-btn.is-wide', { type: 'button', title: 'A reader of words looks at the canvas; what it does not find is outlined in red' }, 'Proofread the canvas'), list = el('ul.ol-misread', { hidden: true, 'aria-label': 'Misread words' });
  const read = () => busy(button, root, (how) => desk.run('proofread', { layers: [] }, how));

  function row(mark) {
    const layer = find(desk.stack, mark.layer), painted = layer?.source?.task === 'words';
    const choose = el('button.ol-quiet', { type: 'button', title: 'Choose its layer', onclick: () => desk.select([mark.layer]) }, mark.words);
    const retry = painted && again ? el('button.os-btn', { type: 'button' }, 'Paint again') : null;
    retry?.addEventListener('click', async () => { if (await again(mark, retry)) read(); });
    return el('li', {}, choose, el('span', {}, mark.said ? `read as “${mark.said}”` : 'not read'), retry);
  }
  desk.on('marks', (marks) => { list.replaceChildren(...marks.map(row)); list.hidden = !marks.length; });
  const look = () => { button.disabled = ![...walk(desk.stack)].some(({ node }) => node.text || node.source?.task === 'words'); };
  desk.on('stack', look);
  look();
  return { parts: [button, list], read };
}
