/** Which PET and which CT of a study are shown. */

/** What is used of OHIF's display sets. */
export interface Series {
  Modality: string;
  SeriesInstanceUID: string;
  isReconstructable?: boolean;
  /** Several volumes, of a dynamic or gated series. */
  isDynamicVolume?: boolean;
  instances?: readonly Instance[];
}

/** What is used of an image's header. */
export interface Instance {
  FrameOfReferenceUID?: string;
  CorrectedImage?: string | readonly string[];
  RadiopharmaceuticalInformationSequence?: unknown;
  [keyword: string]: unknown;
}

/** Whether the header says that a PET is corrected for attenuation (Corrected Image, 0028,0051). */
export function isAttenuationCorrected(series: Series): boolean {
  const value = series.instances?.[0]?.CorrectedImage ?? [];
  const corrections = typeof value === 'string' ? value.split('\\') : value;
  return corrections.includes('ATTN');
}

/** Whether the pixels of a PET are SUVbw already (Units, 0054,1001; SUV Type, 0054,1006, of body weight where absent). */
export function isStoredAsSuv(series: Series | undefined): boolean {
  const { Units, SUVType } = series?.instances?.[0] ?? {};
  return Units === 'GML' && (SUVType || 'BW') === 'BW';
}

/** The PET: the one that was chosen, else one corrected for attenuation rather than not, then the one with most images. */
export function choosePet<S extends Series>(series: readonly S[], chosen: string | null): S | undefined {
  const pets = series.filter((each) => each.Modality === 'PT' && isOneVolume(each));
  return (
    pets.find((each) => each.SeriesInstanceUID === chosen) ?? best(pets, (each) => Number(isAttenuationCorrected(each)))
  );
}

/** The CT: in the PET's frame of reference, with most images. Another one would not lie on the PET. */
export function chooseCt<S extends Series>(series: readonly S[], pet: S | undefined): S | undefined {
  const frame = pet?.instances?.[0]?.FrameOfReferenceUID;
  return best(
    series.filter(
      (each) =>
        each.Modality === 'CT' &&
        isOneVolume(each) &&
        frame !== undefined &&
        each.instances?.[0]?.FrameOfReferenceUID === frame,
    ),
    () => 0,
  );
}

const isOneVolume = (series: Series): boolean => Boolean(series.isReconstructable) && !series.isDynamicVolume;

function best<S extends Series>(series: readonly S[], rank: (each: S) => number): S | undefined {
  const size = (each: S) => each.instances?.length ?? 0;
  return [...series].sort((a, b) => rank(b) - rank(a) || size(b) - size(a))[0];
}

/** Somatostatin and PSMA tracers by name and trade name, as the server knows them (petlesion/dicom/tracer.py). */
const HOT = new RegExp(
  [
    'psma|dota|dotreotide|octreotate|gozetotide|hbed|piflufolastat|dcf[ _-]*pyl',
    'netspot|detectnet|somakit|illuccix|locametz|gozellix|pylarify|pylclari|radelumin',
  ].join('|'),
);

/** Upper end of the PET window to begin with: somatostatin and PSMA tracers are far hotter than FDG. */
export function windowOfTracer(pet: Series | undefined): number {
  const text = JSON.stringify(pet?.instances?.[0]?.RadiopharmaceuticalInformationSequence ?? '').toLowerCase();
  if (/fdg|fluorodeoxyglucose|fludeoxyglucose/.test(text)) {
    return 5;
  }
  return HOT.test(text) ? 15 : 10;
}
