import { afterEach, expect, it, vi } from 'vitest';
import { keepOpacity } from '../src/fusion';
import { FUSED_VIEWPORTS, PET_VIEWPORTS } from '../src/protocol';

afterEach(() => vi.unstubAllGlobals());

/** A volume of vtk.js, which draws by the steps that were right when its opacity function changed last. */
function volume() {
  const set = { sampleDistance: 2.3, unitDistance: 1 };
  const drawn = { ...set };
  const mapper = {
    getSampleDistance: () => set.sampleDistance,
    setSampleDistance: (distance: number) => {
      set.sampleDistance = distance;
    },
  };
  const properties = {
    setScalarOpacityUnitDistance: (_: number, distance: number) => {
      set.unitDistance = distance;
    },
    getScalarOpacity: () => ({ modified: () => Object.assign(drawn, set) }),
  };
  return { drawn, actor: { getMapper: () => mapper, getProperty: () => properties } };
}

it('what lies over the CT is drawn by steps as long as the slice is thick, and nothing is drawn again without need', () => {
  const pet = volume();
  const render = vi.fn();
  const viewport = {
    render,
    getSlabThickness: () => 0.05,
    getActors: () => [{ referencedId: 'cornerstoneStreamingImageVolume:pet', actor: pet.actor }],
  };
  const cornerstone = {
    Enums: { Events: { IMAGE_RENDERED: 'rendered' } },
    getEnabledElementByViewportId: () => ({ viewport }),
  };
  vi.stubGlobal('window', { cornerstone });
  vi.stubGlobal('document', new EventTarget());
  const end = keepOpacity();
  const rendered = (viewportId: string) =>
    document.dispatchEvent(Object.assign(new Event('rendered'), { detail: { viewportId } }));
  rendered(PET_VIEWPORTS[0]!);
  expect(pet.drawn.sampleDistance).toBe(2.3);
  rendered(FUSED_VIEWPORTS[0]!);
  rendered(FUSED_VIEWPORTS[0]!);
  expect(pet.drawn).toEqual({ sampleDistance: 0.05, unitDistance: 2.4 * 0.05 });
  expect(render).toHaveBeenCalledTimes(1);
  end();
});
