/** Which of OHIF's tools the left mouse button draws with. */
import { type Any, tools } from './ohif';

/** Our names, and OHIF's. `click` and `reference` leave the window tool on: it acts on a drag, we on a click. */
const NAMES = {
  window: 'WindowLevel',
  click: 'WindowLevel',
  brush: 'SphereBrush',
  threshold: 'ThresholdSphereBrush',
  eraser: 'SphereEraser',
  scissors: 'CircleScissors',
  sphere: 'SphereScissors',
  reference: 'WindowLevel',
} as const;
export type Tool = keyof typeof NAMES;
export const TOOLS = Object.keys(NAMES) as Tool[];
/** Tools that need a lesion to draw. */
export const DRAWS: readonly Tool[] = ['brush', 'threshold', 'scissors', 'sphere'];
const GROUPS = ['ctToolGroup', 'ptToolGroup', 'fusionToolGroup'] as const;
/** Groups in which the SUV is thresholded: on a CT the same brush would threshold Hounsfield units. */
const PET_GROUPS: readonly string[] = ['ptToolGroup'];

export function activate(tool: Tool): void {
  const { MouseBindings } = tools().Enums;
  for (const id of GROUPS) {
    const group: Any = tools().ToolGroupManager.getToolGroup(id);
    if (!group) {
      continue;
    }
    const name = tool === 'threshold' && !PET_GROUPS.includes(id) ? NAMES.window : NAMES[tool];
    const current = group.getActivePrimaryMouseButtonTool();
    if (current === name) {
      continue; // all viewports would be drawn again
    }
    if (!group.hasTool(name)) {
      group.addTool(name);
    }
    if (current) {
      group.setToolPassive(current);
    }
    group.setToolActive(name, { bindings: [{ mouseButton: MouseBindings.Primary }] });
  }
}

/** Whether the left button still has the tool: OHIF's toolbar may have given it another one. */
export const isInHand = (tool: Tool): boolean =>
  GROUPS.some((id) => tools().ToolGroupManager.getToolGroup(id)?.getActivePrimaryMouseButtonTool() === NAMES[tool]);

/** Sets the brushes: their radius (mm), and from which SUV on one of them paints, given what is shown at SUV 1. */
export function brush(radius: number, fromSuv: number, perSuv: number): void {
  const range = [fromSuv, 1e6].map((suv) => suv * perSuv);
  for (const id of GROUPS) {
    const group = tools().ToolGroupManager.getToolGroup(id);
    if (group) {
      tools().utilities.segmentation.setBrushSizeForToolGroup(id, radius);
      group.setToolConfiguration(NAMES.threshold, { threshold: { range, isDynamic: false } });
    }
  }
}
