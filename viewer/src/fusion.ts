/**
 * The PET over the CT, in DICOM's colours, and as opaque as it is meant: cornerstone dilutes it in slices that are
 * thinner than a ray's step.
 */
import { type Any, type Ohif, core } from './ohif';
import { FUSED_COLOURS, FUSED_VIEWPORTS } from './protocol';

/** DICOM's Hot Iron palette (PS3.6, B.1.1): value, red, green, blue. The one of OHIF begins blue. */
const HOT_IRON = [
  [0, 0, 0, 0],
  [0.5, 1, 0, 0],
  [0.75, 1, 0.5, 0],
  [1, 1, 1, 1],
];

export function registerColours(): void {
  core().utilities.colormap.registerColormap({ Name: FUSED_COLOURS, ColorSpace: 'RGB', RGBPoints: HOT_IRON.flat() });
}

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
