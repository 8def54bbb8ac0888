import { afterEach, expect, it, vi } from 'vitest';
import { drawMip, drawSparingly, holdMip, loadPetFirst } from '../src/loading';

const Events = { VOLUME_CACHE_VOLUME_ADDED: 'added', IMAGE_VOLUME_LOADING_COMPLETED: 'completed' };
const eventTarget = new EventTarget();
const tell = (name: string, detail: object) => eventTarget.dispatchEvent(Object.assign(new Event(name), { detail }));
const add = (volumeId: string) => tell('added', { volume: { volume: { volumeId, loadStatus: { loaded: false } } } });
const volume = (series: string) => `cornerstoneStreamingImageVolume:${series}`;

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
  add('ct');
  add('pet');
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

it('the MIP is drawn once the map of lesions is there, or some time after the PET', () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const render = vi.fn();
  const remove = vi.fn();
  const mip = new Set<string>();
  const element = { setAttribute: (name: string) => mip.add(name), removeAttribute: (name: string) => mip.delete(name) };
  const getEnabledElementByViewportId = () => ({ viewport: { render } });
  const cornerstone = { Enums: { Events }, eventTarget, getEnabledElementByViewportId };
  vi.stubGlobal('window', { cornerstone, setTimeout, clearTimeout });
  vi.stubGlobal('document', {
    head: { appendChild: (sheet: object) => sheet },
    createElement: () => ({ remove }),
    querySelector: (selector: string) => (selector.includes('mip') || mip.size ? element : null),
  });
  const stop = holdMip(() => ({ displaySetInstanceUID: 'pet' }));
  add(volume('other'));
  tell('completed', { volumeId: volume('other') });
  vi.advanceTimersByTime(60_000);
  expect(mip.size).toBe(0);
  add(volume('pet'));
  expect(mip.size).toBe(1);
  tell('completed', { volumeId: volume('pet') });
  expect(mip.size).toBe(1);
  drawMip();
  expect(mip.size).toBe(0);
  vi.advanceTimersByTime(60_000);
  expect(render).toHaveBeenCalledOnce();
  add(volume('pet'));
  tell('completed', { volumeId: volume('pet') });
  vi.advanceTimersByTime(60_000);
  expect(mip.size).toBe(0);
  expect(render).toHaveBeenCalledTimes(2);
  stop();
  expect(remove).toHaveBeenCalledOnce();
  add(volume('pet'));
  expect(mip.size).toBe(0);
});

it('images of the PET are asked for before those of the CT, in their order', () => {
  const asked = ['ct1', 'pet1', 'ct2', 'pet2'].map((name) => ({
    name,
    additionalDetails: { volumeId: volume(name.slice(0, -1)) },
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
