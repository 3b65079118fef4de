// The Outpaint tab: the workbench with panels that paint beside, inside and around one picture, or enlarge it.
import { boot } from '../../workbench/page/boot.js';
import { Others } from './others.js';

export const start = (given) => boot({
  ...given, name: 'outpaint', load: (file) => import(`./panels/${file}`),
  furnish(bench) { bench.others = new Others(bench); },
});
