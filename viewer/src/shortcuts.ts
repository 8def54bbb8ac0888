/** The keys; those of OHIF that mean something else here are not passed on. */
import type { Casework } from './casework';
import type { Editor } from './editor';
import { PRESETS } from './viewports';

/** Keys that go on while they are held down; others act once. */
const HELD = ['[', ']', 'n', 'p', 'arrowdown', 'arrowup', 'z', 'shift+z', 'y'];
/** Where keys write something. Boxes that are ticked and sliders, OHIF's for slices among them, take no letters. */
const TYPING = 'input:not([type="checkbox"], [type="range"]), textarea, select, [contenteditable]';
/** Keys with Ctrl that mean the case there, too; the others mean the text. */
const ANYWHERE = ['s', 'enter'];

export function listen(editor: Editor, casework: Casework): () => void {
  const views: Record<string, () => void> = Object.fromEntries(
    PRESETS.map((upper, n) => [String(n + 1), () => editor.preset(upper)]),
  );
  const plain: Record<string, () => void> = {
    ...views,
    w: () => editor.use('window'),
    c: () => editor.use('click'),
    b: () => editor.use('brush'),
    t: () => void (editor.store.state.perSuv && editor.use('threshold')),
    e: () => editor.use('eraser'),
    s: () => editor.use('scissors'),
    o: () => editor.use('sphere'),
    l: () => editor.use('reference'),
    a: () => editor.fresh(),
    '[': () => resize(editor, -1),
    ']': () => resize(editor, 1),
    n: () => editor.step(1),
    p: () => editor.step(-1),
    arrowdown: () => editor.step(1),
    arrowup: () => editor.step(-1),
    delete: () => remove(editor),
    x: () => remove(editor),
    m: () => editor.merge([...editor.store.state.marked]),
  };
  const control: Record<string, () => unknown> = {
    z: () => editor.undo(),
    'shift+z': () => editor.redo(),
    y: () => editor.redo(),
    s: () => editor.store.state.busy || casework.draft(),
    enter: () => editor.store.state.busy || casework.submit(),
  };
  const listener = (event: KeyboardEvent) => {
    const typing = event.target instanceof Element && event.target.closest(TYPING);
    const held = event.ctrlKey || event.metaKey;
    const key = (held && event.shiftKey ? 'shift+' : '') + event.key.toLowerCase();
    const action = (held ? control : plain)[key];
    if (!action || event.altKey || (typing && !(held && ANYWHERE.includes(key)))) {
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    if ((editor.store.state.ready || key in views) && (!event.repeat || HELD.includes(key))) {
      action();
    }
  };
  window.addEventListener('keydown', listener, { capture: true });
  return () => window.removeEventListener('keydown', listener, { capture: true });
}

/** Deletes the chosen lesion; all marked ones where it is one of them, or none is chosen. */
export function remove(editor: Editor): void {
  const { marked, active } = editor.store.state;
  const values = editor.has(active) && !marked.has(active) ? [active] : [...marked];
  if (values.length) {
    editor.remove(values);
  }
}

function resize(editor: Editor, by: number): void {
  const { radius, fromSuv } = editor.store.state;
  editor.brush(Math.min(Math.max(radius + by, 1), 50), fromSuv);
}
