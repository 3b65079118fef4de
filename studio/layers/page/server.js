// The Layers tab's side of the studio; how it talks stands in ../../workbench/page/server.js.
import { Server } from '../../workbench/page/server.js';

export const { address, pictureURL, ask, upload, open, task, save } = new Server('studio/layers/');
