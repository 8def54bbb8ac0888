/** All that annotators read, in English. */
const ml = (value: number) => `${value.toFixed(value < 10 ? 2 : 1)} mL`;

export const texts = {
  mode: 'PET lesions',
  layout: 'CT, PET, fused and MIP',
  petLayout: 'PET and MIP',
  panel: 'Lesions',
  research: 'Research software, not a medical device.',

  opening: 'Opening the case',
  left: 'the case was left',
  away: 'The annotation server does not answer. Your lesions are safe in this window; do not close it.',
  retry: 'Try again',
  dismiss: 'Close',
  refused: (status: number) => `The server refused the request (${status}).`,
  mipFollows: 'MIP follows the PET',
  noPet: 'This study has no PET that can be annotated.',
  noSuv: 'No SUV for this PET in the viewer: it is shown in the units of its pixels (mostly Bq/mL), without SUV brush and presets.',
  otherSuv: (shown: number) =>
    `OHIF shows ${shown.toLocaleString('en', { maximumSignificantDigits: 3 })} where the SUV of this PET is 1. ` +
    'The list, SUV brush and presets go by the SUV; numbers that OHIF itself shows, as under the cursor, do not.',
  suvNotCompared: 'The factor to SUV differs between slices: whether OHIF shows the same SUV as the list is not known.',
  imagesMissing: (count: number, modality: string) => {
    const series = modality === 'PT' ? 'PET' : modality;
    return `${count} image${count === 1 ? '' : 's'} of the ${series} did not arrive: load the page again.`;
  },
  notLoaded: (share: number) => `The PET is loading: ${Math.round(100 * share)} %`,
  heldBy: (who: string, until: string) => `${who || 'Somebody else'} has this case until ${until}. You may look; agree before you submit.`,
  failed: (asked: string, reason: string) => `${asked} did not work: ${reason}`,
  follows: (asked: string) => `${asked}: follows once the server answers.`,
  notDone: (asked: string) => `${asked}: not done.`,

  you: 'Your name',
  nameAsk: 'Not submitted yet: enter your name, with which the label is signed, and submit again (or submit again without).',
  status: (done: number, all: number) => `${done} of ${all} cases labelled`,
  training: (stage: string, done: number, total: number) => `training: ${stage}${total ? ` ${done} of ${total}` : ''}`,
  timeLeft: (minutes: number) => `about ${minutes} min left`,
  inService: (version: number) => `model version ${version}`,
  noNetwork: 'no network in service yet',

  label: {
    otherGrid: 'the label of the server lies on another grid than the PET',
    noNrrd: 'the label of the server is no NRRD file',
    noGeometry: 'the label of the server has no geometry',
    otherSize: (voxels: number, size: string) => `the label of the server has ${voxels} voxels rather than ${size}`,
    tooLarge: (number: number, most: number) =>
      `the label of the server has a lesion number ${number}: number them from 1 on, at most ${most}`,
  },

  models: 'Find lesions',
  model: 'Model',
  options: 'Options',
  run: 'Run',
  replace: 'Running a model replaces the lesions drawn so far. Go on? (Undo brings them back.)',
  found: (count: number, model: string) => `${model}: ${count} lesion${count === 1 ? '' : 's'}.`,
  asOne: 'No more than 255 can be told apart: those from 255 on are one lesion in the list.',
  reference: (organ: string, mean: number | null, threshold: number, cut: boolean) => {
    const uptake = mean === null ? 'no reference organ' : `${organ}: mean SUV ${mean.toFixed(2)}`;
    const suv = `threshold ${threshold.toFixed(2)}`;
    return cut ? `${uptake}, ${suv}` : `${uptake} (${suv}: these lesions do not end there)`;
  },
  tracer: 'tracer',
  tracerRead: (name: string) => `${name} (image)`,
  tracerAsk: 'tracer not known: choose',
  tracerUnknown: 'The image does not say which tracer this is. Reference, threshold and network go by it.',
  option: {
    min_volume_ml: 'minimum volume (mL)',
    split_touching: 'split lesions that touch',
    suv: 'SUV',
    fraction: 'fraction of maximum',
    incremental: 'incremental',
    device: 'runs on',
    refine: 'redraw at the threshold',
    mirror: 'average with mirror image',
    boundary: 'boundary',
  } as Record<string, string>,
  /** Measured in docs/results.md, "Post-processing". */
  optionHint: {
    refine: 'Removed false volume with 68Ga-DOTATATE and PSMA where it was measured, and half of the lesions with 64Cu-DOTATATE.',
    mirror: 'Takes twice the time, and made it worse where it was measured: the body is not symmetric.',
  } as Record<string, string>,

  edit: 'Edit',
  tool: {
    window: 'Window',
    click: 'Click',
    brush: 'Brush',
    threshold: 'SUV brush',
    eraser: 'Eraser',
    scissors: 'Scissors',
    sphere: 'Sphere',
    reference: 'Reference',
  },
  hint: {
    window: 'Drag: window. Wheel: slices. Click on the MIP: go there.',
    click: 'Click into a hot spot: a lesion grows there by the chosen boundary.',
    brush: 'Paint the chosen lesion, or a new one.',
    threshold: 'Paint on the PET: only voxels from the SUV on become lesion.',
    eraser: 'Paint to remove.',
    scissors: 'Drag a circle: what is inside becomes lesion, in this slice.',
    sphere: 'Drag a sphere: what is inside becomes lesion.',
    reference: 'Click into normal liver: a sphere of 3 cm there gives the threshold. Spheres can be dragged, too.',
  },
  brushSize: 'size (mm)',
  from: 'from SUV',
  undo: 'Undo',
  redo: 'Redo',
  fresh: 'New lesion',
  remove: 'Delete',
  merge: 'Merge',
  split: 'Split',
  relabel: 'Renumber',
  tick: 'Tick',
  placed: 'Your reference is used from now on: run the model again for its threshold.',
  unplace: 'Automatic reference',
  unplaceHint: 'Forget your reference: models look for it by themselves again.',
  unplaced: 'Models look for the reference by themselves again: run the model again for its threshold.',
  nothingToSplit: 'This lesion is in one piece.',
  nothingThere: 'Nothing to add there: it is a lesion already, or no uptake stands out.',
  full: 'There are 255 lesions; no more can be told apart.',

  columns: {
    number: 'No',
    volume: 'mL',
    suvMax: 'SUV max',
    suvMean: 'SUV mean',
    suvPeak: 'SUV peak',
    location: 'where',
    confidence: 'voxel prob.',
  },
  columnHint: {
    number: 'number and colour of the lesion',
    volume: 'volume, mL',
    suvMax: 'SUV of the hottest voxel',
    suvMean: 'mean SUV',
    suvPeak: 'largest mean SUV of a sphere of 1 cm³ around a voxel of the lesion',
    location: 'where the lesion lies, as the model sees it',
    confidence: 'mean of the probabilities that the network gives its voxels: not how probable it is that the lesion is malignant',
  },
  none: 'No lesion.',
  totals: (count: number, volume: number, uptake: number, fdg: boolean) =>
    `${count} lesion${count === 1 ? '' : 's'}, ${ml(volume)}, ${fdg ? 'TLG' : 'TLU'} ${uptake.toFixed(1)} g`,
  totalsHint: (fdg: boolean) =>
    `${fdg ? 'TLG, total lesion glycolysis' : 'TLU, total lesion uptake'}: mean SUV × volume, summed over the lesions`,
  measuring: 'measuring …',
  measure: 'Measuring',

  view: 'View',
  preset: (upper: number) => `0–${upper}`,
  opacity: 'PET over CT',

  case: 'Case',
  comment: 'Comment',
  draft: 'Save draft',
  submit: 'Submit',
  noLesion: 'No lesion',
  noLesionAsk: (drawn: boolean) =>
    `Submit that this study shows no lesion?${drawn ? ' The lesions drawn so far are deleted. (Undo brings them back.)' : ''}`,
  noLesionOver: 'Lesions were drawn meanwhile: “No lesion” was not submitted.',
  next: 'Next case',
  nextBecause: (reason: string) => `This case was chosen: ${reason}`,
  noNext: 'All cases are labelled or in the hands of others.',
  keep: 'There are changes that are neither submitted nor saved as a draft. Save them as a draft?',
  lose: 'Go on to the next case without saving? The changes of this one are lost.',
  keepAgain: 'The draft could not be saved. Try again? Otherwise the changes are lost.',
  unsavedMark: 'not saved',
  emptySubmit: 'There is no lesion: press “No lesion” to say so.',
  submitted: (version?: number) => (version ? `Submitted, version ${version}.` : 'Submitted.'),
  drafted: 'Draft saved.',
  continued: (tag: string, who: string) =>
    `Continues from the ${tag === 'final' ? 'submitted label' : tag === 'draft' ? 'draft' : 'stored pre-label'}${who ? ` of ${who}` : ''}.`,

  shortcuts: 'Keys',
  keys: [
    ['W C B T E S', 'window, click, brush, SUV brush, eraser, scissors'],
    ['O', 'sphere'],
    ['L', 'reference in the liver'],
    ['[ ]', 'smaller, larger brush'],
    ['↑ ↓ or N P', 'next, previous lesion'],
    ['Delete or X', 'delete the lesion; all marked ones where it is one of them'],
    ['A', 'new lesion'],
    ['M', 'merge the marked lesions'],
    ['Ctrl+Z, Ctrl+Y', 'undo, redo'],
    ['1 2 3 4', 'window SUV 0–5, 0–10, 0–15, 0–30'],
    ['Ctrl+S', 'save draft'],
    ['Ctrl+Enter', 'submit'],
  ] as const,
};
