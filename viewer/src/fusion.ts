/** Opacity of the PET over the CT as it is meant: cornerstone dilutes it in slices that are thinner than a ray's step. */
import type { Any, Ohif } from './ohif';
import { FUSED_VIEWPORTS } from './protocol';

/** Steps of a ray in a slice as thick as its step, by what is left of the CT: vtk.js begins and ends with one more. */
const STEPS = 2.4;

/** Makes a ray's step as long as the slice is thick, and lets all its steps together have the opacity. */
export function keepOpacity({ servicesManager }: Ohif): void {
  for (const id of FUSED_VIEWPORTS) {
    const viewport: Any = servicesManager.services.cornerstoneViewportService.getCornerstoneViewport(id);
    for (const { actor } of viewport?.getActors() ?? []) {
      const step = viewport.getSlabThickness();
      actor.getMapper().setSampleDistance?.(step);
      actor.getProperty().setScalarOpacityUnitDistance(0, STEPS * step);
    }
    viewport?.render();
  }
}
