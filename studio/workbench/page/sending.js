// A picture to a tab that takes files rather than results: the live canvas, the sketch's reference.

const TURNS = 200, TURN_MS = 100;
export const TAKERS = [['live', 'Live canvas'], ['sketch', 'Sketch, as reference']];

/** Shows the other tab, whose page may come only now and brings back its own things first. */
export async function toTab(to, url) {
  const tab = document.querySelector(`#os-tabs button[role=tab][data-tab-id="${to}"]`), ready = () => window.onestroke[to] && window.onestroke[to].element.dataset.state !== 'off';
  if (!tab) throw new Error('That tab is not here.');
  const blob = await (await fetch(url)).blob();
  tab.click();
  for (let turn = 0; turn < TURNS && !ready(); turn++) await new Promise((done) => setTimeout(done, TURN_MS));
  if (!ready()) throw new Error('That tab did not open. Try again.');
  if (to === 'sketch') await window.onestroke.sketch.reference.take(url);
  else await window.onestroke.live.load(blob);
}
