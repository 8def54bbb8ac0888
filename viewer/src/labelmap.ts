/** The label map that OHIF shows and its tools draw on: on the grid of the PET, one value a lesion. */
import { type Edit, type Map3, apply, extent } from './edits';
import { type Plane, reach, sameVoxels, stack } from './geometry';
import { type Geometry, type LabelImage, type Vector, encode } from './nrrd';
import { type Any, type Ohif, core, tools } from './ohif';
import { MIP } from './protocol';
import { texts } from './texts';

/** Colours that colour-blind readers tell apart, on white, grey and hot iron (Okabe and Ito 2008). */
export const COLOURS: readonly (readonly [number, number, number])[] = [
  [230, 159, 0],
  [86, 180, 233],
  [0, 158, 115],
  [213, 94, 0],
  [0, 114, 178],
  [204, 121, 167],
  [240, 228, 66],
];
export const colourOf = (value: number) => COLOURS[(value - 1) % COLOURS.length]!;
/** Outlines, so that the uptake stays visible. */
const STYLE = { renderFill: true, fillAlpha: 0.15, renderOutline: true, outlineWidth: 2, outlineOpacity: 1 };
const ID = 'petlesion';

export class Labelmap implements Map3 {
  readonly slices: readonly Uint8Array[];
  readonly columns: number;
  readonly rows: number;
  /** Set while the map itself tells cornerstone of a change. */
  private silent = false;
  private showing = false;
  /** The copy of the map in the MIP that was last written here. */
  private projected: Any;
  /** Index of the colours, as cornerstone keeps them. */
  private readonly colours: number;

  private constructor(
    private readonly ohif: Ohif,
    private readonly geometry: Geometry,
    private readonly images: readonly Any[],
  ) {
    this.slices = images.map((image) => image.voxelManager.getScalarData());
    [this.columns, this.rows] = geometry.size;
    const lut = [[0, 0, 0, 0], ...Array.from({ length: 255 }, (_, n) => [...colourOf(n + 1), 255])];
    this.colours = tools().segmentation.config.color.addColorLUT(lut);
  }

  /** Makes an empty map on a PET, and shows it in all viewports. */
  static async create(ohif: Ohif, pet: Any): Promise<Labelmap> {
    const { segmentationService, cornerstoneViewportService, viewportGridService } = ohif.servicesManager.services;
    // Cornerstone adds the others as they are drawn; all 255 from the start cost seconds.
    const segments = { 1: { label: '1', segmentIndex: 1, active: true } };
    await segmentationService.createLabelmapForDisplaySet(pet, { segmentationId: ID, label: texts.panel, segments });
    const { imageIds } = tools().segmentation.state.getSegmentation(ID).representationData.Labelmap;
    const images = (imageIds as string[]).map((id) => core().cache.getImage(id));
    const { geometry, order } = stack(images.map((image) => planeOf(image.referencedImageId)));
    const map = new Labelmap(ohif, geometry, order.map((n) => images[n]));
    const { style } = tools().segmentation.config;
    style.setStyle({ type: 'Labelmap' }, STYLE);
    for (const viewportId of viewportGridService.getState().viewports.keys()) {
      if (cornerstoneViewportService.getCornerstoneViewport(viewportId)) {
        await map.display(viewportId); // one after the other: all at once, cornerstone shows it in the first alone
      }
    }
    // The MIP draws outlines alone, with the opacity of what they enclose. Not before its map is there: OHIF would then
    // leave the other viewports as they were.
    style.setStyle({ viewportId: MIP, segmentationId: ID, type: 'Labelmap' }, { ...STYLE, fillAlpha: 1 });
    return map;
  }

  /** Shows the map in a viewport, in its colours. */
  async display(viewportId: string): Promise<void> {
    const blendMode = core().Enums.BlendModes.LABELMAP_EDGE_PROJECTION_BLEND;
    await this.ohif.servicesManager.services.segmentationService.addSegmentationRepresentation(viewportId, {
      segmentationId: ID,
      ...(viewportId === MIP ? { config: { blendMode } } : {}),
    });
    tools().segmentation.config.color.setColorLUT(viewportId, ID, this.colours);
  }

  /**
   * Lets the MIP project the whole map, in its colours: cornerstone cuts it to a slice unless it is told again once it is
   * drawn, and copies it in its own way.
   */
  projectWhole(): () => void {
    const listener = (event: Any) => {
      const mip = this.mip();
      const thickness = mip?.getSlabThickness();
      if (event.detail?.viewportId !== MIP) {
        return;
      }
      const cut = mip.getActors().some((actor: Any) => actor.slabThickness !== thickness);
      if (cut) {
        mip.setSlabThickness(thickness);
      }
      const copied = this.copy() !== this.projected;
      if (copied) {
        this.project();
      }
      if (cut || copied) {
        mip.render();
      }
    };
    const name = tools().Enums.Events.SEGMENTATION_RENDERED;
    core().eventTarget.addEventListener(name, listener);
    return () => core().eventTarget.removeEventListener(name, listener);
  }

  /**
   * Copies the map into what the MIP shows. Cornerstone draws both as one volume of two components, a copy; it renews
   * the copy only of maps that are volumes, which OHIF's are not. It draws the MIP anew by itself, a little later. Values
   * lie half way to the next: its shader cuts what follows the point, and 3 may have become 2.999.
   */
  private project(): void {
    const mip = this.mip();
    const array = this.copy();
    this.projected = array;
    if (!array) {
      return;
    }
    const data: Float32Array = array.getData();
    const slices: string[] = core().cache.getVolume(mip.getVolumeId()).imageIds;
    const size = this.columns * this.rows;
    this.images.forEach((image, n) => {
      const voxels = this.slices[n]!;
      const start = slices.indexOf(image.referencedImageId) * size;
      for (let index = 0; index < size; index++) {
        data[2 * (start + index) + 1] = voxels[index] && voxels[index] + 0.5;
      }
    });
    array.setData(data);
    mip.getActors()[0].actor.getMapper().getInputData().modified();
  }

  /** The copy, once cornerstone has made it, which may be after the map was drawn on. */
  private copy(): Any {
    const array = this.mip()?.getActors()[0]?.actor.getMapper().getInputData()?.getPointData().getArray(0);
    return array?.getNumberOfComponents() === 2 ? array : undefined;
  }

  private mip(): Any {
    return this.ohif.servicesManager.services.cornerstoneViewportService.getCornerstoneViewport(MIP);
  }

  /** Calls back after each change by one of OHIF's tools. */
  onDrawn(drawn: () => void): () => void {
    const listener = (event: Any) => {
      if (event.detail?.segmentationId === ID && !this.silent) {
        drawn();
      }
    };
    const name = tools().Enums.Events.SEGMENTATION_DATA_MODIFIED;
    core().eventTarget.addEventListener(name, listener);
    return () => core().eventTarget.removeEventListener(name, listener);
  }

  /** Makes a change that undo takes back, in one row with those of OHIF's tools. */
  change(edit: Edit, changed: () => void): void {
    const write = (forward: boolean) => {
      apply(this, edit, forward);
      changed();
      this.show();
    };
    core().utilities.HistoryMemo.DefaultHistoryMemo.push({
      id: ID,
      operationType: 'labelmap',
      restoreMemo: (undo: boolean) => write(!undo),
    });
    write(true);
  }

  /** Lets all viewports show the voxels as they are, in the frame after the next: the list of lesions goes first. */
  show(): void {
    if (!this.showing) {
      this.showing = true;
      requestAnimationFrame(() => window.setTimeout(this.draw));
    }
  }

  private draw = (): void => {
    this.showing = false;
    this.silent = true;
    tools().segmentation.triggerSegmentationEvents.triggerSegmentationDataModified(ID);
    this.silent = false;
    this.project();
  };

  /** The lesion that OHIF's tools draw. */
  activate(value: number): void {
    tools().segmentation.segmentIndex.setActiveSegmentIndex(ID, value);
  }

  /** Value of a label of the server at each of our voxels, and which of our slices may hold any. */
  reader(label: LabelImage): { value: (slice: number, index: number) => number; holds: (slice: number) => boolean } {
    const at = sameVoxels(label, this.geometry);
    const [first, end] = extent(label.voxels);
    return {
      value: (slice, index) => label.voxels[at(index % this.columns, Math.floor(index / this.columns), slice)]!,
      holds: (slice) => {
        const [lowest, highest] = reach(at, this.geometry, slice);
        return lowest < end && highest >= first;
      },
    };
  }

  /** As a file for the server. */
  encode(): Promise<Blob> {
    return encode(this.geometry, this.slices);
  }

  /** World point of a lesion's voxel that is nearest to a point. */
  nearest(value: number, world: Vector): Vector {
    let best: Vector = world;
    let least = Infinity;
    const [x, y, z] = this.geometry.axes;
    this.slices.forEach((voxels, slice) => {
      for (let index = voxels.indexOf(value); index >= 0; index = voxels.indexOf(value, index + 1)) {
        const [i, j] = [index % this.columns, Math.floor(index / this.columns)];
        const point = this.geometry.origin.map(
          (origin, n) => origin + i * x[n]! + j * y[n]! + slice * z[n]!,
        ) as Vector;
        const distance = point.reduce((sum, p, n) => sum + (p - world[n]!) ** 2, 0);
        if (distance < least) {
          [best, least] = [point, distance];
        }
      }
    });
    return best;
  }
}

/** A file that says "no lesion" of a PET whose images may still be on their way. */
export function encodeEmpty(pet: Any): Promise<Blob> {
  const { geometry } = stack((pet.imageIds as string[]).map(planeOf));
  const [columns, rows, slices] = geometry.size;
  return encode(geometry, Array<Uint8Array>(slices).fill(new Uint8Array(columns * rows)));
}

/** Where an image lies, as its header says. */
function planeOf(imageId: string): Plane {
  const plane = core().metaData.get('imagePlaneModule', imageId);
  return {
    position: [...plane.imagePositionPatient] as Vector,
    row: [...plane.rowCosines] as Vector,
    column: [...plane.columnCosines] as Vector,
    spacing: [plane.columnPixelSpacing, plane.rowPixelSpacing],
    columns: plane.columns,
    rows: plane.rows,
  };
}
