"""SUV of digital reference objects, of headers of real scanners, and of an unprocessed whole-body PET.

Sources and licences: ../shared/data/README.md. Objects that the reference set has and the folder has not are made from
the baseline object by changing its header.
"""

from __future__ import annotations

import copy
import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from pydicom.tag import Tag
from skimage.draw import polygon2mask

from petlesion.dicom.attributes import number
from petlesion.dicom.body_measures import suv_scale_factor
from petlesion.dicom.decay import average_count_rate_time_s
from petlesion.dicom.suv import SuvConversion, suv_conversion
from petlesion.dicom.suv_overrides import SuvOverrides
from petlesion.dicom.tracer import identify_tracer
from petlesion.errors import SuvError
from petlesion.suv_scale import SuvScale
from petlesion.tracers import TracerName

HALF_LIFE = 6586.2
OBJECTS = ("0_0", "1_0", "2_0", "2_1", "2_4", "3_1", "3_3", "4_1", "5_0")

ReadObject = Callable[[str], list[Dataset]]


@pytest.fixture(scope="module")
def read_object(shared_data: Path) -> ReadObject:
    """Function that gives fresh copies of the slices of a reference object, by increasing z."""
    cache: dict[str, list[Dataset]] = {}

    def read(name: str) -> list[Dataset]:
        if name not in cache:
            slices = [dcmread(path) for path in (shared_data / "suv_dro" / f"DRO_{name}" / "PT").iterdir()]
            cache[name] = sorted(slices, key=lambda each: float(each.ImagePositionPatient[2]))
        return copy.deepcopy(cache[name])

    return read


@pytest.fixture(scope="module")
def mask(shared_data: Path) -> NDArray[np.bool_]:
    """(z, y, x) mask of the baseline object; the file is (x, y, z)."""
    image = nibabel.load(shared_data / "suv_dro" / "DRO_0_0" / "mask" / "DRO_mask.nii.gz")
    return np.asarray(image.dataobj).T > 0


def suv_of(slices: list[Dataset], conversion: SuvConversion) -> NDArray[np.float64]:
    """(z, y, x) SUVbw."""
    return np.stack(
        [
            each.pixel_array * float(each.RescaleSlope) * factor
            for each, factor in zip(slices, conversion.factors, strict=True)
        ]
    )


def assert_reference(slices: list[Dataset], mask: NDArray[np.bool_], decimals: int = 2) -> SuvConversion:
    """Assert that SUVbw in the mask is 0.20, 1.00 and 4.00 to the given decimals."""
    conversion = suv_conversion(slices)
    inside = suv_of(slices, conversion)[mask]
    measured = np.array([inside.min(), np.median(inside), inside.max()])
    assert np.round(measured, decimals) == pytest.approx([0.2, 1.0, 4.0]), measured
    return conversion


@pytest.mark.parametrize("name", OBJECTS)
def test_reference_objects(read_object: ReadObject, shared_data: Path, name: str) -> None:
    image = nibabel.load(shared_data / "suv_dro" / f"DRO_{name}" / "mask" / "DRO_mask.nii.gz")
    assert_reference(read_object(name), np.asarray(image.dataobj).T > 0)


def test_tracers_of_reference_objects(read_object: ReadObject) -> None:
    assert identify_tracer(read_object("0_0")[0]).tracer.name is TracerName.F18_FDG
    assert identify_tracer(read_object("5_0")[0]).tracer.name is TracerName.GA68_PSMA11


def scale_stored(slices: list[Dataset], factor: float) -> None:
    """Multiply the values that the slices stand for."""
    for each in slices:
        each.RescaleSlope = float(f"{float(each.RescaleSlope) * factor:.10g}")


def set_all(slices: list[Dataset], **attributes: Any) -> None:
    for each in slices:
        for keyword, value in attributes.items():
            target = each.RadiopharmaceuticalInformationSequence[0] if keyword.startswith("Radio") else each
            setattr(target, keyword, value)


@pytest.mark.parametrize("sex", ["M", "F", "O"])
@pytest.mark.parametrize(
    ("suv_type", "scale"),
    [
        ("LBM", SuvScale.LBM_MORGAN),
        ("LBMJAMES128", SuvScale.LBM_JAMES),
        ("LBMJANMA", SuvScale.LBM_JANMAHASATIAN),
        ("IBW", SuvScale.IBW),
    ],
)
def test_suv_by_lean_or_ideal_mass(
    read_object: ReadObject, mask: NDArray[np.bool_], suv_type: str, scale: SuvScale, sex: str
) -> None:
    slices = read_object("2_0")
    set_all(slices, SUVType=suv_type, PatientSex=sex)
    scale_stored(slices, suv_scale_factor(scale, 70, 1.75, sex))
    assert_reference(slices, mask)


def test_suv_by_body_surface(read_object: ReadObject, mask: NDArray[np.bool_]) -> None:
    slices = read_object("2_0")
    set_all(slices, Units="CM2ML", SUVType="BSA")
    scale_stored(slices, 0.007184 * 175**0.725 * 70**0.425 * 1e4 / 70_000)
    assert_reference(slices, mask)


@pytest.mark.parametrize("creator", ["", "Philips PET Private Group"])
def test_activity_factor_of_philips(read_object: ReadObject, mask: NDArray[np.bool_], creator: str) -> None:
    slices = read_object("0_0")
    set_all(slices, Units="CNTS", Manufacturer="Philips Medical Systems")
    scale_stored(slices, 1 / 2.5)
    for each in slices:
        if creator:
            each.add_new(Tag(0x7053, 0x10), "LO", creator)
        each.add_new(Tag(0x7053, 0x1000), "UN", b"0.0 ")
        each.add_new(Tag(0x7053, 0x1009), "UN", b"2.5 ")
    assert_reference(slices, mask)


def test_weight_in_grams_and_dose_in_megabecquerel(read_object: ReadObject, mask: NDArray[np.bool_]) -> None:
    slices = read_object("0_0")
    set_all(slices, PatientWeight="70000", RadionuclideTotalDose="368.08")
    record = assert_reference(slices, mask).record
    assert len(record.warnings) == 2


def test_missing_half_life(read_object: ReadObject, mask: NDArray[np.bool_]) -> None:
    slices = read_object("0_0")
    set_all(slices, RadionuclideHalfLife=None)
    assert_reference(slices, mask)
    gallium = read_object("5_0")
    set_all(gallium, RadionuclideHalfLife=None)
    assert_reference(gallium, mask)


@pytest.mark.parametrize(
    ("manufacturer", "group", "creator", "element"),
    [("SIEMENS", 0x0071, "SIEMENS MED PT", 0x1022), ("GE MEDICAL SYSTEMS", 0x0009, "GEMS_PETD_01", 0x100D)],
)
def test_private_reference_times(
    read_object: ReadObject, mask: NDArray[np.bool_], manufacturer: str, group: int, creator: str, element: int
) -> None:
    slices = read_object("0_0")
    set_all(slices, Manufacturer=manufacturer, AcquisitionTime="113000", SeriesTime="120000")
    for each in slices:
        each.add_new(Tag(group, 0x10), "LO", creator)
        each.add_new(Tag(group, element), "UN", b"20250101110000.00 ")
    assert_reference(slices, mask)


@pytest.mark.parametrize("manufacturer", ["SIEMENS", "GE MEDICAL SYSTEMS", "Philips Medical Systems", "Synthetic"])
def test_series_time_after_acquisition(read_object: ReadObject, mask: NDArray[np.bool_], manufacturer: str) -> None:
    slices = read_object("0_0")
    ge = manufacturer.startswith("GE")
    average_ms = 1000 * average_count_rate_time_s(300, HALF_LIFE)
    for bed, each in enumerate(slices):
        minute = 5 * (bed // 5)
        each.AcquisitionTime = f"11{minute:02}00"
        each.FrameReferenceTime = f"{60_000 * minute + (0 if ge else average_ms):.3f}"
    set_all(slices, Manufacturer=manufacturer, SeriesTime="123000")
    assert assert_reference(slices, mask).record.factor is not None


def test_no_decay_correction(read_object: ReadObject, mask: NDArray[np.bool_]) -> None:
    slices = read_object("0_0")
    for bed, each in enumerate(slices):
        minute = 5 * (bed // 5)
        each.AcquisitionTime = f"11{minute:02}00"
        seconds = 60 * minute + average_count_rate_time_s(300, HALF_LIFE)
        scale_stored([each], 0.5 ** (seconds / HALF_LIFE))
    set_all(slices, DecayCorrection="NONE")
    assert assert_reference(slices, mask).record.factor is None


@pytest.mark.parametrize("full", [None, "20250101230000", "19700101230000"])
@pytest.mark.parametrize("clock", [None, "230000"])
def test_scan_after_midnight(
    read_object: ReadObject, mask: NDArray[np.bool_], full: str | None, clock: str | None
) -> None:
    slices = read_object("0_0")
    scan = {
        "AcquisitionDate": "20250102",
        "AcquisitionTime": "000000",
        "SeriesDate": "20250102",
        "SeriesTime": "000000",
    }
    set_all(slices, RadiopharmaceuticalStartDateTime=full, RadiopharmaceuticalStartTime=clock, **scan)
    if full is None and clock is None:
        with pytest.raises(SuvError, match="--injection-time"):
            suv_conversion(slices)
    else:
        assert_reference(slices, mask)


def test_anonymised_dates(read_object: ReadObject, mask: NDArray[np.bool_]) -> None:
    slices = read_object("0_0")
    set_all(slices, AcquisitionDate="19000101")
    assert_reference(slices, mask)
    set_all(slices, SeriesDate="19000101", StudyDate="19000101")
    assert_reference(slices, mask)


def test_long_lived_tracer(read_object: ReadObject, mask: NDArray[np.bool_]) -> None:
    slices = read_object("0_0")
    item = copy.deepcopy(slices[0].RadiopharmaceuticalInformationSequence[0].RadionuclideCodeSequence[0])
    zirconium = codes.cid4020._89Zirconium
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = zirconium.value, "SCT", zirconium.meaning
    set_all(
        slices,
        RadionuclideHalfLife="282096",
        RadionuclideCodeSequence=[item],
        RadiopharmaceuticalStartDateTime="20241230110000",
    )
    scale_stored(slices, 0.5 ** (172_800 / 282_096) / 0.5 ** (3600 / HALF_LIFE))
    assert_reference(slices, mask)
    for full in (None, "19700101110000"):
        set_all(slices, RadiopharmaceuticalStartDateTime=full)
        with pytest.raises(SuvError, match="--injection-time"):
            suv_conversion(slices)


@pytest.mark.parametrize(
    "changes",
    [
        {"PatientWeight": None},
        {"PatientWeight": "0"},
        {"Units": "GML", "SUVType": "IBW", "PatientSex": ""},
        {"Units": "GML", "SUVType": "IBW", "PatientSex": "X"},
        {"Units": "GML", "SUVType": "IBW", "PatientSize": None},
        {"Units": "GML", "SUVType": "IBW", "PatientSize": "0"},
        {"Units": "CNTS"},
        {"Units": "CPS"},
        {"Units": "PROPCNTS"},
        {"RadionuclideTotalDose": None},
        {"RadionuclideTotalDose": "-368080000"},
        {"ActualFrameDuration": None, "SeriesTime": "123000"},
        {"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": None},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.130"},
    ],
)
def test_objects_without_an_answer(read_object: ReadObject, changes: dict[str, Any]) -> None:
    slices = read_object("0_0")
    set_all(slices, **changes)
    with pytest.raises(SuvError):
        suv_conversion(slices)


def test_overrides_repair_an_object(read_object: ReadObject, mask: NDArray[np.bool_]) -> None:
    slices = read_object("0_0")
    set_all(slices, PatientWeight="0", RadionuclideTotalDose="0")
    conversion = suv_conversion(slices, SuvOverrides(weight_kg=70, dose_bq=368.08e6))
    assert np.median(suv_of(slices, conversion)[mask]) == pytest.approx(1, abs=0.005)


def header_of_json(entry: dict[str, Any]) -> Dataset:
    """Header of an entry of suv_headers: natural names, injection attributes at the top, Philips' block nested."""
    header, item = Dataset(), Dataset()
    for keyword, value in entry.items():
        if keyword == "PhilipsPETPrivateGroup":
            for name, element in (("SUVScaleFactor", 0x1000), ("ActivityConcentrationScaleFactor", 0x1009)):
                if name in value:
                    header.add_new(Tag(0x7053, 0x10), "LO", "Philips PET Private Group")
                    header.add_new(Tag(0x7053, element), "DS", value[name])
        else:
            target = item if keyword.startswith("Radio") else header
            setattr(target, keyword, value if isinstance(value, list) else str(value).strip()[:16])
    if "RadiopharmaceuticalStartDateTime" in entry:
        item.RadiopharmaceuticalStartDateTime = entry["RadiopharmaceuticalStartDateTime"].strip()
    header.RadiopharmaceuticalInformationSequence = [item]
    return header


def test_headers_of_real_scanners(shared_data: Path) -> None:
    folder = shared_data / "suv_headers"
    with (folder / "expected_suvbw_factor.csv").open() as file:
        rows = list(csv.reader(file))[1:]
    assert len(rows) == len(list(folder.glob("*.json"))) == 4
    for name, expected in rows:
        headers = [header_of_json(entry) for entry in json.loads((folder / f"{name}-instances.json").read_text())]
        conversion = suv_conversion(headers)
        assert conversion.factors[0] == pytest.approx(float(expected), rel=1e-6), name


@pytest.fixture(scope="module")
def whole_body(shared_data: Path) -> list[Dataset]:
    """Slices of an unprocessed GE series by increasing z."""
    slices = [dcmread(path) for path in (shared_data / "sts_raw" / "STS_001" / "FDG_PET" / "image").iterdir()]
    return sorted(slices, key=lambda each: float(each.ImagePositionPatient[2]))


@pytest.fixture(scope="module")
def gross_tumour(shared_data: Path, whole_body: list[Dataset]) -> NDArray[np.bool_]:
    """(z, y, x) voxels whose centres lie in the contours of GTV_Mass."""
    (path,) = (shared_data / "sts_raw" / "STS_001" / "FDG_PET" / "mask").iterdir()
    contours = dcmread(path)
    numbers = {each.ROIName: each.ROINumber for each in contours.StructureSetROISequence}
    (structure,) = (each for each in contours.ROIContourSequence if each.ReferencedROINumber == numbers["GTV_Mass"])
    first = whole_body[0]
    positions = np.array([float(each.ImagePositionPatient[2]) for each in whole_body])
    inside = np.zeros((len(whole_body), int(first.Rows), int(first.Columns)), dtype=bool)
    origin = np.array(first.ImagePositionPatient[:2], dtype=float)
    row_spacing, column_spacing = map(float, first.PixelSpacing)
    for contour in structure.ContourSequence:
        points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
        nearest = int(np.argmin(np.abs(positions - points[0, 2])))
        assert abs(positions[nearest] - points[0, 2]) < 0.5
        x, y = ((points[:, :2] - origin) / (column_spacing, row_spacing)).T
        inside[nearest] ^= polygon2mask(inside.shape[1:], np.column_stack([y, x]))
    return inside


def test_unprocessed_whole_body(whole_body: list[Dataset], gross_tumour: NDArray[np.bool_]) -> None:
    conversion = suv_conversion(whole_body)
    assert conversion.record.factor is not None
    tumour = suv_of(whole_body, conversion)[gross_tumour]
    weight, height = number(whole_body[0], "PatientWeight"), number(whole_body[0], "PatientSize")
    assert weight is not None
    assert height is not None

    def maximum(scale: SuvScale) -> float:
        return float(tumour.max()) * suv_scale_factor(scale, weight, height, "M")

    assert 7.9 <= maximum(SuvScale.BW) <= 8.0
    assert 0.15 <= tumour.min() <= 0.20
    assert 0.195 <= maximum(SuvScale.BSA) <= 0.200
    assert 5.9 <= maximum(SuvScale.LBM_JAMES) <= 6.1
    assert 5.8 <= maximum(SuvScale.LBM_JANMAHASATIAN) <= 5.9
    assert 6.6 <= maximum(SuvScale.IBW) <= 6.7
    assert identify_tracer(whole_body[0]).tracer.name is TracerName.F18_FDG


def test_beds_with_times_of_their_own_refer_to_the_start(whole_body: list[Dataset]) -> None:
    beds = copy.deepcopy(whole_body[::10])
    expected = suv_conversion(beds).factors
    set_all(beds, SeriesTime="160000.00")
    assert suv_conversion(beds).factors == pytest.approx(expected, rel=1e-12)
    set_all(beds, SeriesTime="112011.00")
    for each in beds:
        seconds = 11 * 3600 + 20 * 60 + 11 + int(float(each.FrameReferenceTime)) // 1000
        each.AcquisitionTime = f"{seconds // 3600:02}{seconds // 60 % 60:02}{seconds % 60:02}.00"
    assert suv_conversion(beds).factors == pytest.approx(expected, rel=1e-12)
    set_all(beds, SeriesTime="160000.00")
    assert suv_conversion(beds).factors == pytest.approx(expected, rel=1e-12)
    for each in beds:
        del each.FrameReferenceTime
    assert suv_conversion(beds).factors == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("patient", ["STS_002", "STS_010", "STS_024"])
def test_processed_series_are_suv_already(shared_data: Path, patient: str) -> None:
    paths = (shared_data / "sts_dicom" / patient / "PET" / "image").iterdir()
    headers = [dcmread(path, stop_before_pixels=True) for path in paths]
    record = suv_conversion(headers).record
    assert record.factor == 1
    assert record.units == "GML"
    assert "do not change SUV" in record.warnings[0]
    assert record.injection_time is not None
    assert f"{record.injection_time:%Y%m%d}" == headers[0].AcquisitionDate
    assert identify_tracer(headers[0]).tracer.name is TracerName.F18_FDG
