/** Images as they come in: drawn now and then, so that drawing does not hold up what is still to come. */
import { type Any, core } from './ohif';
import { texts } from './texts';

/** Time without drawing after each drawing, in units of what that took. */
const REST = 4;
const LEAST_MS = 200;
/** Time between two looks at how much has arrived. */
const LOOK_MS = 200;

/** Takes over the drawing of incomplete volumes: cornerstone draws all viewports at every fiftieth slice. */
export function drawSparingly(): () => void {
  const loading = new Set<string>();
  let timer = 0;
  const draw = (): void => {
    const began = performance.now();
    const engines: Any[] = core().getRenderingEngines();
    engines.forEach((engine) => engine.render());
    // Two frames later the drawing is done.
    requestAnimationFrame(() =>
      requestAnimationFrame(() => {
        timer = loading.size ? window.setTimeout(draw, Math.max(LEAST_MS, REST * (performance.now() - began))) : 0;
      }),
    );
  };
  const added = (event: Any): void => {
    const { volume } = event.detail.volume;
    if (volume?.loadStatus && !volume.loadStatus.loaded) {
      volume.autoRenderOnLoad = false;
      loading.add(volume.volumeId);
      timer ||= window.setTimeout(draw, LEAST_MS);
    }
  };
  const completed = (event: Any): void => {
    if (loading.delete(event.detail.volumeId) && !loading.size) {
      window.clearTimeout(timer);
      draw();
    }
  };
  const { VOLUME_CACHE_VOLUME_ADDED, IMAGE_VOLUME_LOADING_COMPLETED } = core().Enums.Events;
  core().eventTarget.addEventListener(VOLUME_CACHE_VOLUME_ADDED, added);
  core().eventTarget.addEventListener(IMAGE_VOLUME_LOADING_COMPLETED, completed);
  return () => {
    core().eventTarget.removeEventListener(VOLUME_CACHE_VOLUME_ADDED, added);
    core().eventTarget.removeEventListener(IMAGE_VOLUME_LOADING_COMPLETED, completed);
    window.clearTimeout(timer);
    loading.clear(); // a drawing that has begun is the last
  };
}

/**
 * Waits for all slices of a series, and tells which share of them has arrived; ends with what `tell` throws, and with
 * an error where some will not come: cornerstone shows nothing, or a neighbour, in their place.
 */
export async function allLoaded(series: Any, tell: (share: number) => void): Promise<void> {
  for (let before = -1; ; ) {
    const { framesLoaded = 0, framesProcessed = 0, imageIds } = volumeOf(series) ?? {};
    const total = imageIds?.length ?? 1;
    tell(framesLoaded / total);
    if (framesLoaded >= total) {
      return;
    }
    // Failed ones count as processed, some of them twice: others may be on their way until nothing comes any more.
    if (framesProcessed >= total && framesLoaded === before) {
      throw new Error(texts.imagesMissing(total - framesLoaded, series.Modality));
    }
    before = framesLoaded;
    await new Promise((resolve) => window.setTimeout(resolve, LOOK_MS));
  }
}

const volumeOf = (series: Any): Any =>
  core().cache.getVolume(`cornerstoneStreamingImageVolume:${series.displaySetInstanceUID}`);
