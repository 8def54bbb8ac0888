/**
 * The PET over the CT, in DICOM's colours, and as opaque as it is meant: cornerstone dilutes it in slices that are
 * thinner than a ray's step.
 */
import { isImage } from './loading';
import { type Any, core } from './ohif';
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

/**
 * Makes a ray's step in fused viewports as long as the slice is thick, and lets all its steps together have the opacity;
 * again whenever OHIF has undone it, as while a study comes up and for another layout. Ends when it is called back.
 */
export function keepOpacity(): () => void {
  const keep = ({ detail }: Any) => {
    if (!FUSED_VIEWPORTS.includes(detail?.viewportId)) {
      return;
    }
    const { viewport } = core().getEnabledElementByViewportId(detail.viewportId);
    const step = viewport.getSlabThickness();
    const images = viewport.getActors().filter(({ referencedId }: Any) => isImage(referencedId));
    const others = images.filter(({ actor }: Any) => actor.getMapper().getSampleDistance?.() !== step);
    for (const { actor } of others) {
      const properties = actor.getProperty();
      actor.getMapper().setSampleDistance(step);
      properties.setScalarOpacityUnitDistance(0, STEPS * step);
      properties.getScalarOpacity(0).modified(); // vtk.js draws by the former steps until this function changes
    }
    if (others.length) {
      viewport.render();
    }
  };
  const { IMAGE_RENDERED } = core().Enums.Events;
  // It is told to the element of the viewport alone.
  document.addEventListener(IMAGE_RENDERED, keep, { capture: true });
  return () => document.removeEventListener(IMAGE_RENDERED, keep, { capture: true });
}
