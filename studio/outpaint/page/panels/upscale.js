// The picture enlarged; how bad it is was looked at before, and can be said otherwise.
import { el } from '../../../layers/page/dom.js';
import { chips, slider } from '../../../layers/page/making.js';
import { main, onlyWithPicture, sized } from '../painting.js';

const MOST_PX = 8192, LOOK_MS = 150;
const mb = (bytes) => (bytes > 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GB` : `${Math.max(1, Math.round(bytes / 2 ** 20))} MB`);

export default {
  id: 'upscale', title: 'Upscale', order: 60,
  build(root, bench) {
    const { upscalers } = bench.config, here = upscalers.filter((one) => one.here), away = upscalers.filter((one) => !one.here);
    const list = el('select', { 'aria-label': 'Method', onchange: () => look() }, here.map((one) => el('option', { value: one.id }, one.title)));
    const times = chips([['2', '×2'], ['4', '×4'], ['8', '×8']], '4', () => look(), 'How many times');
    const state = el('p.ol-note', { role: 'status' }), told = el('p.ol-note');
    const blur = slider('Blur in it', { value: 0, oninput: () => { own = true; look(); } }), noise = slider('Noise in it', { value: 0, oninput: () => { own = true; look(); } });
    const fidelity = slider('Keep to it', { min: 0, max: 1, value: 0.5, say: (v) => (v > 0.75 ? 'faithful' : v < 0.25 ? 'more detail' : 'between'), hint: 'Left: more detail is made up. Right: closer to what is there' });
    const reset = el('button.os-btn', { type: 'button', onclick: () => { own = false; estimate(); } }, 'Estimate again');
    const scores = el('div.op-scores', {}, blur.field, noise.field, el('.ol-row', {}, reset), fidelity.field);
    const first = main(root, 'Upscale', async (how) => {
      const chosen = one(), asked = { times: Number(times.value()), upscaler: list.value, ...(chosen.scores && { fidelity: fidelity.value(), blur: blur.value(), noise: noise.value() }) };
      const step = await bench.make('upscale', asked, { ...how, title: `Upscale ×${asked.times}` });
      if (step) bench.compare(true);
    });
    let own = false, of = null, timer = 0;
    const one = () => here.find(({ id }) => id === list.value) ?? here[0];
    const put = (knob, value) => { const input = knob.field.querySelector('input'); input.value = String(value); knob.field.querySelector('output').textContent = `${Math.round(100 * value)} %`; };
    async function estimate() {
      const { step } = bench;
      if (!step || !one()?.scores) return;
      of = step.picture;
      told.textContent = 'Looking at it …';
      const seen = await bench.ask('estimate', { picture: step.picture }).catch((error) => ({ error: error.message }));
      if (of !== bench.step?.picture) return;
      told.textContent = seen.error ?? `Seen in it: blur ${Math.round(100 * seen.blur)} %, noise ${Math.round(100 * seen.noise)} %.`;
      if (!seen.error && !own) { put(blur, seen.blur); put(noise, seen.noise); }
    }
    function look() {
      const { step } = bench, k = Number(times.value());
      scores.hidden = !one()?.scores;
      told.hidden = scores.hidden;
      clearTimeout(timer);
      if (!step) { state.textContent = 'Open a picture first.'; return; }
      const [width, height] = [step.width * k, step.height * k], no = Math.max(width, height) > MOST_PX;
      state.classList.toggle('is-wrong', no);
      state.textContent = no ? `${sized(width, height)} px is more than ${MOST_PX.toLocaleString('en')} px a side. Choose a smaller factor.` : `${sized(width, height)} px …`;
      if (!no) timer = setTimeout(async () => { const cost = await bench.ask('cost', { width, height, task: 'upscale', upscaler: list.value }).catch(() => null); if (cost && step === bench.step && k === Number(times.value())) state.textContent = `${sized(width, height)} px; takes about ${mb(cost.bytes)} of memory while it works.`; }, LOOK_MS);
      first.disabled = no || !!first.nextElementSibling?.matches('.ol-busy');
      if (bench.panel === 'upscale' && of !== step.picture && !scores.hidden) { own = false; estimate(); }
    }
    const more = away.length ? el('details', {}, el('summary', {}, `${away.length} more, not on this machine`), away.map((other) => el('p.ol-note', {}, el('b', {}, other.title), `. ${other.cure}`))) : '';
    root.append(el('label.ol-field', {}, 'Method', list), times.box, scores, told, first, state, el('p.ol-note', {}, 'Your own networks (safetensors) are listed once they lie in upscalers/ of the models folder.'), more);
    bench.on('shown', (id) => { if (id === 'upscale') look(); });
    bench.on('step', look);
    onlyWithPicture(bench, first);
    look();
  },
};
