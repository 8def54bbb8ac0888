/** The hanging protocol: CT, PET and fused in three directions, and a MIP that rotates. */
import { texts } from './texts';

export const PROTOCOL = 'petlesion.petct';
/** Stage of the protocol for a PET without CT. */
export const PET_STAGE = 'pet';
/** Custom attribute of a display set: 'pet', 'ct' or '', see series.ts. */
export const ROLE = 'petlesionRole';
/** Custom attribute: window of the PET. */
export const PET_WINDOW = 'petlesionPetWindow';

/** Grey with white for no uptake. A colour map, because `voiInverted` came up the wrong way in some loads. */
export const INVERTED_GREY = 'X Ray';
export const FUSED_COLOURS = 'DICOM Hot Iron';
const ORIENTATIONS = ['axial', 'sagittal', 'coronal'] as const;

/** Name of the way in which the images of the layout are loaded, see loading.ts. */
export const PET_FIRST = 'petFirst';

/** Ids of the viewports. */
export const MIP = 'mip';
export const PET_VIEWPORTS = ORIENTATIONS.map((each) => `pet-${each}`);
export const FUSED_VIEWPORTS = ORIENTATIONS.map((each) => `fused-${each}`);

type Orientation = (typeof ORIENTATIONS)[number];

const voiSync = (id: string, source = true, target = true) => ({
  type: 'voi',
  id,
  source,
  target,
  options: { syncColormap: false, syncInvertState: false },
});
const positionSync = (orientation: Orientation) => ({
  type: 'cameraPosition',
  id: `${orientation}Sync`,
  source: true,
  target: true,
});
const window = { custom: PET_WINDOW };
/** Soft tissue. Without it each CT comes in a window of its own where its header names none. */
const ctOptions = { voi: { windowWidth: 400, windowCenter: 40 } };

function slices(orientation: Orientation) {
  const common = { viewportType: 'volume', orientation, initialImageOptions: { preset: 'middle' } };
  const ct = {
    viewportOptions: {
      ...common,
      viewportId: `ct-${orientation}`,
      toolGroupId: 'ctToolGroup',
      syncGroups: [positionSync(orientation), voiSync('ctWindow')],
    },
    displaySets: [{ id: 'ctDisplaySet', options: ctOptions }],
  };
  const pet = {
    viewportOptions: {
      ...common,
      viewportId: `pet-${orientation}`,
      toolGroupId: 'ptToolGroup',
      background: [1, 1, 1],
      syncGroups: [positionSync(orientation), voiSync('petWindow'), voiSync('fusedWindow', true, false)],
    },
    displaySets: [{ id: 'ptDisplaySet', options: { voi: window, colormap: { name: INVERTED_GREY } } }],
  };
  const fused = {
    viewportOptions: {
      ...common,
      viewportId: `fused-${orientation}`,
      toolGroupId: 'fusionToolGroup',
      syncGroups: [
        positionSync(orientation),
        voiSync('ctWindow', false, true),
        voiSync('fusedWindow', false, true)],
    },
    displaySets: [
      { id: 'ctDisplaySet', options: ctOptions },
      { id: 'ptDisplaySet', options: { voi: window, colormap: { name: FUSED_COLOURS, opacity: 0.5 } } },
    ],
  };
  return { ct, pet, fused };
}

const mip = {
  viewportOptions: {
    viewportId: MIP,
    viewportType: 'volume',
    orientation: 'coronal',
    toolGroupId: 'mipToolGroup',
    background: [1, 1, 1],
    syncGroups: [voiSync('petWindow'), voiSync('fusedWindow', true, false)],
    customViewportProps: { hideOverlays: true },
  },
  displaySets: [
    {
      id: 'ptDisplaySet',
      options: { blendMode: 'MIP', slabThickness: 'fullVolume', voi: window, colormap: { name: INVERTED_GREY } },
    },
  ],
};

const selector = (role: string) => ({
  seriesMatchingRules: [{ attribute: ROLE, constraint: { equals: { value: role } }, required: true }],
});

const all = ORIENTATIONS.map(slices);

/** The slices in a grid, three a row, the MIP beside them over the whole height. */
function stage(id: string, name: string, rows: number, viewports: readonly object[]) {
  return {
    name,
    id,
    viewportStructure: {
      layoutType: 'grid',
      properties: {
        rows,
        columns: 4,
        layoutOptions: [
          ...Array.from({ length: 3 * rows }, (_, n) => ({
            x: (n % 3) / 4,
            y: Math.floor(n / 3) / rows,
            width: 1 / 4,
            height: 1 / rows,
          })),
          { x: 3 / 4, y: 0, width: 1 / 4, height: 1 },
        ],
      },
    },
    viewports: [...viewports, mip],
  };
}

/** CT above PET above fused; the PET alone where it has no CT. */
export const protocol = {
  id: PROTOCOL,
  name: 'PET/CT',
  locked: true,
  availableTo: {},
  editableBy: {},
  imageLoadStrategy: PET_FIRST,
  protocolMatchingRules: [{ attribute: 'ModalitiesInStudy', constraint: { contains: ['PT'] } }],
  displaySetSelectors: { ctDisplaySet: selector('ct'), ptDisplaySet: selector('pet') },
  stages: [
    stage('all', texts.layout, 3, [
      ...all.map((each) => each.ct),
      ...all.map((each) => each.pet),
      ...all.map((each) => each.fused),
    ]),
    stage(PET_STAGE, texts.petLayout, 1, all.map((each) => each.pet)),
  ],
  numberOfPriorsReferenced: -1,
};
