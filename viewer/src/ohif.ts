/** What OHIF and cornerstone offer at run time. Neither publishes types for it; OHIF 3.13.2 is pinned. */

import { isStoredAsSuv } from './series';

export type Any = any;

/** Cornerstone's modules, which OHIF puts on the window. */
export const core = (): Any => (window as Any).cornerstone;
export const tools = (): Any => (window as Any).cornerstoneTools;

/** Difference between two factors to SUV that is of no account. */
const SAME_FACTOR = 0.01;

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

/** What OHIF passes to panels. */
export interface Ohif {
  servicesManager: { services: Record<string, Any> };
  commandsManager: Any;
  extensionManager: Any;
}
