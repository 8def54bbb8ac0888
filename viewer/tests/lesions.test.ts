import { describe, expect, it, vi } from 'vitest';
import { FOUND, GROWN, UNKNOWN, opened, until } from './opened';

type Parts = ReturnType<typeof opened>;

/** A case in which the model has found lesion 1. */
async function found() {
  const each = opened();
  const { store, lesions, finder, casework } = each;
  await casework.begin();
  await finder.run('fixed');
  expect(store.state.lesions).toMatchObject([{ value: 1, ...FOUND }]);
  const listed = async () => {
    await lesions.settled();
    return store.state.lesions;
  };
  return { ...each, listed };
}

describe('what the model says of a lesion', () => {
  const takes: Record<string, (parts: Parts) => unknown> = {
    click: ({ finder }) => finder.click([0, 1, 0]),
    split: ({ editor }) => editor.split(2),
    stroke: ({ editor, draw }) => {
      editor.fresh();
      draw(1, 2, 0, 2);
    },
  };
  for (const [name, take] of Object.entries(takes)) {
    const known = name === 'click' ? GROWN : UNKNOWN;
    it(`does not pass to another that takes its number by a ${name}`, async () => {
      const parts = await found();
      parts.draw(0, 2, 0, 2);
      await take(parts);
      const lesions = await parts.listed();
      expect(lesions.map((lesion) => lesion.value).sort()).toEqual([1, 2]);
      expect(lesions.find((lesion) => lesion.value === 1)).toMatchObject(known);
      await parts.end();
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

  it('does not pass to what is painted where it was erased entirely, and comes back where that is undone', async () => {
    const { draw, stroke, lesions, editor, listed, end } = await found();
    const measures = vi.spyOn(lesions, 'settled');
    stroke([1, 0], [0, 0]);
    await until(() => measures.mock.calls.length > 0);
    stroke([0, 0], [0, 1]);
    expect(await listed()).toMatchObject([{ value: 1, ...UNKNOWN }]);
    stroke([0, 1], [1, 1]);
    editor.undo();
    expect(await listed()).toMatchObject([{ value: 1, ...UNKNOWN }]);
    editor.undo();
    editor.undo();
    expect(await listed()).toMatchObject([{ value: 1, ...FOUND }]);
    editor.redo();
    draw(0, 1);
    expect(await listed()).toMatchObject([{ value: 1, ...UNKNOWN }]);
    await end();
  });

  it('does not pass to the whole of which it becomes a part, and comes back where that is undone', async () => {
    const { editor, draw, listed, end } = await found();
    draw(1, 2);
    await listed();
    editor.merge([1, 2]);
    expect(await listed()).toMatchObject([{ value: 1, ...UNKNOWN }]);
    editor.undo();
    expect((await listed()).find(({ value }) => value === 1)).toMatchObject(FOUND);
    await end();
  });

  it('stays with a lesion of which something is left', async () => {
    const { stroke, lesions, listed, end } = await found();
    stroke([1, 0], [1, 1]);
    const measures = vi.spyOn(lesions, 'settled');
    stroke([1, 1], [0, 1]);
    await until(() => measures.mock.calls.length > 0);
    stroke([0, 1], [1, 1]);
    expect(await listed()).toMatchObject([{ value: 1, ...FOUND }]);
    await end();
  });

  it('is there again when what took its place is undone', async () => {
    const { store, editor, finder, listed, end } = await found();
    editor.remove([1]);
    await finder.click([0, 1, 0]);
    expect(store.state.lesions).toMatchObject([{ value: 1, ...GROWN }]);
    editor.undo();
    editor.undo();
    expect(await listed()).toMatchObject([{ value: 1, ...FOUND }]);
    await end();
  });
});

describe('Undo', () => {
  it('chooses the lesion that was chosen, as its number changes, and so does Redo', async () => {
    const { store, editor, casework, draw, end } = opened();
    await casework.begin();
    draw(1, 2, 2);
    await until(() => store.state.lesions.length === 2);
    const { segmentation } = (window as never as { cornerstoneTools: { segmentation: any } }).cornerstoneTools;
    const drawn = vi.spyOn(segmentation.segmentIndex, 'setActiveSegmentIndex');
    store.set({ tool: 'brush' });
    editor.select(1, false);
    editor.renumber();
    for (const [way, number] of [['undo', 1], ['redo', 2], ['undo', 1]] as const) {
      editor[way]();
      expect(store.state.active).toBe(number);
      expect(drawn.mock.lastCall![1]).toBe(number);
    }
    await end();
  });

  it('of a Run takes the model back from which the lesions came', async () => {
    const { store, editor, end } = await found();
    expect(store.state.preLabel).toBe('fixed');
    editor.undo();
    expect(store.state.preLabel).toBe('');
    editor.redo();
    expect(store.state.preLabel).toBe('fixed');
    await end();
  });
});

it('a measurement that fails once a newer one is listed is not told of', async () => {
  const { server, store, lesions, casework, draw, end } = opened();
  await casework.begin();
  let fail = () => {};
  const hung = vi.fn(() => new Promise((_, refuse) => (fail = () => refuse(new TypeError('Failed to fetch')))));
  vi.stubGlobal('fetch', hung);
  draw(1);
  const stale = lesions.settled();
  await until(() => hung.mock.calls.length > 0);
  vi.stubGlobal('fetch', server.fetch);
  draw(1, 2);
  await until(() => store.state.lesions.length === 2);
  fail();
  await stale;
  expect(store.state).toMatchObject({ problems: [], away: false, measuring: false });
  await end();
});
