// Keys of the tab. They do nothing while something is being typed, a dialog is open, or another tab is shown.
const NUDGES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const FAR = 10;

const typing = () => {
  const at = document.activeElement;
  return at?.isContentEditable || ['TEXTAREA', 'SELECT'].includes(at?.tagName) || (at?.tagName === 'INPUT' && !['range', 'color', 'checkbox', 'radio', 'button'].includes(at.type));
};

export function listen(desk, actions, element) {
  addEventListener('keydown', (e) => {
    if (!element.checkVisibility() || element.querySelector('dialog:modal') || typing()) return;
    if (pressed(e, desk, actions, element)) e.preventDefault();
  });
  addEventListener('keyup', (e) => { if (e.code === 'Space') desk.view.space(false); });
}

/** Whether it was one of ours. */
function pressed(e, desk, actions, element) {
  const key = e.key.toLowerCase(), stage = desk.view.frame, here = stage.matches(':hover') || document.activeElement === stage || document.activeElement === document.body;
  if (e.ctrlKey || e.metaKey) return run({ z: e.shiftKey ? 'redo' : 'undo', y: 'redo', d: 'duplicate', g: e.shiftKey ? 'ungroup' : 'group', a: 'all', e: 'export', c: 'copy' }[key], actions);
  const nudge = NUDGES[e.key], on = document.activeElement;
  if (nudge && on?.type !== 'range' && !(element.contains(on) && on.closest('[role=tablist], [role=radiogroup]'))) {
    const far = e.shiftKey ? FAR : 1;
    desk.chooser.shift(nudge[0] * far, nudge[1] * far);
    return desk.selection.length > 0;
  }
  if (e.code === 'Space' && here) { desk.view.space(true); return true; }
  if (e.key === 'Escape') { if (desk.held) desk.release(); else if (desk.chooser.drag) desk.chooser.cancel(); else desk.select([]); return true; }
  const plain = { delete: 'remove', backspace: 'remove', '[': 'down', ']': 'up', '{': 'bottom', '}': 'top', 0: 'fit', 1: 'actual', '+': 'closer', '=': 'closer', '-': 'farther' }[key];
  return run(plain ?? (e.shiftKey && { h: 'flipX', v: 'flipY' }[key]), actions);
}

function run(action, actions) {
  if (!action || !actions[action]) return false;
  return actions[action]() !== false;
}
