/** Images as they come in: drawn now and then, so that drawing does not hold up what is still to come. */
import { type Any, core } from './ohif';

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

/** Waits for all slices of a series, and tells which share of them has arrived; ends with what `tell` throws. */
export async function allLoaded(series: Any, tell: (share: number) => void): Promise<void> {
  for (;;) {
    const share = loadedShare(series);
    tell(share);
    if (share >= 1) {
      return;
    }
    await new Promise((resolve) => window.setTimeout(resolve, LOOK_MS));
  }
}

/** Share of a series' slices that have arrived, 0 to 1. */
function loadedShare(series: Any): number {
  const volume = core().cache.getVolume(`cornerstoneStreamingImageVolume:${series.displaySetInstanceUID}`);
  return volume?.loadStatus?.loaded ? 1 : (volume?.framesProcessed ?? 0) / (volume?.imageIds?.length ?? 1);
}
