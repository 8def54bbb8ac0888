// What dcmjs, the DICOM library of OHIF, reads of a derived object.
//
//   node read_object.mjs FILE    prints one JSON document
import { readFileSync } from 'node:fs';
import dcmjs from 'dcmjs';

const { DicomMessage, DicomMetaDictionary, BitArray } = dcmjs.data;
dcmjs.log.setLevel('error');

const list = (value) => (value === undefined ? [] : [value].flat());
const code = (sequence) => list(sequence)[0]?.CodeValue;

// Segment number to number of voxels, from the bits of all frames.
function voxels(image) {
    const bits = BitArray.unpack(list(image.PixelData)[0]);
    const size = image.Rows * image.Columns;
    const counts = {};
    list(image.PerFrameFunctionalGroupsSequence).forEach((frame, index) => {
        const number = list(frame.SegmentIdentificationSequence)[0].ReferencedSegmentNumber;
        const inside = bits.slice(index * size, (index + 1) * size).filter(Boolean).length;
        counts[number] = (counts[number] ?? 0) + inside;
    });
    return counts;
}

// Measurement groups of a TID 1500 report: tracking UID and numbers by the code of their concept.
function groups(container) {
    return list(container.ContentSequence).flatMap((item) => {
        const children = list(item.ContentSequence);
        const tracking = children.find((child) => code(child.ConceptNameCodeSequence) === '112040');
        if (!tracking) return groups(item);
        const numbers = children
            .filter((child) => child.ValueType === 'NUM')
            .map((child) => [
                [child.ConceptNameCodeSequence, ...list(child.ContentSequence).map((one) => one.ConceptCodeSequence)]
                    .map(code)
                    .filter(Boolean)
                    .join(' '),
                Number(list(child.MeasuredValueSequence)[0].NumericValue),
            ]);
        return [{ tracking_uid: tracking.UID, numbers }];
    });
}

const file = readFileSync(process.argv[2]);
const dataset = DicomMessage.readFile(file.buffer.slice(file.byteOffset, file.byteOffset + file.length));
const object = DicomMetaDictionary.naturalizeDataset(dataset.dict);
const document = { modality: object.Modality };
if (object.Modality === 'SEG') document.voxels = voxels(object);
if (object.Modality === 'SR') {
    document.template = list(object.ContentTemplateSequence)[0].TemplateIdentifier;
    document.groups = groups(object);
}
if (object.Modality === 'RTSTRUCT') {
    document.regions = list(object.StructureSetROISequence).map((region) => region.ROIName);
    document.contours = list(object.ROIContourSequence).map((region) => list(region.ContourSequence).length);
}
console.log(JSON.stringify(document));
