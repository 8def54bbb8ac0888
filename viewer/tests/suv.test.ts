import { describe, expect, it, vi } from 'vitest';
import { preset, watchWindow } from '../src/suv';
import { texts } from '../src/texts';
import type { VoiRange } from '../src/viewports';
import { Server, opened } from './opened';

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
      const { open, store, editor, casework, end } = opened(server, suvbw);
      const shown = vi.spyOn(open.viewports, 'preset');
      const setToolConfiguration = vi.fn();
      Object.assign((window as never as { cornerstoneTools: object }).cornerstoneTools, {
        ToolGroupManager: { getToolGroup: () => ({ setToolConfiguration }) },
        utilities: { segmentation: { setBrushSizeForToolGroup: () => {} } },
      });
      await casework.begin();
      expect(store.state.perSuv).toBeCloseTo(perSuv, 3);
      const begins = shown.mock.calls.map(([, upper]) => upper / perSuv);
      expect(begins).toEqual(perSuv === 1 ? [] : [expect.closeTo(10, 3)]);
      preset(open, 5);
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
      const { open, store, casework, end } = opened(Object.assign(new Server(), { factor: null }), suvbw);
      const shown = vi.spyOn(open.viewports, 'preset');
      await casework.begin();
      preset(open, 5);
      expect(store.state).toMatchObject({ perSuv, problems: said });
      expect(shown).toHaveBeenCalledTimes(perSuv);
      await end();
    }
  });

  it('are lit where the window is theirs, however it came to be', () => {
    const { open, store } = opened(new Server(), 2e-4);
    store.set({ perSuv: 2 });
    const end = vi.fn();
    let changed = (_: VoiRange): void => {};
    vi.spyOn(open.viewports, 'onWindow').mockImplementation((listener) => {
      changed = listener;
      return end;
    });
    watchWindow(open)();
    expect(end).toHaveBeenCalledOnce();
    const lit = ([lower, upper]: [number, number]) => {
      changed({ lower, upper });
      return store.state.preset;
    };
    expect(([[0, 20], [0, 22], [0.01, 60.02], [4, 60], [0, 10]] as [number, number][]).map(lit)).toEqual([10, 0, 30, 0, 5]);
    store.set({ perSuv: 0, preset: 0 });
    expect(lit([0, 10]), 'without SUV there is none').toBe(0);
  });
});
