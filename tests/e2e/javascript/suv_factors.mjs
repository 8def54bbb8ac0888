// Factors to SUVbw of PET images, as the package calculate-suv of OHIF's makers computes them from what dcmjs reads.
//
//   node suv_factors.mjs FILE...    prints one JSON document: {"factors": [...]} or {"refused": "..."}
import { readFileSync } from 'node:fs';
import calculateSuv from '@cornerstonejs/calculate-suv';
import dcmjs from 'dcmjs';

const { DicomMessage, DicomMetaDictionary } = dcmjs.data;
dcmjs.log.setLevel('error');

// The input that its documentation asks for, named as OHIF's viewer names it.
function instance(path) {
    const file = readFileSync(path);
    const dataset = DicomMessage.readFile(file.buffer.slice(file.byteOffset, file.byteOffset + file.length), {
        untilTag: '7FE00010',
        includeUntilTagValue: false,
        ignoreErrors: true, // some reference objects lack the length of their file meta information
    });
    const image = DicomMetaDictionary.naturalizeDataset(dataset.dict);
    const injection = [image.RadiopharmaceuticalInformationSequence].flat()[0];
    const philips = (tag) => Number(dataset.dict[tag]?.Value?.[0]) || undefined;
    return {
        ...image,
        PatientSex: undefined, // only for lean body mass; sex O would be refused
        CorrectedImage: [image.CorrectedImage].flat(),
        RadionuclideTotalDose: injection.RadionuclideTotalDose,
        RadionuclideHalfLife: injection.RadionuclideHalfLife,
        RadiopharmaceuticalStartTime: injection.RadiopharmaceuticalStartTime,
        RadiopharmaceuticalStartDateTime: injection.RadiopharmaceuticalStartDateTime,
        PhilipsPETPrivateGroup: {
            SUVScaleFactor: philips('70531000'),
            ActivityConcentrationScaleFactor: philips('70531009'),
        },
    };
}

const instances = process.argv.slice(2).map(instance);
let result;
try {
    result = { factors: calculateSuv.calculateSUVScalingFactors(instances).map((factor) => factor.suvbw) };
} catch (error) {
    result = { refused: error.message };
}
console.log(JSON.stringify(result));
