import { describe, expect, it, vi } from 'vitest';
import type { Editor } from '../src/editor';
import { texts } from '../src/texts';
import { FOUND, GROWN, Server, UNKNOWN, opened, until, voxels } from './opened';

type Draw = (...first: number[]) => void;

/** A case in which the model has found lesion 1. */
async function found() {
  const each = opened();
  const { store, editor, casework } = each;
  await casework.open();
  await editor.run('fixed');
  expect(store.state.lesions).toMatchObject([{ value: 1, ...FOUND }]);
  const listed = async () => {
    await editor.settled();
    return store.state.lesions;
  };
  return { ...each, listed };
}

describe('what the model says of a lesion', () => {
  const takes: Record<string, (editor: Editor, draw: Draw) => unknown> = {
    click: (editor) => editor.click([0, 1, 0]),
    split: (editor) => editor.split(2),
    stroke: (editor, draw) => {
      editor.fresh();
      draw(1, 2, 0, 2);
    },
  };
  for (const [name, take] of Object.entries(takes)) {
    const known = name === 'click' ? GROWN : UNKNOWN;
    it(`does not pass to another that takes its number by a ${name}`, async () => {
      const { editor, draw, listed, end } = await found();
      draw(0, 2, 0, 2);
      await take(editor, draw);
      const lesions = await listed();
      expect(lesions.map((lesion) => lesion.value).sort()).toEqual([1, 2]);
      expect(lesions.find((lesion) => lesion.value === 1)).toMatchObject(known);
      await end();
    });
  }

  it('does not pass to a stroke with the number of the last lesion, which was deleted', async () => {
    for (const way of ['remove', 'clear'] as const) {
      const { editor, draw, listed, end } = await found();
      editor[way]([1]);
      draw(0, 1);
      expect(await listed()).toMatchObject([{ value: 1, ...UNKNOWN }]);
      await end();
    }
  });

  it('is there again when what took its place is undone', async () => {
    const { store, editor, listed, end } = await found();
    editor.remove([1]);
    await editor.click([0, 1, 0]);
    expect(store.state.lesions).toMatchObject([{ value: 1, ...GROWN }]);
    editor.undo();
    editor.undo();
    expect(await listed()).toMatchObject([{ value: 1, ...FOUND }]);
    await end();
  });
});

it('numbers by volume also what is not listed yet, and merges nothing', async () => {
  const { server, store, editor, casework, draw, map, end } = opened();
  await casework.open();
  draw(7, 7, 3);
  await until(() => store.state.lesions.length === 2);
  server.away = ['/'];
  draw(7, 7, 3, 1);
  editor.renumber();
  expect(map()).toEqual(voxels(1, 1, 3, 2));
  await end();
});

describe('a Run', () => {
  it('asks before it replaces what was drawn while the model ran', async () => {
    const { editor, casework, draw, map, confirm, end } = opened();
    await casework.open();
    confirm.mockReturnValue(false);
    const run = editor.run('fixed');
    draw(7, 7);
    await run;
    expect(confirm.mock.calls).toEqual([[texts.replace]]);
    expect(map()).toEqual(voxels(7, 7));
    await end();
  });

  it('leaves no lesion chosen, whose number is that of another now', async () => {
    const { store, editor, casework, draw, end } = opened();
    await casework.open();
    draw(1, 2);
    await until(() => store.state.lesions.length === 2);
    editor.select(1);
    await editor.run('fixed');
    expect(store.state.active).toBe(0);
    await end();
  });
});

describe('a case that is left while the server works', () => {
  const asks: Record<string, (editor: Editor) => Promise<void>> = {
    model: (editor) => editor.run('fixed'),
    click: (editor) => editor.click([0, 1, 0]),
    reference: (editor) => editor.place([1, 2, 3]),
  };
  for (const [name, ask] of Object.entries(asks)) {
    it(`lets the answer of a ${name} change nothing, as the next case is shown by then`, async () => {
      const { server, store, editor, casework, map, end } = opened();
      await casework.open();
      const shown = vi.spyOn(editor.viewports, 'reference');
      const { edits } = editor;
      const asked = server.asked.length;
      const answered = ask(editor);
      editor.close();
      await answered;
      expect(server.asked).toHaveLength(asked + 1);
      expect(map()).toEqual(voxels());
      expect(editor.edits).toBe(edits);
      expect(store.state).toMatchObject({ active: 0, unsaved: false });
      expect(shown).not.toHaveBeenCalled();
      await end();
    });
  }
});

describe('the keys', () => {
  it('go through the lesions in the order of the list, and on from where one was deleted', async () => {
    const { store, editor, casework, draw, end } = opened();
    await casework.open();
    draw(1, 2, 3, 4);
    await until(() => store.state.lesions.length === 4);
    store.set({ order: { column: 'number', down: true } });
    const walked = [1, 1, -1, 1].map((by) => (editor.step(by), store.state.active));
    expect(walked).toEqual([4, 3, 4, 3]);
    editor.remove([3]);
    expect(store.state.active).toBe(0);
    editor.step(1);
    expect(store.state.active).toBe(2);
    editor.remove([2]);
    editor.step(-1);
    expect(store.state.active).toBe(4);
    await end();
  });
});

it('a sphere that is dropped while a model runs, or that the server refuses, goes back', async () => {
  const { server, store, editor, casework, end } = opened();
  await casework.open();
  const shown = vi.spyOn(editor.viewports, 'reference');
  await editor.run('fixed');
  const [spheres, moved] = shown.mock.lastCall!;
  const asks = () => server.asked.filter((path) => path.includes('/lesions/reference')).length;
  store.set({ busy: 'unet' });
  moved([1, 2, 3]);
  expect(asks()).toBe(0);
  expect(shown.mock.lastCall![0]).toBe(spheres);
  store.set({ busy: '' });
  server.away = ['/lesions/reference'];
  shown.mockClear();
  await editor.place([1, 2, 3]);
  expect(asks()).toBe(1);
  expect(shown.mock.lastCall![0]).toBe(spheres);
  await end();
});

describe('the SUV brush and the presets', () => {
  /** What OHIF multiplies a PET by, which may be nothing; the server's factor; and what is shown at SUV 1. */
  const pets: Record<string, [suvbw: number, factor: number, perSuv: number]> = {
    'the same SUV': [2e-4, 2e-4, 1],
    'nearly the same SUV': [2.01e-4, 2e-4, 1],
    'a dose that decays twice': [2.922e-4, 2e-4, 1.461],
    'SUV by lean body mass': [1, 1.2385, 1 / 1.2385],
    'no SUV, but Bq/mL': [0, 2e-4, 5000],
  };
  for (const [name, [suvbw, factor, perSuv]] of Object.entries(pets)) {
    it(`go by the SUV of the server where OHIF shows ${name}`, async () => {
      const server = Object.assign(new Server(), { factor });
      const { store, editor, casework, end } = opened(server, suvbw);
      const shown = vi.spyOn(editor.viewports, 'preset');
      const setToolConfiguration = vi.fn();
      Object.assign((window as never as { cornerstoneTools: object }).cornerstoneTools, {
        ToolGroupManager: { getToolGroup: () => ({ setToolConfiguration }) },
        utilities: { segmentation: { setBrushSizeForToolGroup: () => {} } },
      });
      await casework.open();
      expect(store.state.perSuv).toBeCloseTo(perSuv, 3);
      const begins = shown.mock.calls.map(([, upper]) => upper / perSuv);
      expect(begins).toEqual(perSuv === 1 ? [] : [expect.closeTo(10, 3)]);
      editor.preset(5);
      expect(shown.mock.lastCall![1]).toBeCloseTo(5 * perSuv, 3);
      editor.brush(8, 3);
      const { threshold } = setToolConfiguration.mock.lastCall![1];
      expect(threshold.range[0]).toBeCloseTo(3 * perSuv, 3);
      expect(store.state.problems).toEqual([]);
      await end();
    });
  }

  it('trust OHIF where the factor differs between slices, which is said; without any SUV there are none', async () => {
    for (const [suvbw, perSuv, said] of [[2e-4, 1, [{ text: texts.suvNotCompared }]], [0, 0, []]] as const) {
      const { store, editor, casework, end } = opened(Object.assign(new Server(), { factor: null }), suvbw);
      const shown = vi.spyOn(editor.viewports, 'preset');
      await casework.open();
      editor.preset(5);
      expect(store.state).toMatchObject({ perSuv, problems: said });
      expect(shown).toHaveBeenCalledTimes(perSuv);
      await end();
    }
  });
});
