import { describe, expect, it, vi } from 'vitest';
import { listen } from '../src/shortcuts';
import type { Store } from '../src/state';
import { Server, opened, until, voxels } from './opened';

function press(key: string, more: object = {}): void {
  const keys = { key, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false };
  const event = new Event('keydown');
  for (const [name, value] of Object.entries({ ...keys, ...more })) {
    Object.defineProperty(event, name, { value });
  }
  window.dispatchEvent(event);
}

const control = { ctrlKey: true };
const stores = (server: Server) => server.asked.filter((path) => path.startsWith('PUT /datastore/label'));

it('no key stores a label before the case is open, or while something else takes time', async () => {
  const { open, server, store, editor, casework, draw, end } = opened();
  const stop = listen(open, editor, casework);
  server.away = ['/lesions/measure'];
  await casework.begin();
  press('s', control);
  server.away = [];
  await store.state.problems[0]!.retry!();
  draw(1);
  press('s', control);
  press('s', control);
  press('Enter', control);
  await until(() => !store.state.unsaved);
  expect(stores(server)).toHaveLength(1);
  stop();
  await end();
});

it('a key that is held stores one label and deletes one lesion, and walks through the list', async () => {
  const { open, server, store, editor, casework, draw, end } = opened();
  const stop = listen(open, editor, casework);
  await casework.begin();
  draw(1, 2, 3);
  await until(() => store.state.lesions.length === 3);
  for (let n = 0; n < 3; n++) {
    press('Enter', { ...control, repeat: n > 0 });
    await until(() => !store.state.busy);
  }
  expect(stores(server)).toHaveLength(1);
  press('ArrowDown');
  press('ArrowDown', { repeat: true });
  expect(store.state.active).toBe(2);
  const removed = vi.spyOn(editor, 'remove');
  press('x');
  press('x', { repeat: true });
  expect(removed).toHaveBeenCalledOnce();
  press('ArrowDown');
  press('Backspace'); // "delete" of a Mac
  expect(removed).toHaveBeenCalledTimes(2);
  stop();
  await end();
});

it('a key that is used counts as work, and a pause of more than a minute does not', async () => {
  const now = vi.spyOn(performance, 'now').mockReturnValue(0);
  const { open, server, editor, casework, draw, end } = opened();
  const stop = listen(open, editor, casework);
  await casework.begin();
  draw(1);
  for (const seconds of [50, 100, 300, 310]) {
    now.mockReturnValue(1000 * seconds);
    press('ArrowDown');
  }
  await casework.draft();
  expect(server.params.seconds).toBe(110);
  now.mockRestore();
  stop();
  await end();
});

it('where text is written, keys save and submit the case, and leave undo to the text', async () => {
  const { open, server, store, editor, casework, draw, end } = opened();
  const stop = listen(open, editor, casework);
  await casework.begin();
  draw(1);
  const target = Object.assign(new Element(), { closest: () => true });
  const undone = vi.spyOn(editor, 'undo');
  press('z', { ...control, target });
  press('x', { target });
  press('s', { ...control, target });
  await until(() => !store.state.unsaved);
  expect(undone).not.toHaveBeenCalled();
  expect(stores(server)).toHaveLength(1);
  const redone = vi.spyOn(editor, 'redo');
  press('Z', { ...control, shiftKey: true });
  expect(redone).toHaveBeenCalledOnce();
  expect(undone).not.toHaveBeenCalled();
  stop();
  await end();
});

it('keys of other scripts count by their place, and all others by what they write', async () => {
  const { open, editor, casework, end } = opened();
  const stop = listen(open, editor, casework);
  await casework.begin();
  const use = vi.spyOn(editor, 'use').mockReturnValue();
  const tool = (key: string, code: string, more: object = {}) => {
    use.mockClear();
    press(key, { code, ...more });
    return use.mock.calls[0]?.[0];
  };
  expect(tool('с', 'KeyC')).toBe('click'); // Cyrillic es
  expect(tool('σ', 'KeyS')).toBe('scissors');
  expect(tool('b', 'KeyN')).toBe('brush'); // Dvorak
  expect(tool('ü', 'KeyB')).toBeUndefined();
  expect(tool('µ', 'KeyB')).toBeUndefined(); // of German keyboards, with AltGr
  expect(tool('с', 'KeyC', { altKey: true })).toBeUndefined();
  const [undone, redone, merged] = (['undo', 'redo', 'merge'] as const).map((name) => vi.spyOn(editor, name));
  press('я', { ...control, code: 'KeyZ' });
  expect(undone).toHaveBeenCalledOnce();
  press('Я', { ...control, code: 'KeyZ', shiftKey: true });
  press('y', { ...control, code: 'KeyZ' }); // German
  expect(redone).toHaveBeenCalledTimes(2);
  expect(undone).toHaveBeenCalledOnce();
  press(',', { code: 'KeyM' }); // French
  expect(merged).not.toHaveBeenCalled();
  stop();
  await end();
});

it('digits count by their place, which French and Czech keyboards have behind Shift', async () => {
  const { open, store, editor, casework, end } = opened();
  const stop = listen(open, editor, casework);
  await casework.begin();
  const brush = vi.spyOn(editor, 'brush').mockReturnValue();
  const shown = (key: string, more: object) => {
    store.set({ preset: 0 });
    press(key, more);
    return store.state.preset;
  };
  expect(shown('2', { code: 'Digit2' })).toBe(10);
  expect(shown('é', { code: 'Digit2' })).toBe(10); // French
  expect(shown('2', { code: 'Digit2', shiftKey: true })).toBe(10);
  expect(shown('ě', { code: 'Digit2' })).toBe(10); // Czech
  expect(shown('2', { code: 'Numpad2' })).toBe(10);
  expect(shown('[', { code: 'Digit2' })).toBe(0); // Dvorak for programmers: a bracket
  expect(brush).toHaveBeenCalledOnce();
  expect(shown('~', { code: 'Digit2', ctrlKey: true, altKey: true })).toBe(0); // French, with AltGr
  expect(shown('2', { code: 'Digit2', ctrlKey: true })).toBe(0); // the browser's
  stop();
  await end();
});

it('the size of the brush follows brackets however a keyboard writes them', async () => {
  const { open, store, editor, casework, end } = opened();
  const stop = listen(open, editor, casework);
  await casework.begin();
  const brush = vi.spyOn(editor, 'brush').mockReturnValue();
  const grown = (key: string, more: object) => {
    brush.mockClear();
    press(key, more);
    return brush.mock.calls.length && brush.mock.calls[0]![0] - store.state.radius;
  };
  expect(grown(']', { code: 'BracketRight' })).toBe(1);
  expect(grown(']', { code: 'Digit9' })).toBe(1); // AltGr on Linux
  expect(grown(']', { code: 'Digit9', ctrlKey: true, altKey: true })).toBe(1); // AltGr on Windows
  expect(grown('[', { code: 'Digit5', altKey: true })).toBe(-1); // Option on a Mac
  expect(grown('х', { code: 'BracketLeft' })).toBe(-1); // Cyrillic
  expect(grown(']', { code: 'BracketRight', metaKey: true })).toBe(0); // the browser's
  expect(grown('‘', { code: 'BracketRight', altKey: true })).toBe(0);
  stop();
  await end();
});

it('a name that the browser fills in is no key', async () => {
  const { open, editor, casework, end } = opened();
  const add = vi.spyOn(window, 'addEventListener');
  const stop = listen(open, editor, casework);
  const listener = add.mock.lastCall![1] as (event: Event) => void;
  expect(() => listener(new Event('keydown'))).not.toThrow();
  stop();
  await end();
});

describe('Delete', () => {
  const mark = (store: Store, ...values: number[]) => store.set({ marked: new Set(values) });

  it('takes the chosen lesion, and the marked ones only where it is one of them', async () => {
    const { open, store, editor, casework, draw, map, end } = opened();
    const stop = listen(open, editor, casework);
    await casework.begin();
    draw(1, 2, 3, 4);
    await until(() => store.state.lesions.length === 4);
    mark(store, 1, 2);
    editor.select(4, false);
    press('Delete');
    expect(map()).toEqual(voxels(1, 2, 3));
    expect([...store.state.marked]).toEqual([1, 2]);
    editor.select(2, false);
    press('Delete');
    expect(map()).toEqual(voxels(0, 0, 3));
    expect(store.state.marked.size).toBe(0);
    editor.undo();
    mark(store, 1, 3);
    editor.fresh();
    press('Delete');
    expect(map()).toEqual(voxels(0, 2));
    stop();
    await end();
  });

  it('takes none that was marked before the numbers became those of other lesions', async () => {
    const { store, editor, finder, casework, draw, end } = opened();
    await casework.begin();
    draw(1, 3);
    await until(() => store.state.lesions.length === 2);
    const changes = [() => finder.run('fixed'), () => editor.undo(), () => editor.redo(), () => editor.renumber()];
    for (const change of changes) {
      mark(store, 1);
      await change();
      expect(store.state.marked.size, String(change)).toBe(0);
    }
    await end();
  });

  it('takes none that is no longer listed', async () => {
    const { store, casework, draw, end } = opened();
    await casework.begin();
    draw(1, 2);
    await until(() => store.state.lesions.length === 2);
    mark(store, 1, 2);
    draw(1, 0);
    await until(() => store.state.lesions.length === 1);
    expect([...store.state.marked]).toEqual([1]);
    await end();
  });
});
