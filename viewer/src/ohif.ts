/** What OHIF and cornerstone offer at run time. Neither publishes types for it; OHIF 3.13.2 is pinned. */

import { isStoredAsSuv } from './series';

export type Any = any;

/** Cornerstone's modules, which OHIF puts on the window. */
export const core = (): Any => (window as Any).cornerstone;
export const tools = (): Any => (window as Any).cornerstoneTools;

/** Whether OHIF shows a PET as SUV: it computes it by the header, or else leaves the values as they are stored. */
export function hasSuv(pet: Any): boolean {
  const scaling = core().metaData.get('scalingModule', pet?.imageIds?.[0] ?? pet?.images?.[0]?.imageId);
  return Boolean(scaling?.suvbw) || isStoredAsSuv(pet);
}

/** What OHIF passes to panels. */
export interface Ohif {
  servicesManager: { services: Record<string, Any> };
  commandsManager: Any;
  extensionManager: Any;
}
