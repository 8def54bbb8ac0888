"""How GE, Siemens and Philips write a PET header: units, scale factors, bed times, private elements."""

from __future__ import annotations

import abc
import math
from datetime import timedelta
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.valuerep import format_number_as_ds

from petlesion.dicom.decay import average_count_rate_time_s
from petlesion.phantom.scanner import Vendor
from petlesion.phantom.simulated_study import SimulatedStudy
from petlesion.tracers import TracerName

GE_PET_CREATOR = "GEMS_PETD_01"
SIEMENS_PET_CREATOR = "SIEMENS MED PT"
PHILIPS_PET_CREATOR = "Philips PET Private Group"
"""Creators of the private blocks. Written here again, so that reader and writer check each other."""

_LARGEST_SIGNED = 32767
_RADIONUCLIDE = {
    TracerName.F18_FDG: codes.cid4020._18Fluorine,
    TracerName.GA68_DOTATATE: codes.cid4020._68Gallium,
    TracerName.GA68_PSMA11: codes.cid4020._68Gallium,
    TracerName.CU64_DOTATATE: codes.cid4020._64Copper,
}
"""CID 4020, PET Radionuclide (DICOM PS3.16)."""
_RADIOPHARMACEUTICAL: dict[TracerName, tuple[str, Code | None]] = {
    TracerName.F18_FDG: ("Fluorodeoxyglucose F^18^", codes.cid4021.FluorodeoxyglucoseF18),
    TracerName.GA68_DOTATATE: ("Dotatate Ga^68^", codes.cid4021.DotatateGa68),
    TracerName.GA68_PSMA11: ("PSMA-11 Ga^68^", codes.cid4021.PSMA11Ga68),
    TracerName.CU64_DOTATATE: ("Dotatate Cu^64^", None),
}
"""Name, and code of CID 4021, PET Radiopharmaceutical (DICOM PS3.16); it has none for 64Cu-DOTATATE."""
_SUPINE = Code("102538003", "SCT", "recumbent"), Code("40199007", "SCT", "supine")
_HEADFIRST = Code("102540008", "SCT", "headfirst")


class VendorWriter(abc.ABC):
    """Attributes of PET slices that vendors write differently.

    Parameters
    ----------
    study
        The scan; its SUV become the vendor's numbers.
    """

    vendor: ClassVar[Vendor]
    units: ClassVar[str]

    def __init__(self, study: SimulatedStudy) -> None:
        self.study = study
        acquisition, scanner = study.acquisition, study.scanner
        beds = acquisition.bed_of_slice(scanner, study.pet.grid.shape[0])
        self.bed_offset_s = acquisition.bed_start_s(beds) - acquisition.uptake_s

    @staticmethod
    def of(vendor: Vendor, study: SimulatedStudy) -> VendorWriter:
        """Writer of a vendor."""
        return _WRITERS[vendor](study)

    def series(self) -> Dataset:
        """Attributes that all slices share: PET series, isotope and image modules (PS3.3 C.8.9)."""
        study = self.study
        header = Dataset()
        header.ImageType = ["ORIGINAL", "PRIMARY"]
        header.SeriesType = ["STATIC", "IMAGE"]
        header.Units = self.units
        header.CountsSource = "EMISSION"
        header.CorrectedImage = ["DECY", "ATTN", "SCAT", "DTIM", "RAN", "NORM"]
        header.DecayCorrection = "START"
        header.RandomsCorrectionMethod = "DLYD"
        header.AttenuationCorrectionMethod = "measured, CT"
        header.ScatterCorrectionMethod = "Model-based"
        osem = study.scanner.osem
        header.ReconstructionMethod = f"{'PSF' if osem.psf else ''}OSEM {osem.iterations}i{osem.subsets}s"
        header.ConvolutionKernel = f"XYZ Gauss{osem.post_fwhm_mm[1]:.2f}"
        header.CollimatorType = "NONE"
        header.NumberOfSlices = study.pet.grid.shape[0]
        header.ActualFrameDuration = str(round(study.acquisition.bed_s * 1000))
        header.ReconstructionDiameter = _ds(study.pet.grid.shape[2] * study.pet.grid.spacing_mm[2])
        header.PatientOrientationCodeSequence = [_orientation()]
        header.PatientGantryRelationshipCodeSequence = [_code_item(_HEADFIRST)]
        header.RadiopharmaceuticalInformationSequence = [self._radiopharmaceutical()]
        return header

    def instance(self, number: int) -> Dataset:
        """Attributes of one slice: bed time, reference time, decay factor."""
        offset = float(self.bed_offset_s[number])
        start = self.study.scan_start + timedelta(seconds=offset)
        header = Dataset()
        header.AcquisitionDate = start.strftime("%Y%m%d")
        header.AcquisitionTime = start.strftime("%H%M%S.%f")[:-4]
        header.FrameReferenceTime = _ds(1000.0 * self.frame_reference_s(offset))
        header.DecayFactor = _ds(self._decay_factor(offset))
        return header

    def frame_reference_s(self, offset_s: float) -> float:
        """FrameReferenceTime after the start of the scan, of a bed that begins at `offset_s`."""
        acquisition = self.study.acquisition
        return offset_s + average_count_rate_time_s(acquisition.bed_s, acquisition.half_life_s)

    @abc.abstractmethod
    def store(self, number: int) -> tuple[NDArray[np.uint16] | NDArray[np.int16], float]:
        """Stored values (y, x) of a slice and their RescaleSlope."""

    def _decay_factor(self, offset_s: float) -> float:
        """By how much decay correction multiplied the counts of a bed (PS3.3 C.8.9.4.1.5)."""
        acquisition = self.study.acquisition
        rate = math.log(2.0) / acquisition.half_life_s
        return math.exp(rate * offset_s) * rate * acquisition.bed_s / -math.expm1(-rate * acquisition.bed_s)

    def _radiopharmaceutical(self) -> Dataset:
        study, acquisition = self.study, self.study.acquisition
        name, code = _RADIOPHARMACEUTICAL[study.tracer]
        item = Dataset()
        item.Radiopharmaceutical = name
        item.RadiopharmaceuticalStartTime = study.injected_at.strftime("%H%M%S.%f")[:-4]
        item.RadiopharmaceuticalStartDateTime = study.injected_at.strftime("%Y%m%d%H%M%S.%f")[:-4]
        item.RadionuclideTotalDose = _ds(acquisition.injected_mbq * 1e6)
        item.RadionuclideHalfLife = _ds(acquisition.half_life_s)
        item.RadionuclidePositronFraction = _ds(acquisition.nuclide.branching)
        item.RadionuclideCodeSequence = [_code_item(_RADIONUCLIDE[study.tracer])]
        if code is not None:
            item.RadiopharmaceuticalCodeSequence = [_code_item(code)]
        return item


class GeWriter(VendorWriter):
    """GE: Bq/mL with a slope of its own on every slice, time of decay correction in private (0009,xx0d)."""

    vendor = Vendor.GE
    units = "BQML"

    def series(self) -> Dataset:
        """Add the time of decay correction in GE's private block."""
        header = super().series()
        block = header.private_block(0x0009, GE_PET_CREATOR, create=True)
        block.add_new(0x0D, "DT", self.study.scan_start.strftime("%Y%m%d%H%M%S.%f")[:-4])
        header.AxialMash = ["4", "5"]
        return header

    def frame_reference_s(self, offset_s: float) -> float:
        """Start of the bed: GE does not add the average count rate time."""
        return offset_s

    def store(self, number: int) -> tuple[NDArray[np.int16], float]:
        """Scale every slice to its own maximum."""
        activity = self.study.pet.array[number] * np.float32(self.study.bqml_per_suv)
        slope = _rounded(max(float(activity.max()), 1.0) / _LARGEST_SIGNED)
        return np.rint(activity / slope).astype(np.int16), slope


class SiemensWriter(VendorWriter):
    """Siemens: Bq/mL with one slope for all slices, several bed times, decay correction time in (0071,xx22)."""

    vendor = Vendor.SIEMENS
    units = "BQML"

    def __init__(self, study: SimulatedStudy) -> None:
        super().__init__(study)
        self.slope = _rounded(max(float(study.pet.array.max()) * study.bqml_per_suv, 1.0) / _LARGEST_SIGNED)

    def series(self) -> Dataset:
        """Add the time of decay correction in Siemens' private block."""
        header = super().series()
        block = header.private_block(0x0071, SIEMENS_PET_CREATOR, create=True)
        block.add_new(0x22, "DT", self.study.scan_start.strftime("%Y%m%d%H%M%S.%f")[:-4])
        return header

    def store(self, number: int) -> tuple[NDArray[np.uint16], float]:
        """Scale all slices to the maximum of the volume."""
        activity = self.study.pet.array[number] * np.float32(self.study.bqml_per_suv)
        return np.rint(activity / self.slope).astype(np.uint16), self.slope


class PhilipsWriter(VendorWriter):
    """Philips: counts, with private factors to SUVbw (7053,xx00) and to Bq/mL (7053,xx09)."""

    vendor = Vendor.PHILIPS
    units = "CNTS"
    suv_per_count: ClassVar[float] = 0.000728
    """A factor as real headers hold it."""

    def __init__(self, study: SimulatedStudy) -> None:
        super().__init__(study)
        self.slope = _rounded(max(float(study.pet.array.max()) / self.suv_per_count, 1.0) / _LARGEST_SIGNED)

    def series(self) -> Dataset:
        """Add both scale factors in Philips' private block."""
        header = super().series()
        block = header.private_block(0x7053, PHILIPS_PET_CREATOR, create=True)
        block.add_new(0x00, "DS", _ds(self.suv_per_count))
        block.add_new(0x09, "DS", _ds(self.suv_per_count * self.study.bqml_per_suv))
        return header

    def store(self, number: int) -> tuple[NDArray[np.int16], float]:
        """Scale all slices to the maximum of the volume."""
        counts = self.study.pet.array[number] / np.float32(self.suv_per_count * self.slope)
        return np.rint(counts).astype(np.int16), self.slope


_WRITERS: dict[Vendor, type[VendorWriter]] = {
    writer.vendor: writer for writer in (GeWriter, SiemensWriter, PhilipsWriter)
}


def _rounded(slope: float) -> float:
    """The value that a decimal string of 16 characters holds, rounded up so that the maximum still fits."""
    return float(_ds(slope * (1.0 + 1e-6)))


def _orientation() -> Dataset:
    item = _code_item(_SUPINE[0])
    item.PatientOrientationModifierCodeSequence = [_code_item(_SUPINE[1])]
    return item


def _code_item(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def _ds(value: float) -> str:
    """Number as a decimal string of at most 16 characters (PS3.5 section 6.2)."""
    return format_number_as_ds(float(value))
