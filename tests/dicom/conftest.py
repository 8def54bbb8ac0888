"""PET headers for tests, as a scanner would write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydicom import Dataset

MakePetHeader = Callable[..., Dataset]

_INJECTION = {
    "Radiopharmaceutical": "Fluorodeoxyglucose F^18^",
    "RadiopharmaceuticalStartTime": "100000",
    "RadiopharmaceuticalStartDateTime": "20250101100000",
    "RadionuclideTotalDose": "350000000",
    "RadionuclideHalfLife": "6586.2",
}
_IMAGE = {
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.128",
    "Manufacturer": "SIEMENS",
    "SeriesDate": "20250101",
    "SeriesTime": "110000",
    "AcquisitionDate": "20250101",
    "AcquisitionTime": "110000",
    "PatientWeight": "70",
    "PatientSize": "1.75",
    "PatientSex": "M",
    "CorrectedImage": ["ATTN", "DECY", "SCAT"],
    "Units": "BQML",
    "DecayCorrection": "START",
    "FrameReferenceTime": "60000",
    "ActualFrameDuration": "120000",
    "RescaleIntercept": "0",
    "RescaleSlope": "1.5",
}


def make_pet_header(**changes: Any) -> Dataset:
    """Header of one FDG PET slice, 60 min after injection; an attribute changed to None is left out.

    `Radiopharmaceutical*` and `Radionuclide*` go into the only item of the radiopharmaceutical information.
    """
    header, item = Dataset(), Dataset()
    for keyword, value in {**_IMAGE, **_INJECTION, **changes}.items():
        target = item if keyword.startswith(("Radiopharmaceutical", "Radionuclide")) else header
        if value is not None:
            setattr(target, keyword, value)
    header.RadiopharmaceuticalInformationSequence = [item]
    return header


@pytest.fixture(scope="session")
def pet_header() -> MakePetHeader:
    """Function that makes a header of one PET slice."""
    return make_pet_header
