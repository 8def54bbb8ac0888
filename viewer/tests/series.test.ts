import { describe, expect, it } from 'vitest';
import { type Series, chooseCt, choosePet, isAttenuationCorrected, isStoredAsSuv, windowOfTracer } from '../src/series';

function series(Modality: string, uid: string, header: object = {}, images = 1, isReconstructable = true): Series {
  const instance = { FrameOfReferenceUID: 'frame', ...header };
  return { Modality, SeriesInstanceUID: uid, isReconstructable, instances: Array(images).fill(instance) };
}

const corrected = { CorrectedImage: ['DECY', 'ATTN', 'SCAT'] };

describe('the PET that is shown', () => {
  it('is the one corrected for attenuation, though the other has more images', () => {
    expect(choosePet([series('PT', 'nac', {}, 9), series('PT', 'ac', corrected, 5)], null)?.SeriesInstanceUID).toBe('ac');
  });

  it('is the one with most images of two that are corrected', () => {
    const both = [series('PT', 'head', corrected, 5), series('PT', 'body', corrected, 9)];
    expect(choosePet(both, null)?.SeriesInstanceUID).toBe('body');
  });

  it('is the one that was chosen, where the study has it', () => {
    const pets = [series('PT', 'head', corrected, 5), series('PT', 'body', corrected, 9), series('CT', 'ct')];
    expect(choosePet(pets, 'head')?.SeriesInstanceUID).toBe('head');
    expect(choosePet(pets, 'ct')?.SeriesInstanceUID).toBe('body');
    expect(choosePet(pets, 'of another study')?.SeriesInstanceUID).toBe('body');
  });

  it('is one without correction where there is no other', () => {
    expect(choosePet([series('CT', 'ct'), series('PT', 'nac')], null)?.SeriesInstanceUID).toBe('nac');
  });

  it('is no series that is not a volume', () => {
    expect(choosePet([series('PT', 'mip', corrected, 9, false)], null)).toBeUndefined();
  });

  it('is the static one, though the other has more images', () => {
    const dynamic = { ...series('PT', 'dynamic', corrected, 90), isDynamicVolume: true };
    const pets = [series('PT', 'static', corrected, 5), dynamic];
    expect(choosePet(pets, null)?.SeriesInstanceUID).toBe('static');
    expect(choosePet([dynamic], 'dynamic')).toBeUndefined();
  });

  it('is stored as SUV where its units say so, by the body weight unless another type is named', () => {
    expect(isStoredAsSuv(series('PT', 'a', { Units: 'GML' }))).toBe(true);
    expect(isStoredAsSuv(series('PT', 'a', { Units: 'GML', SUVType: 'BW' }))).toBe(true);
    expect(isStoredAsSuv(series('PT', 'a', { Units: 'GML', SUVType: 'LBM' }))).toBe(false);
    expect(isStoredAsSuv(series('PT', 'a', { Units: 'BQML' }))).toBe(false);
    expect(isStoredAsSuv(undefined)).toBe(false);
  });

  it('reads corrections from one text as well as from a list', () => {
    expect(isAttenuationCorrected(series('PT', 'a', { CorrectedImage: 'DECY\\ATTN' }))).toBe(true);
    expect(isAttenuationCorrected(series('PT', 'a', { CorrectedImage: 'DECY\\NATTN' }))).toBe(false);
  });
});

describe('the CT that is shown', () => {
  const pet = series('PT', 'pet', corrected);

  it('lies in the frame of reference of the PET, though another has more images', () => {
    const cts = [series('CT', 'diagnostic', { FrameOfReferenceUID: 'other' }, 9), series('CT', 'ct', {}, 5)];
    expect(chooseCt(cts, pet)?.SeriesInstanceUID).toBe('ct');
  });

  it('is none where no frame of reference is the same, or known', () => {
    expect(chooseCt([series('CT', 'ct', { FrameOfReferenceUID: 'other' })], pet)).toBeUndefined();
    const unknown = { FrameOfReferenceUID: undefined };
    expect(chooseCt([series('CT', 'ct', unknown)], series('PT', 'pet', unknown))).toBeUndefined();
  });
});

describe('the window to begin with', () => {
  const upper = (Radiopharmaceutical: string) =>
    windowOfTracer(series('PT', 'pet', { RadiopharmaceuticalInformationSequence: [{ Radiopharmaceutical }] }));

  it('follows the tracer', () => {
    expect(upper('FDG -- fluorodeoxyglucose')).toBe(5);
    expect(upper('Ga-68 DOTATATE')).toBe(15);
    expect(upper('F-18 PSMA-1007')).toBe(15);
    for (const name of ['Ga-68 edotreotide', 'oxodotreotide', 'NETSPOT', 'Locametz', 'F18 DCF-PyL', 'Ga-68 HBED-CC']) {
      expect(upper(name), name).toBe(15);
    }
    expect(upper('NaF')).toBe(10);
    expect(windowOfTracer(undefined)).toBe(10);
  });
});
