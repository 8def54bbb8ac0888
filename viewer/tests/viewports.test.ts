import { expect, it, vi } from 'vitest';
import type { Vector } from '../src/nrrd';
import { MIP, PET_VIEWPORTS } from '../src/protocol';
import * as spheres from '../src/spheres';
import { Viewports } from '../src/viewports';

/** OHIF's viewports: `make` makes one anew, and says so. */
function grid() {
  const viewports = new Map<string, { id: string; element: EventTarget; canvasToWorld: () => Vector; getProperties: () => object }>();
  const listeners = new Set<(event: { viewportId: string }) => void>();
  const cornerstoneViewportService = {
    EVENTS: { VIEWPORT_DATA_CHANGED: 'changed' },
    getCornerstoneViewport: (id: string) => viewports.get(id),
    subscribe: (_: string, listener: (event: { viewportId: string }) => void) => {
      listeners.add(listener);
      return { unsubscribe: () => listeners.delete(listener) };
    },
  };
  const make = (id: string, n: number, getProperties = () => ({})) => {
    const element = Object.assign(new EventTarget(), { getBoundingClientRect: () => ({ left: 0, top: 0 }) });
    viewports.set(id, { id, element, canvasToWorld: () => [n, n, n], getProperties });
    listeners.forEach((listener) => listener({ viewportId: id }));
  };
  const click = (id: string) => {
    for (const name of ['pointerdown', 'pointerup']) {
      const event = Object.assign(new Event(name), { clientX: 0, clientY: 0, button: 0 });
      viewports.get(id)!.element.dispatchEvent(event);
    }
  };
  const viewportGridService = { getState: () => ({ viewports }) };
  const services = { cornerstoneViewportService, viewportGridService };
  const ohif = { servicesManager: { services }, commandsManager: undefined, extensionManager: undefined };
  return { shown: new Viewports(ohif), viewports, make, click };
}

it('clicks are heard in viewports that OHIF makes anew, once each, until the case is left', () => {
  const { shown, make, click } = grid();
  make('ct-axial', 1);
  make(MIP, 1);
  const clicked = vi.fn();
  const end = shown.onClick(clicked);
  click('ct-axial');
  make('ct-axial', 2);
  make('fused-axial', 3);
  make(MIP, 4);
  ['ct-axial', 'fused-axial', MIP].forEach(click);
  expect(clicked.mock.calls).toEqual([[[1, 1, 1]], [[2, 2, 2]], [[3, 3, 3]]]);
  end();
  make('ct-axial', 5);
  ['ct-axial', 'fused-axial'].forEach(click);
  expect(clicked).toHaveBeenCalledTimes(3);
});

it('spheres are drawn again over a PET that OHIF makes anew, in the place of those before, and over nothing else', () => {
  const { shown, viewports, make } = grid();
  const undrawn = vi.fn();
  const drawn = vi.spyOn(spheres, 'drawSpheres').mockReturnValue(undrawn);
  const [first, second] = PET_VIEWPORTS as [string, string];
  make(first, 1);
  const sphere = { center_mm: [1, 2, 3] as Vector, radius_mm: 15 };
  const end = shown.reference([sphere], vi.fn());
  make(first, 2);
  make(second, 2);
  make('ct-axial', 2);
  make(MIP, 2);
  expect(drawn.mock.calls.map(([viewport]) => viewport.id)).toEqual([first, first, second]);
  expect(drawn.mock.lastCall!.slice(0, 2)).toEqual([viewports.get(second), [sphere]]);
  expect(undrawn).toHaveBeenCalledOnce();
  end();
  expect(undrawn).toHaveBeenCalledTimes(3);
  make(first, 3);
  expect(drawn).toHaveBeenCalledTimes(3);
  drawn.mockRestore();
});

it('the window of the PET is heard, also of viewports that OHIF makes anew, until the case is left', () => {
  vi.stubGlobal('window', { cornerstone: { Enums: { Events: { VOI_MODIFIED: 'voi' } } } });
  const { shown, viewports, make } = grid();
  const changed = vi.fn();
  const [first, second] = PET_VIEWPORTS as [string, string];
  let upper = 5;
  const show = (id: string) => make(id, 0, () => ({ voiRange: { lower: 0, upper } }));
  const drag = (id: string) => viewports.get(id)!.element.dispatchEvent(new Event('voi'));
  const heard = () => changed.mock.calls.map(([range]) => range.upper);
  show(first);
  show('ct-axial');
  const end = shown.onWindow(changed);
  expect(heard(), 'the window that it has').toEqual([5]);
  upper = 6;
  ['ct-axial', first].forEach(drag);
  expect(heard()).toEqual([5, 6]);
  upper = 7;
  show(second);
  upper = 8;
  drag(second);
  expect(heard()).toEqual([5, 6, 7, 8]);
  end();
  show(first);
  [first, second].forEach(drag);
  expect(changed).toHaveBeenCalledTimes(4);
  vi.unstubAllGlobals();
});
