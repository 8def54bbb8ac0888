"""What holds for SUV of every header; and every header, however odd, is answered by SUV or an SuvError."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from petlesion.dicom.body_measures import suv_scale_factor
from petlesion.dicom.suv import suv_conversion
from petlesion.dicom.suv_overrides import SuvOverrides
from petlesion.errors import SuvError
from petlesion.suv_scale import SuvScale

MakePetHeader = Callable[..., Dataset]

IMAGE_ATTRIBUTES = (
    "PatientWeight", "PatientSize", "PatientSex", "Units", "SUVType", "DecayCorrection", "CorrectedImage",
    "RescaleIntercept", "SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime",
    "FrameReferenceTime", "ActualFrameDuration", "DecayFactor", "DecayCorrectionDateTime", "TimezoneOffsetFromUTC",
    "Manufacturer", "AttenuationCorrectionMethod", "RadiopharmaceuticalInformationSequence", "SeriesDescription",
)  # fmt: skip
INJECTION_ATTRIBUTES = (
    "RadiopharmaceuticalStartTime", "RadiopharmaceuticalStartDateTime", "RadionuclideTotalDose",
    "RadionuclideHalfLife", "Radiopharmaceutical", "RadionuclideCodeSequence", "RadiopharmaceuticalCodeSequence",
)  # fmt: skip
ODD_TEXTS = (
    "", "abc", "1e308", "1E-300", "-1", "0", "nan", "inf", "1\\2", "\\", "\0", "99999999", "00010101", "99991231",
    "99991231235959", "20251301", "250000", "240000", "11:00:00", "20250101100000+9999", "+0100", "+1400",
)  # fmt: skip


def factor_of(header: Dataset, **overrides: Any) -> float:
    factor = suv_conversion([header], SuvOverrides(**overrides)).record.factor
    assert factor is not None
    return factor


@pytest.mark.filterwarnings("ignore:The value length")
@settings(max_examples=120, deadline=None)
@given(
    changes=st.lists(
        st.tuples(
            st.sampled_from(IMAGE_ATTRIBUTES + INJECTION_ATTRIBUTES), st.sampled_from(ODD_TEXTS) | st.text(max_size=12)
        ),
        min_size=1,
        max_size=4,
    ),
    units=st.sampled_from(["BQML", "GML", "CM2ML", "CNTS"]),
    correction=st.sampled_from(["START", "NONE", "ADMIN"]),
)
def test_odd_headers_give_suv_or_an_suv_error(
    pet_header: MakePetHeader, changes: list[tuple[str, str]], units: str, correction: str
) -> None:
    header = pet_header(Units=units, DecayCorrection=correction, SeriesTime="123000")
    item = header.RadiopharmaceuticalInformationSequence[0]
    for keyword, value in changes:
        tag, raw = Tag(keyword), value.encode()
        element = RawDataElement(tag, None, len(raw), raw, 0, True, True)
        (item if keyword in INJECTION_ATTRIBUTES else header)[tag] = element
    try:
        factors = suv_conversion([header]).factors
    except SuvError:
        return
    assert np.all(np.isfinite(factors) & (factors > 0))


@settings(max_examples=50, deadline=None)
@given(scale=st.floats(0.5, 3), shift=st.integers(-40_000, 40_000), correction=st.sampled_from(["START", "NONE"]))
def test_suv_scales_with_weight_and_dose_and_not_with_the_time_of_day(
    pet_header: MakePetHeader, scale: float, shift: int, correction: str
) -> None:
    def at(hour: int) -> datetime:
        return datetime(2025, 1, 1, hour) + timedelta(seconds=shift)

    base = pet_header(DecayCorrection=correction)
    scaled = pet_header(
        DecayCorrection=correction,
        PatientWeight=f"{70 * scale:.10g}",
        RadionuclideTotalDose=f"{350e6 * scale:.10g}",
        AcquisitionDate=f"{at(11):%Y%m%d}",
        AcquisitionTime=f"{at(11):%H%M%S}",
        SeriesDate=f"{at(11):%Y%m%d}",
        SeriesTime=f"{at(11):%H%M%S}",
        RadiopharmaceuticalStartTime=f"{at(10):%H%M%S}",
        RadiopharmaceuticalStartDateTime=None,
    )
    assert factor_of(scaled) == pytest.approx(factor_of(base), rel=1e-8)
    assert factor_of(base, weight_kg=70 * scale) == pytest.approx(scale * factor_of(base), rel=1e-8)
    assert factor_of(base, dose_bq=350e6 * scale) == pytest.approx(factor_of(base) / scale, rel=1e-8)


@settings(max_examples=50, deadline=None)
@given(minutes=st.integers(1, 200), half_life=st.floats(6000, 7000))
def test_admin_and_start_differ_by_the_decay_between_them(
    pet_header: MakePetHeader, minutes: int, half_life: float
) -> None:
    injected = datetime(2025, 1, 1, 11) - timedelta(minutes=minutes)
    times = {
        "RadiopharmaceuticalStartDateTime": f"{injected:%Y%m%d%H%M%S}",
        "RadiopharmaceuticalStartTime": None,
        "RadionuclideHalfLife": f"{half_life:.8g}",
    }
    ratio = factor_of(pet_header(**times)) / factor_of(pet_header(DecayCorrection="ADMIN", **times))
    assert ratio == pytest.approx(2 ** (60 * minutes / half_life), rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    suv_type=st.sampled_from(["BW", "LBM", "LBMJAMES128", "LBMJANMA", "IBW", "BSA"]),
    sex=st.sampled_from(["M", "F", "O"]),
    weight=st.floats(45, 110),
    height=st.floats(1.55, 1.95),
)
def test_suv_of_every_kind_leads_back_to_that_of_bqml(
    pet_header: MakePetHeader, suv_type: str, sex: str, weight: float, height: float
) -> None:
    body = {"PatientWeight": f"{weight:.6g}", "PatientSize": f"{height:.6g}", "PatientSex": sex}
    weight, height = float(body["PatientWeight"]), float(body["PatientSize"])
    scale = {
        "BW": SuvScale.BW,
        "LBM": SuvScale.LBM_MORGAN,
        "LBMJAMES128": SuvScale.LBM_JAMES,
        "LBMJANMA": SuvScale.LBM_JANMAHASATIAN,
        "IBW": SuvScale.IBW,
        "BSA": SuvScale.BSA,
    }[suv_type]
    suvbw = 10_000 * factor_of(pet_header(**body))
    stored = suvbw * suv_scale_factor(scale, weight, height, sex)
    if scale is SuvScale.BSA:
        stored *= 10
    units = "CM2ML" if scale is SuvScale.BSA else "GML"
    assert stored * factor_of(pet_header(Units=units, SUVType=suv_type, **body)) == pytest.approx(suvbw, rel=1e-9)
