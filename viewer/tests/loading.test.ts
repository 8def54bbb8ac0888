import { afterEach, expect, it, vi } from 'vitest';
import { drawSparingly } from '../src/loading';

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

it('volumes are drawn now and then while they load, at once when the last is complete, and not again', () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  const frames: (() => void)[] = [];
  const render = vi.fn(() => vi.advanceTimersByTime(100));
  const eventTarget = new EventTarget();
  const Events = { VOLUME_CACHE_VOLUME_ADDED: 'added', IMAGE_VOLUME_LOADING_COMPLETED: 'completed' };
  const cornerstone = { Enums: { Events }, eventTarget, getRenderingEngines: () => [{ render }] };
  vi.stubGlobal('window', { cornerstone, setTimeout, clearTimeout });
  vi.stubGlobal('requestAnimationFrame', (done: () => void) => frames.push(done));
  const tell = (name: string, detail: object) => eventTarget.dispatchEvent(Object.assign(new Event(name), { detail }));
  /** Lets time pass, and then all frames that were asked for be there. */
  const pass = (ms: number) => {
    vi.advanceTimersByTime(ms);
    while (frames.length) {
      frames.shift()!();
    }
  };
  const stop = drawSparingly();
  for (const volumeId of ['ct', 'pet']) {
    tell('added', { volume: { volume: { volumeId, loadStatus: { loaded: false } } } });
  }
  pass(200);
  expect(render).toHaveBeenCalledTimes(1);
  pass(300);
  expect(render).toHaveBeenCalledTimes(1);
  pass(100);
  expect(render).toHaveBeenCalledTimes(2);
  tell('completed', { volumeId: 'ct' });
  expect(render).toHaveBeenCalledTimes(2);
  tell('completed', { volumeId: 'pet' });
  expect(render).toHaveBeenCalledTimes(3);
  pass(10_000);
  expect(render).toHaveBeenCalledTimes(3);
  stop();
});
