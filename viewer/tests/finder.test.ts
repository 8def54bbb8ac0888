import { createElement } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import { describe, expect, it, vi } from 'vitest';
import type { Finder } from '../src/finder';
import { tools } from '../src/ohif';
import { Note } from '../src/panel/Messages';
import { texts } from '../src/texts';
import { Viewports } from '../src/viewports';
import { opened, until, voxels } from './opened';

describe('a Run', () => {
  it('asks before it replaces what was drawn while the model ran', async () => {
    const { finder, casework, draw, map, confirm, end } = opened();
    await casework.begin();
    confirm.mockReturnValue(false);
    const run = finder.run('fixed');
    draw(7, 7);
    await run;
    expect(confirm.mock.calls).toEqual([[texts.replace]]);
    expect(map()).toEqual(voxels(7, 7));
    await end();
  });

  it('leaves no lesion chosen, whose number is that of another now', async () => {
    const { store, editor, finder, casework, draw, end } = opened();
    await casework.begin();
    draw(1, 2);
    await until(() => store.state.lesions.length === 2);
    editor.select(1);
    await finder.run('fixed');
    expect(store.state.active).toBe(0);
    await end();
  });

  it('tells a threshold at which lesions end from one that the model does not cut at', async () => {
    const { server, store, finder, casework, end } = opened();
    await casework.begin();
    for (const [threshold, there] of [[4.5, true], [null, false]] as const) {
      server.threshold = threshold;
      await finder.run('fixed');
      expect(store.state.endThere).toBe(there);
    }
    expect(texts.reference('liver', 2.67, 4.58, true)).toBe('liver: mean SUV 2.67, threshold 4.58');
    expect(texts.reference('liver', 2.67, 4.58, false)).toContain('do not all end there');
    expect(texts.reference('none', null, 3, true)).toBe('no reference organ, threshold 3.00');
    await end();
  });

  it('is needed before lesions end at the threshold of a reference that the annotator has placed', async () => {
    const { server, store, finder, casework, end } = opened();
    await casework.begin();
    await finder.place([1, 2, 3]);
    expect(store.state.endThere).toBe(true); // of no lesion
    for (const threshold of [null, 4.5]) {
      server.threshold = threshold;
      await finder.run('fixed');
      await finder.place([1, 2, 3]);
      expect(store.state.endThere).toBe(false);
    }
    await end();
  });

  it('goes by the tracer that the image says, unless the annotator says another one', async () => {
    const { server, store, finder, casework, end } = opened();
    await casework.begin();
    expect(store.state.tracer).toBe('f18-fdg');
    await finder.run('fixed');
    expect(server.params).not.toHaveProperty('tracer');
    store.set({ otherTracer: 'ga68-psma11' });
    await finder.run('fixed');
    expect(server.params.tracer).toBe('ga68-psma11');
    await end();
  });

  it('says that what it found beyond the numbers of the map is one lesion there', async () => {
    const { server, store, finder, casework, end } = opened();
    await casework.begin();
    for (const count of [255, 256]) {
      server.lesions = Array.from({ length: count }, (_, n) => ({ id: n + 1 }));
      await finder.run('fixed');
      expect(store.state.note.includes(texts.asOne)).toBe(count > 255);
    }
    await end();
  });
});

it('a Run says what was assumed for the SUV that it lists', async () => {
  const { server, store, finder, casework, end } = opened();
  await casework.begin();
  server.suvWarnings = ['An administered activity of 10 MBq is implausible, but used.'];
  await finder.run('fixed');
  expect(store.state.note).toContain(server.suvWarnings[0]);
  await end();
});

it('what has to be known about a Run is a list, each thing once', async () => {
  const { server, store, finder, casework, end } = opened();
  await casework.begin();
  server.warnings = ['The liver is not in the image', 'The tracer is not known'];
  server.suvWarnings = ['The tracer is not known'];
  await finder.run('fixed');
  const items = renderToStaticMarkup(createElement(Note, { text: store.state.note }));
  expect(items).toBe(`<ul>${[texts.found(1, 'fixed'), ...server.warnings].map((each) => `<li>${each}</li>`).join('')}</ul>`);
  await end();
});

it('a click that grows a lesion no longer says that there was nothing to add', async () => {
  const { store, editor, finder, casework, end } = opened();
  await casework.begin();
  await finder.click([0, 1, 0]);
  await finder.click([0, 1, 0]);
  expect(store.state.note).toBe(texts.nothingThere);
  editor.undo();
  await finder.click([0, 1, 0]);
  expect(store.state).toMatchObject({ note: '', lesions: [{ value: 1 }] });
  await end();
});

it('what has to be known about a threshold is told where the sphere is placed, and by the first click that ends at it', async () => {
  const { server, store, editor, finder, casework, end } = opened();
  await casework.begin();
  store.set({ otherTracer: 'f18-psma1007' });
  server.warnings = ['normal liver is no reference for 18F-PSMA-1007'];
  await finder.place([1, 2, 3]);
  expect(server.asked.at(-1)).toContain('tracer=f18-psma1007');
  expect(store.state.note).toBe(`${texts.placed}\n${server.warnings[0]}`);
  const notes = [];
  for (const more of [[], [], ['An activity of 10 MBq is implausible, but used.']]) {
    server.suvWarnings = more;
    await finder.click([0, 1, 0]);
    notes.push(store.state.note);
    editor.undo();
  }
  expect(notes).toEqual([server.warnings[0], '', server.suvWarnings[0]]);
  await end();
});

describe('clicks while one is at work', () => {
  /** A case with the tool in hand, and what clicks into its viewports. */
  async function clicking() {
    const onClick = vi.spyOn(Viewports.prototype, 'onClick');
    const each = opened();
    const [clicked] = onClick.mock.lastCall!;
    onClick.mockRestore();
    await each.casework.begin();
    each.store.set({ tool: 'click' });
    tools().ToolGroupManager = { getToolGroup: () => ({ getActivePrimaryMouseButtonTool: () => 'WindowLevel' }) };
    const asked = () => each.server.asked.filter((path) => path.startsWith('POST /infer/click')).length;
    return { ...each, clicked, asked };
  }

  it('follow it one after the other', async () => {
    const { store, clicked, asked, end } = await clicking();
    clicked([0, 1, 0]);
    clicked([0, 1, 0]);
    clicked([0, 1, 0]);
    await until(() => asked() === 3 && !store.state.busy);
    expect(store.state).toMatchObject({ lesions: [{ value: 1 }], note: texts.nothingThere });
    clicked([0, 1, 0]);
    await until(() => asked() === 4 && !store.state.busy);
    await end();
  });

  it('are dropped where the case is left, or something else takes time', async () => {
    const { open, finder, store, clicked, asked, end } = await clicking();
    const run = finder.run('fixed');
    clicked([0, 1, 0]);
    await run;
    expect(asked()).toBe(0);
    clicked([0, 1, 0]);
    clicked([0, 1, 0]);
    await Promise.resolve();
    expect(asked()).toBe(1);
    open.close();
    await until(() => !store.state.busy);
    expect(asked()).toBe(1);
    await end();
  });
});

it('a click that ends elsewhere than at the threshold takes back that all lesions end there', async () => {
  const { server, store, editor, finder, casework, end } = opened();
  await casework.begin();
  await finder.place([1, 2, 3]);
  for (const [threshold, there] of [[4, true], [null, false], [4, true]] as const) {
    server.threshold = threshold;
    await finder.click([0, 1, 0]);
    expect(store.state).toMatchObject({ endThere: there, lesions: [{ value: 1 }] });
    editor.undo();
  }
  await end();
});

it('a click does not repeat what a Run has told', async () => {
  const { server, store, finder, casework, end } = opened();
  await casework.begin();
  server.warnings = ['the tracer is not known'];
  for (let n = 0; n < 2; n++) {
    await finder.run('fixed');
    expect(store.state.note).toContain(server.warnings[0]);
  }
  await finder.click([0, 1, 0]);
  expect(store.state).toMatchObject({ note: '', lesions: [{ value: 1 }, { value: 2 }] });
  await end();
});

it('a reference that was placed goes with each Run, until the annotator leaves it to the models again', async () => {
  const { server, open, store, finder, casework, end } = opened();
  await casework.begin();
  await finder.place([1, 2, 3]);
  await finder.run('fixed');
  expect(server.params.liver_sphere_mm).toEqual([1, 2, 3]);
  const shown = vi.spyOn(open.viewports, 'reference');
  finder.unplace();
  expect(shown.mock.lastCall![0]).toEqual([]);
  expect(store.state).toMatchObject({ reference: undefined, sphere: undefined, note: texts.unplaced });
  await finder.run('fixed');
  expect(server.params).not.toHaveProperty('liver_sphere_mm');
  await end();
});

it('a Run that is tried again goes by the options as they are then', async () => {
  const { server, store, finder, casework, end } = opened();
  await casework.begin();
  server.away = ['/infer'];
  await finder.run('fixed');
  server.away = [];
  store.set({ options: { fixed: { suv: 4 } } });
  await store.state.problems[0]!.retry!();
  expect(server.params.suv).toBe(4);
  await end();
});

describe('a case that is left while the server works', () => {
  const asks: Record<string, (finder: Finder) => Promise<void>> = {
    model: (finder) => finder.run('fixed'),
    click: (finder) => finder.click([0, 1, 0]),
    reference: (finder) => finder.place([1, 2, 3]),
  };
  for (const [name, ask] of Object.entries(asks)) {
    it(`lets the answer of a ${name} change nothing, as the next case is shown by then`, async () => {
      const { server, open, store, lesions, finder, casework, map, end } = opened();
      await casework.begin();
      const shown = vi.spyOn(open.viewports, 'reference');
      const { edits } = lesions;
      const asked = server.asked.length;
      const answered = ask(finder);
      open.close();
      await answered;
      expect(server.asked).toHaveLength(asked + 1);
      expect(map()).toEqual(voxels());
      expect(lesions.edits).toBe(edits);
      expect(store.state).toMatchObject({ active: 0, unsaved: false });
      expect(shown).not.toHaveBeenCalled();
      await end();
    });
  }
});

it('a sphere that is dropped while a model runs, or that the server refuses, goes back', async () => {
  const { server, open, store, finder, casework, end } = opened();
  await casework.begin();
  const shown = vi.spyOn(open.viewports, 'reference');
  await finder.run('fixed');
  const [spheres, moved] = shown.mock.lastCall!;
  const asks = () => server.asked.filter((path) => path.includes('/lesions/reference')).length;
  store.set({ busy: 'unet' });
  moved([1, 2, 3]);
  expect(asks()).toBe(0);
  expect(shown.mock.lastCall![0]).toBe(spheres);
  store.set({ busy: '' });
  server.away = ['/lesions/reference'];
  shown.mockClear();
  await finder.place([1, 2, 3]);
  expect(asks()).toBe(1);
  expect(shown.mock.lastCall![0]).toBe(spheres);
  await end();
});
