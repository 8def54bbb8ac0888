/** The keys; those of OHIF that mean something else here are not passed on. */
import type { OpenCase } from './case';
import type { Casework } from './casework';
import type { Editor } from './editor';
import { preset } from './suv';
import { PRESETS } from './viewports';

/** Keys that go on while they are held down; others act once. */
const HELD = ['[', ']', 'n', 'p', 'arrowdown', 'arrowup', 'z', 'shift+z', 'y'];
/** Where keys write something. Boxes that are ticked and sliders, OHIF's for slices among them, take no letters. */
const TYPING = 'input:not([type="checkbox"], [type="range"]), textarea, select, [contenteditable]';
/** Keys with Ctrl that mean the case there, too; the others mean the text. */
const ANYWHERE = ['s', 'enter'];

/** Signs that some keyboards have behind Option, or behind AltGr, which is Ctrl with Alt. */
const SIGNS = ['[', ']'];
/** Letters of other scripts, whose keys count by their place. */
const NOT_LATIN = /^(?![\p{Script=Latin}\p{Script=Common}])\p{L}/u;
/** What is at places that have another name than their sign. */
const PLACES: Record<string, string> = { BracketLeft: '[', BracketRight: ']' };
/** Digits count by their place as well: French and Czech keyboards have them behind Shift. */
const DIGIT = /^Digit(\d)$/;

export function listen(open: OpenCase, editor: Editor, casework: Casework): () => void {
  const { store } = open;
  const resize = (by: number) => {
    const { radius, fromSuv } = store.state;
    editor.brush(Math.min(Math.max(radius + by, 1), 50), fromSuv);
  };
  const views: Record<string, () => void> = Object.fromEntries(
    PRESETS.map((upper, n) => [String(n + 1), () => preset(open, upper)]),
  );
  const plain: Record<string, () => void> = {
    ...views,
    w: () => editor.use('window'),
    c: () => editor.use('click'),
    b: () => editor.use('brush'),
    t: () => void (store.state.perSuv && editor.use('threshold')),
    e: () => editor.use('eraser'),
    s: () => editor.use('scissors'),
    o: () => editor.use('sphere'),
    l: () => editor.use('reference'),
    a: () => editor.fresh(),
    '[': () => resize(-1),
    ']': () => resize(1),
    n: () => editor.step(1),
    p: () => editor.step(-1),
    arrowdown: () => editor.step(1),
    arrowup: () => editor.step(-1),
    delete: () => editor.removeChosen(),
    backspace: () => editor.removeChosen(), // the key that says "delete" on a Mac
    x: () => editor.removeChosen(),
    m: () => editor.merge([...store.state.marked]),
  };
  const control: Record<string, () => unknown> = {
    z: () => editor.undo(),
    'shift+z': () => editor.redo(),
    y: () => editor.redo(),
    s: () => store.state.busy || casework.draft(),
    enter: () => store.state.busy || casework.submit(),
  };
  const listener = (event: KeyboardEvent) => {
    const typing = event.target instanceof Element && event.target.closest(TYPING);
    const sign = SIGNS.includes(event.key);
    const held = event.metaKey || (event.ctrlKey && !(sign && event.altKey));
    const key = (held && event.shiftKey ? 'shift+' : '') + named(event);
    const action = (held ? control : plain)[key];
    if (!action || (event.altKey && !sign) || (typing && !(held && ANYWHERE.includes(key)))) {
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    if ((store.state.ready || key in views) && (!event.repeat || HELD.includes(key))) {
      action();
    }
  };
  window.addEventListener('keydown', listener, { capture: true });
  return () => window.removeEventListener('keydown', listener, { capture: true });
}

/** The key by its letter or sign, which German and French keyboards have at other places. */
function named({ key, code }: KeyboardEvent): string | undefined {
  const digit = SIGNS.includes(key) ? undefined : DIGIT.exec(code)?.[1];
  const place = NOT_LATIN.test(key) ? (PLACES[code] ?? code.replace('Key', '')) : undefined;
  // A browser that fills in a name says so by a key event that has no key.
  return (digit ?? place ?? key)?.toLowerCase();
}
