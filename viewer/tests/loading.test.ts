import { afterEach, expect, it, vi } from 'vitest';
import { awaitPetForMip, drawSparingly, loadPetFirst } from '../src/loading';

const Events = { VOLUME_CACHE_VOLUME_ADDED: 'added', IMAGE_VOLUME_LOADING_COMPLETED: 'completed' };
const eventTarget = new EventTarget();
const tell = (name: string, detail: object) => eventTarget.dispatchEvent(Object.assign(new Event(name), { detail }));
const add = (volumeId: string, Modality: string) =>
  tell('added', { volume: { volume: { volumeId, loadStatus: { loaded: false }, metadata: { Modality } } } });

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

it('viewports are drawn now and then while their volumes load, at once when one is complete, and not again', () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  const frames: (() => void)[] = [];
  const renderViewports = vi.fn((_ids: string[]) => void vi.advanceTimersByTime(100));
  const getViewports = () => ['ct', 'pet'].map((id) => ({ id, hasVolumeId: (volumeId: string) => volumeId === id }));
  const engine = { getViewports, renderViewports };
  const cornerstone = { Enums: { Events }, eventTarget, getRenderingEngines: () => [engine] };
  vi.stubGlobal('window', { cornerstone, setTimeout, clearTimeout });
  vi.stubGlobal('requestAnimationFrame', (done: () => void) => frames.push(done));
  /** Lets time pass, and then all frames that were asked for be there. */
  const pass = (ms: number) => {
    vi.advanceTimersByTime(ms);
    while (frames.length) {
      frames.shift()!();
    }
  };
  const drawn = () => renderViewports.mock.calls.map(([ids]) => ids.join(' '));
  const stop = drawSparingly();
  add('ct', 'CT');
  add('pet', 'PT');
  pass(200);
  expect(drawn()).toEqual(['ct pet']);
  pass(300);
  expect(drawn()).toHaveLength(1);
  pass(100);
  expect(drawn()).toEqual(['ct pet', 'ct pet']);
  tell('completed', { volumeId: 'pet' });
  expect(drawn()).toHaveLength(3);
  pass(0);
  pass(500);
  expect(drawn().slice(3)).toEqual(['ct']);
  tell('completed', { volumeId: 'ct' });
  expect(drawn()).toHaveLength(5);
  pass(10_000);
  expect(drawn()).toHaveLength(5);
  stop();
});

it('the MIP is drawn once the PET is complete', () => {
  const render = vi.fn();
  const toggleAttribute = vi.fn();
  const remove = vi.fn();
  const getVolume = (id: string) => ({ metadata: { Modality: id === 'pet' ? 'PT' : 'CT' } });
  const getEnabledElementByViewportId = () => ({ viewport: { render } });
  vi.stubGlobal('window', { cornerstone: { Enums: { Events }, eventTarget, cache: { getVolume }, getEnabledElementByViewportId } });
  vi.stubGlobal('document', {
    head: { appendChild: (sheet: object) => sheet },
    createElement: () => ({ remove }),
    querySelector: () => ({ toggleAttribute }),
  });
  const held = () => toggleAttribute.mock.lastCall?.[1];
  const stop = awaitPetForMip();
  add('ct', 'CT');
  expect(held()).toBeUndefined();
  add('pet', 'PT');
  expect(held()).toBe(true);
  tell('completed', { volumeId: 'ct' });
  expect(held()).toBe(true);
  expect(render).not.toHaveBeenCalled();
  tell('completed', { volumeId: 'pet' });
  expect(held()).toBe(false);
  expect(render).toHaveBeenCalledOnce();
  stop();
  expect(remove).toHaveBeenCalledOnce();
  add('pet', 'PT');
  expect(held()).toBe(false);
});

it('images of the PET are asked for before those of the CT, in their order', () => {
  const asked = ['ct1', 'pet1', 'ct2', 'pet2'].map((name) => ({
    name,
    additionalDetails: { volumeId: `cornerstoneStreamingImageVolume:${name.slice(0, -1)}` },
  }));
  const prefetch: Record<string, typeof asked> = {};
  type Strategy = (layout: { complete: boolean }) => unknown;
  const strategies: Record<string, Strategy> = {
    interleaveTopToBottom: ({ complete }) => {
      if (complete) {
        prefetch[0] = asked;
      }
      return complete;
    },
  };
  const service = {
    registeredImageLoadStrategies: strategies,
    registerImageLoadStrategy: (name: string, load: Strategy) => void (strategies[name] = load),
  };
  vi.stubGlobal('window', { cornerstone: { imageLoadPoolManager: { getRequestPool: () => ({ prefetch }) } } });
  loadPetFirst(service, () => ({ displaySetInstanceUID: 'pet' }));
  expect(strategies.petFirst!({ complete: false })).toBe(false);
  expect(strategies.petFirst!({ complete: true })).toBe(true);
  expect(prefetch[0]!.map(({ name }) => name)).toEqual(['pet1', 'pet2', 'ct1', 'ct2']);
});
