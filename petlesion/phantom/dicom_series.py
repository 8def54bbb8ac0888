"""Simulated scans as complete DICOM series: PT in the way of each vendor, CT, and series that readers pass over."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
)
from pydicom.valuerep import format_number_as_ds

from petlesion.phantom.scanner import Vendor
from petlesion.phantom.simulated_study import SimulatedStudy
from petlesion.phantom.vendors import VendorWriter
from petlesion.volume import Grid

FAMILY_NAME = "SIMULATED"
"""Family name of every simulated patient."""
CT_OFFSET_HU = 1024
"""Stored CT values are HU plus this, as unsigned numbers."""


def write_study(study: SimulatedStudy, folder: Path, vendor: Vendor, *, extra_series: bool = False) -> list[Dataset]:
    """Write `PT/` and `CT/`, and with `extra_series` what else a scanner sends.

    Parameters
    ----------
    study
        The scan.
    folder
        Folder of the study; created.
    vendor
        How headers are written.
    extra_series
        Also write a PET of the same pixels whose header says that attenuation is not corrected (`NAC/`), a CT scout
        (`SCOUT/`) and a screen save (`SC/`).

    Returns
    -------
    list of Dataset
        Headers of the PT slices, without pixels, in slice order.
    """
    headers = write_pet(study, folder / "PT", vendor)
    write_ct(study, folder / "CT", vendor)
    if extra_series:
        write_pet(study, folder / "NAC", vendor, attenuation_corrected=False)
        _write_scout(study, folder / "SCOUT", vendor)
        _write_screen_save(study, folder / "SC", vendor)
    return headers


def write_pet(
    study: SimulatedStudy, folder: Path, vendor: Vendor, *, attenuation_corrected: bool = True
) -> list[Dataset]:
    """Write the PET series, one file a slice; return its headers without pixels."""
    writer = VendorWriter.of(vendor, study)
    series = "PET AC" if attenuation_corrected else "PET NAC"
    common = _common(study, vendor, series, "PT", 2 if attenuation_corrected else 3)
    common.update(writer.series())
    if not attenuation_corrected:
        common.CorrectedImage = [step for step in common.CorrectedImage if step not in ("ATTN", "SCAT")]
        common.AttenuationCorrectionMethod = "NONE"
        common.ScatterCorrectionMethod = "NONE"
    folder.mkdir(parents=True)
    headers = []
    count = study.pet.grid.shape[0]
    for number in range(count):
        header = Dataset()
        header.update(common)
        _add_instance(header, study, series, number, PositronEmissionTomographyImageStorage)
        _add_plane(header, study.pet.grid, number)
        header.update(writer.instance(number))
        # Vendors number slices from the head; ImageIndex does too.
        header.InstanceNumber = count - number
        header.ImageIndex = count - number
        pixels, slope = writer.store(number)
        header.RescaleSlope = _ds(slope)
        header.RescaleIntercept = "0"
        _add_pixels(header, pixels)
        _save(header, folder / f"{count - number:04d}.dcm")
        del header.PixelData
        headers.append(header)
    return headers


def write_ct(study: SimulatedStudy, folder: Path, vendor: Vendor) -> None:
    """Write the low-dose CT series, one file a slice."""
    common = _common(study, vendor, "CT AC", "CT", 1)
    common.update(_ct_series(vendor))
    folder.mkdir(parents=True)
    count = study.ct.grid.shape[0]
    for number in range(count):
        header = Dataset()
        header.update(common)
        _add_instance(header, study, "CT AC", number, CTImageStorage)
        _add_plane(header, study.ct.grid, number)
        header.InstanceNumber = count - number
        header.AcquisitionNumber = "1"
        header.AcquisitionDate, header.AcquisitionTime = _moment(_ct_start(study))
        header.RescaleIntercept = str(-CT_OFFSET_HU)
        header.RescaleSlope = "1"
        header.RescaleType = "HU"
        stored = np.clip(np.rint(study.ct.array[number]) + CT_OFFSET_HU, 0, 4095).astype(np.uint16)
        _add_pixels(header, stored, bits=12)
        _save(header, folder / f"{count - number:04d}.dcm")


def patient_module(study: SimulatedStudy) -> Dataset:
    """Patient module: names that nobody takes for a person's."""
    header = Dataset()
    header.PatientName = f"{FAMILY_NAME}^{study.patient_id.upper()}"
    header.PatientID = study.patient_id
    header.PatientBirthDate = study.born.strftime("%Y%m%d")
    header.PatientSex = study.sex
    header.PatientComments = "Simulated by petlesion; not a person"
    header.PatientAge = f"{study.age_years:03d}Y"
    header.PatientSize = _ds(study.height_m)
    header.PatientWeight = _ds(study.weight_kg)
    return header


_MAKERS = {
    Vendor.GE: "GE MEDICAL SYSTEMS",
    Vendor.SIEMENS: "SIEMENS",
    Vendor.PHILIPS: "Philips Medical Systems",
}


def _common(study: SimulatedStudy, vendor: Vendor, series: str, modality: str, number: int) -> Dataset:
    """Attributes of all instances of a series: patient, study, series, frame of reference, equipment."""
    header = patient_module(study)
    header.SpecificCharacterSet = "ISO_IR 100"
    header.StudyInstanceUID = study.uid()
    header.StudyID = f"S{study.timepoint + 1}"
    header.StudyDate, header.StudyTime = _moment(_ct_start(study))
    header.StudyDescription = "SIMULATED PET-CT WHOLE BODY"
    header.AccessionNumber = ""
    header.ReferringPhysicianName = ""
    header.SeriesInstanceUID = study.uid(series)
    header.SeriesNumber = str(number)
    header.SeriesDescription = series
    header.Modality = modality
    start = study.scan_start if modality == "PT" else _ct_start(study)
    header.SeriesDate, header.SeriesTime = _moment(start)
    if modality == "CT":  # PET tells it by PatientOrientationCodeSequence instead
        header.PatientPosition = "HFS"
    header.BodyPartExamined = "WHOLEBODY"
    header.FrameOfReferenceUID = study.uid("frame of reference")
    header.PositionReferenceIndicator = ""
    header.Manufacturer = _MAKERS[vendor]
    header.ManufacturerModelName = study.scanner.model
    header.InstitutionName = "Simulated"
    header.StationName = "SIMULATION"
    header.DeviceSerialNumber = "0"
    header.SoftwareVersions = "petlesion simulate"
    return header


def _ct_series(vendor: Vendor) -> Dataset:
    header = Dataset()
    header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.KVP = "120"
    header.XRayTubeCurrent = "60"
    header.ExposureTime = "500"
    header.ScanOptions = "HELICAL MODE"
    header.ConvolutionKernel = {Vendor.GE: "STANDARD", Vendor.SIEMENS: "B30f", Vendor.PHILIPS: "B"}[vendor]
    return header


def _ct_start(study: SimulatedStudy) -> datetime:
    return study.scan_start - timedelta(seconds=90)


def _moment(moment: datetime) -> tuple[str, str]:
    """DA and TM of a time."""
    return moment.strftime("%Y%m%d"), moment.strftime("%H%M%S.%f")[:-4]


def _add_instance(header: Dataset, study: SimulatedStudy, series: str, number: int, sop_class: str) -> None:
    header.SOPClassUID = sop_class
    header.SOPInstanceUID = study.uid(series, str(number))
    header.ContentDate, header.ContentTime = _moment(study.scan_start)


def _add_plane(header: Dataset, grid: Grid, number: int) -> None:
    """Image plane module of slice `number` of an axial grid."""
    position = grid.to_world((number, 0, 0))
    header.PixelSpacing = [_ds(grid.spacing_mm[1]), _ds(grid.spacing_mm[2])]
    header.SliceThickness = _ds(grid.spacing_mm[0])
    header.SpacingBetweenSlices = _ds(grid.spacing_mm[0])
    header.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    header.ImagePositionPatient = [_ds(round(float(value), 4)) for value in position]
    header.SliceLocation = _ds(round(float(position[2]), 4))


def _add_pixels(header: Dataset, stored: NDArray[np.uint16] | NDArray[np.int16], bits: int = 16) -> None:
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.Rows, header.Columns = stored.shape
    header.BitsAllocated = 16
    header.BitsStored = bits
    header.HighBit = bits - 1
    header.PixelRepresentation = int(np.issubdtype(stored.dtype, np.signedinteger))
    header.PixelData = stored.astype(stored.dtype.newbyteorder("<")).tobytes()


def _write_scout(study: SimulatedStudy, folder: Path, vendor: Vendor) -> None:
    """Localizer: a coronal view of the CT's mean."""
    header = _common(study, vendor, "SCOUT", "CT", 4)
    header.update(_ct_series(vendor))
    header.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    _add_instance(header, study, "SCOUT", 0, CTImageStorage)
    grid = study.ct.grid
    slices = grid.shape[0]
    header.PixelSpacing = [_ds(grid.spacing_mm[0]), _ds(grid.spacing_mm[2])]
    header.SliceThickness = _ds(grid.spacing_mm[1] * grid.shape[1])
    header.ImageOrientationPatient = ["1", "0", "0", "0", "0", "-1"]
    middle = grid.to_world((slices - 1, (grid.shape[1] - 1) / 2, 0))
    header.ImagePositionPatient = [_ds(round(float(value), 4)) for value in middle]
    header.InstanceNumber = "1"
    header.AcquisitionNumber = "1"
    header.RescaleIntercept = str(-CT_OFFSET_HU)
    header.RescaleSlope = "1"
    header.RescaleType = "US"
    view = study.ct.array.mean(axis=1)[::-1]
    _add_pixels(header, np.clip(np.rint(view) + CT_OFFSET_HU, 0, 4095).astype(np.uint16), bits=12)
    folder.mkdir(parents=True)
    _save(header, folder / "0001.dcm")


def _write_screen_save(study: SimulatedStudy, folder: Path, vendor: Vendor) -> None:
    """Secondary capture of a maximum projection, as technologists save them."""
    header = _common(study, vendor, "SCREEN SAVE", "PT", 99)
    _add_instance(header, study, "SCREEN SAVE", 0, SecondaryCaptureImageStorage)
    for keyword in ("FrameOfReferenceUID", "PositionReferenceIndicator"):
        delattr(header, keyword)
    header.ImageType = ["DERIVED", "SECONDARY"]
    header.ConversionType = "WSD"
    header.InstanceNumber = "1"
    header.PatientOrientation = ["L", "F"]
    view = study.pet.array.max(axis=1)[::-1]
    _add_pixels(header, np.clip(view * 100.0, 0, 4095).astype(np.uint16), bits=12)
    folder.mkdir(parents=True)
    _save(header, folder / "0001.dcm")


def _save(header: Dataset, path: Path) -> None:
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.save_as(path, enforce_file_format=True)


def _ds(value: float) -> str:
    """Number as a decimal string of at most 16 characters (PS3.5 section 6.2)."""
    return format_number_as_ds(float(value))
