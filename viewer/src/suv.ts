/** SUV: what OHIF shows where it is 1, and the window of the PET that goes by it. */
import type { OpenCase } from './case';
import { type Any, core } from './ohif';
import { isStoredAsSuv, windowOfTracer } from './series';
import { texts } from './texts';
import { PRESETS } from './viewports';

/** Difference between two factors to SUV that is of no account. */
const SAME_FACTOR = 0.01;
/** Difference between two ends of windows, in SUV, that nobody sees. */
const SAME_WINDOW = 0.05;

/** What OHIF multiplies the values of a PET by, where it computes SUV by the header; else it leaves them so. */
const factorOf = (pet: Any): number | undefined =>
  core().metaData.get('scalingModule', pet?.imageIds?.[0] ?? pet?.images?.[0]?.imageId)?.suvbw;

/** Whether OHIF shows a PET as SUV. */
export const hasSuv = (pet: Any): boolean => Boolean(factorOf(pet)) || isStoredAsSuv(pet);

/**
 * What OHIF shows of a PET where the SUV is 1, by the server's factor: OHIF decays a dose again that is decayed
 * already, takes any SUV for that of body weight, and computes none where dates do not fit. Without a factor 1 is taken
 * on trust, or there is no SUV: 0.
 */
export function shownPerSuv(pet: Any, factor?: number | null): number {
  if (!factor) {
    return Number(hasSuv(pet));
  }
  const shown = (factorOf(pet) || 1) / factor;
  return Math.abs(shown - 1) < SAME_FACTOR ? 1 : shown;
}

/** Goes by the server's SUV, where OHIF shows another one or none. */
export function goBy(open: OpenCase, factor: number | null): void {
  const perSuv = shownPerSuv(open.pet, factor);
  open.store.set({ perSuv });
  if (perSuv !== 1) {
    preset(open, open.store.state.preset || windowOfTracer(open.pet));
  } else if (factor === null) {
    open.attempts.report({ asked: 'SUV', text: texts.suvNotCompared });
  }
}

/** Shows the PET from 0 to an SUV. */
export function preset({ store, viewports, pet }: OpenCase, upper: number): void {
  const { perSuv } = store.state;
  if (perSuv) {
    viewports.preset(pet, upper * perSuv);
    store.set({ preset: upper });
  }
}

/** Keeps the preset that is lit to the window that the PET has: none, where somebody has dragged it elsewhere. */
export function watchWindow({ store, viewports }: OpenCase): () => void {
  return viewports.onWindow(({ lower, upper }) => {
    const { perSuv, preset } = store.state;
    const near = (value: number, suv: number) => Math.abs(value / perSuv - suv) < SAME_WINDOW;
    const lit = PRESETS.find((suv) => near(lower, 0) && near(upper, suv)) ?? 0;
    if (perSuv && lit !== preset) {
      store.set({ preset: lit });
    }
  });
}
