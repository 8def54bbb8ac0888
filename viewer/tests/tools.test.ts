import { expect, it, vi } from 'vitest';
import { activate, isInHand } from '../src/tools';

/** A tool group as cornerstone has it: a primary tool, and whoever sets one has all viewports drawn. */
function group(primary: string) {
  const draws = vi.fn();
  return {
    draws,
    hasTool: () => true,
    getActivePrimaryMouseButtonTool: () => primary,
    setToolPassive: draws,
    setToolActive: (name: string) => {
      primary = name;
      draws();
    },
  };
}

it('a tool that the left button has already draws nothing anew, and one that OHIF gave it is none of ours', () => {
  const all = group('WindowLevel');
  const cornerstoneTools = { Enums: { MouseBindings: {} }, ToolGroupManager: { getToolGroup: () => all } };
  vi.stubGlobal('window', { cornerstoneTools });
  activate('click');
  expect(all.draws).not.toHaveBeenCalled();
  expect(isInHand('click')).toBe(true);
  all.setToolActive('Crosshairs');
  expect(isInHand('click')).toBe(false);
  activate('click');
  expect(isInHand('click')).toBe(true);
  vi.unstubAllGlobals();
});
