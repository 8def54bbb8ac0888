/** What OHIF and cornerstone offer at run time. Neither publishes types for it; OHIF 3.13.2 is pinned. */

export type Any = any;

/** Cornerstone's modules, which OHIF puts on the window. */
export const core = (): Any => (window as Any).cornerstone;
export const tools = (): Any => (window as Any).cornerstoneTools;

/** What OHIF passes to panels. */
export interface Ohif {
  servicesManager: { services: Record<string, Any> };
  commandsManager: Any;
  extensionManager: Any;
}
