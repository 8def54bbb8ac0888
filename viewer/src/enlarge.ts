/** One viewport over all others. OHIF's own way makes the viewports anew, which are then all drawn again. */
import type { Any } from './ohif';

const LARGE = 'data-petlesion-large';
const GRID = '[data-cy="viewport-grid"]';
const style = `
${GRID} > [${LARGE}] { inset: 0 !important; width: 100% !important; height: 100% !important; }
${GRID}:has(> [${LARGE}]) > :not([${LARGE}]) { visibility: hidden; }
`;

/** Lets a double click enlarge a viewport, and the next one make it as small as before. Ends when it is called back. */
export function enlargeByDoubleClick({ customizationService, viewportGridService }: Record<string, Any>): () => void {
  const sheet = document.head.appendChild(document.createElement('style'));
  sheet.textContent = style;
  const toggle = () => {
    const active = document.querySelector(`[data-viewportid="${viewportGridService.getActiveViewportId()}"]`);
    const panes = [...(active?.closest(GRID)?.children ?? [])];
    panes.find((pane) => pane.contains(active))?.toggleAttribute(LARGE);
  };
  const commands = { doubleClick: [toggle] }; // codespell:ignore doubleclick
  customizationService.setCustomizations({ cornerstoneViewportClickCommands: { $merge: commands } });
  return () => sheet.remove();
}
