/** Images as they come in: drawn now and then, so that drawing does not hold up what is still to come. */
import { type Any, core } from './ohif';
import { MIP, PET_FIRST } from './protocol';
import { texts } from './texts';

/** Time without drawing after each drawing, in units of what that took. */
const REST = 4;
const LEAST_MS = 200;
/** Time between two looks at how much has arrived. */
const LOOK_MS = 200;

/**
 * Takes over the drawing of incomplete volumes: cornerstone draws all viewports at every fiftieth slice. Here those that
 * show such volumes are drawn.
 */
export function drawSparingly(): () => void {
  const loading = new Set<string>();
  let timer = 0;
  const draw = (volumeIds: readonly string[]): void => {
    const began = performance.now();
    for (const engine of core().getRenderingEngines() as Any[]) {
      const shown = (engine.getViewports() as Any[]).filter((each) => volumeIds.some((id) => each.hasVolumeId?.(id)));
      engine.renderViewports(shown.map(({ id }) => id));
    }
    // Two frames later the drawing is done.
    requestAnimationFrame(() =>
      requestAnimationFrame(() => {
        const rest = Math.max(LEAST_MS, REST * (performance.now() - began));
        window.clearTimeout(timer); // of a drawing that had not ended as this one began
        timer = loading.size ? window.setTimeout(() => draw([...loading]), rest) : 0;
      }),
    );
  };
  const added = (volume: Any): void => {
    volume.autoRenderOnLoad = false;
    loading.add(volume.volumeId);
    timer ||= window.setTimeout(() => draw([...loading]), LEAST_MS);
  };
  const completed = (volumeId: string): void => {
    if (loading.delete(volumeId)) {
      window.clearTimeout(timer);
      draw([volumeId, ...loading]);
    }
  };
  const end = onVolumes(added, completed);
  return () => {
    end();
    window.clearTimeout(timer);
    loading.clear(); // a drawing that has begun is the last
  };
}

/** Calls back with each volume whose images are still to come, and with the id of one that is complete. */
function onVolumes(added: (volume: Any) => void, completed: (volumeId: string) => void): () => void {
  const { VOLUME_CACHE_VOLUME_ADDED, IMAGE_VOLUME_LOADING_COMPLETED } = core().Enums.Events;
  const listeners: Record<string, (event: Any) => void> = {
    [VOLUME_CACHE_VOLUME_ADDED]: ({ detail: { volume: entry } }) => {
      if (entry.volume?.loadStatus && !entry.volume.loadStatus.loaded) {
        added(entry.volume);
      }
    },
    [IMAGE_VOLUME_LOADING_COMPLETED]: ({ detail }) => completed(detail.volumeId),
  };
  const { eventTarget } = core();
  Object.entries(listeners).forEach(([name, listener]) => eventTarget.addEventListener(name, listener));
  return () => Object.entries(listeners).forEach(([name, listener]) => eventTarget.removeEventListener(name, listener));
}

const AWAITED = 'data-petlesion-awaited';
/** Cornerstone draws no viewport whose canvas has no size. */
const style = `
[${AWAITED}] canvas { display: none !important; }
[${AWAITED}]::after { content: ${JSON.stringify(texts.mipFollows)}; color: #bbb; position: absolute; inset: 0; margin: auto;
  height: 1em; text-align: center; }
`;

/** Draws the MIP, which takes as long as all others together, once the PET is complete. Ends when it is called back. */
export function awaitPetForMip(): () => void {
  const sheet = document.head.appendChild(document.createElement('style'));
  sheet.textContent = style;
  const wait = (awaited: boolean) =>
    document.querySelector(`[data-viewportid="${MIP}"]`)?.toggleAttribute(AWAITED, awaited);
  const added = (volume: Any): void => {
    if (volume.metadata.Modality === 'PT') {
      wait(true);
    }
  };
  const completed = (volumeId: string): void => {
    if (core().cache.getVolume(volumeId)?.metadata.Modality === 'PT') {
      wait(false);
      core().getEnabledElementByViewportId(MIP)?.viewport.render();
    }
  };
  const end = onVolumes(added, completed);
  return () => {
    end();
    sheet.remove();
  };
}

/**
 * Lets the images of other series wait for those of the PET, without which nothing can be done; OHIF would load the same
 * slices of both together.
 */
export function loadPetFirst(hangingProtocolService: Any, pet: () => Any): void {
  hangingProtocolService.registerImageLoadStrategy(PET_FIRST, (layout: Any) => {
    const begun = hangingProtocolService.registeredImageLoadStrategies.interleaveTopToBottom(layout);
    if (begun) {
      const ofPet = ({ additionalDetails }: Any) => additionalDetails?.volumeId === volumeId(pet());
      for (const waiting of Object.values<Any[]>(core().imageLoadPoolManager.getRequestPool().prefetch)) {
        waiting.sort((a, b) => Number(ofPet(b)) - Number(ofPet(a)));
      }
    }
    return begun;
  });
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

const IMAGES = 'cornerstoneStreamingImageVolume:';
/** Cornerstone's name of the volume of a series. */
export const volumeId = (series: Any): string => `${IMAGES}${series?.displaySetInstanceUID}`;
/** Whether a volume is one of images, and no map of lesions. */
export const isImage = (volumeId?: string): boolean => Boolean(volumeId?.startsWith(IMAGES));
const volumeOf = (series: Any): Any => core().cache.getVolume(volumeId(series));
