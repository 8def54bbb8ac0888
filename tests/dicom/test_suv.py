"""SUVbw factors: units, body measures, dose, decay, what is refused and what is warned of."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from petlesion.dicom.body_measures import suv_scale_factor
from petlesion.dicom.suv import suv_conversion
from petlesion.dicom.suv_overrides import SuvOverrides
from petlesion.errors import SuvError, UsageError
from petlesion.suv_scale import SuvScale

MakePetHeader = Callable[..., Dataset]

WEIGHT_G, DOSE, HALF_LIFE, UPTAKE = 70_000.0, 350e6, 6586.2, 3600.0
EXPECTED = WEIGHT_G / (DOSE * 0.5 ** (UPTAKE / HALF_LIFE))


def factor_of(*headers: Dataset, **overrides: Any) -> float:
    """The factor that all slices share."""
    factor = suv_conversion(headers, SuvOverrides(**overrides)).record.factor
    assert factor is not None
    return factor


def warnings_of(*headers: Dataset, **overrides: Any) -> str:
    return "\n".join(suv_conversion(headers, SuvOverrides(**overrides)).record.warnings)


def add_private(header: Dataset, group: int, creator: str, offset: int, value: bytes, block: int = 0x10) -> None:
    """Private element of unknown value representation, as implicit VR leaves it."""
    if creator:
        header.add_new(Tag(group, block), "LO", creator)
    tag = Tag(group, block << 8 | offset)
    header[tag] = RawDataElement(tag, "UN", len(value), value, 0, False, True)


def test_start_decays_the_dose_from_injection_to_reference_time(pet_header: MakePetHeader) -> None:
    conversion = suv_conversion([pet_header(), pet_header()])
    assert conversion.factors == pytest.approx([EXPECTED, EXPECTED], rel=1e-12)
    assert conversion.factors.dtype == np.float64
    record = conversion.record
    assert (record.units, record.decay_correction) == ("BQML", "START")
    assert record.factor == pytest.approx(EXPECTED)
    assert record.reference_time == datetime(2025, 1, 1, 11)
    assert record.injection_time == datetime(2025, 1, 1, 10)
    assert record.warnings == ()
    assert record.overrides == {}
    assert (record.injected_mbq, record.weight_kg) == (350, 70)
    assert (record.half_life_s, record.uptake_min) == (HALF_LIFE, 60)


def test_admin_uses_the_dose_as_it_is(pet_header: MakePetHeader) -> None:
    header = pet_header(DecayCorrection="ADMIN")
    assert factor_of(header) == pytest.approx(WEIGHT_G / DOSE)
    record = suv_conversion([header]).record
    assert record.reference_time == datetime(2025, 1, 1, 10)
    assert record.uptake_min == 60, "to the start of the scan, which no other time of the record tells"


def test_none_decays_to_the_average_count_rate_of_each_frame(pet_header: MakePetHeader) -> None:
    constant, duration = math.log(2) / HALF_LIFE, 120.0
    headers = [
        pet_header(DecayCorrection="NONE", CorrectedImage=["ATTN"], AcquisitionTime=time, SeriesTime="120000")
        for time in ("110000", "110200")
    ]
    conversion = suv_conversion(headers)
    in_frame = constant * duration / -math.expm1(-constant * duration)
    expected = [WEIGHT_G / DOSE * in_frame * math.exp(constant * uptake) for uptake in (3600, 3720)]
    assert conversion.factors == pytest.approx(expected, rel=1e-9)
    assert conversion.record.factor is None


def test_uncorrected_values_that_are_listed_as_corrected_draw_a_warning(pet_header: MakePetHeader) -> None:
    assert "lists DECY" in warnings_of(pet_header(DecayCorrection="NONE"))


@pytest.mark.parametrize(
    ("suv_type", "sex", "measure_kg"),
    [
        ("", "", 70.0),
        ("BW", "M", 70.0),
        ("LBM", "M", 1.10 * 70 - 120 * 0.16),
        ("LBM", "F", 1.07 * 70 - 148 * 0.16),
        ("LBMJAMES128", "M", 56.52),
        ("LBMJAMES128", "F", 51.22),
        ("LBMJAMES128", "O", 53.87),
        ("LBMJANMA", "M", 648900 / (6680 + 216 * 70 / 1.75**2)),
        ("LBMJANMA", "F", 648900 / (8780 + 244 * 70 / 1.75**2)),
        ("IBW", "M", 72.38),
        ("IBW", "F", 66.43),
        ("IBW", "O", 69.405),
    ],
)
def test_suv_of_another_kind_becomes_suvbw(
    pet_header: MakePetHeader, suv_type: str, sex: str, measure_kg: float
) -> None:
    header = pet_header(Units="GML", SUVType=suv_type, PatientSex=sex)
    assert factor_of(header) == pytest.approx(70 / measure_kg, rel=1e-9)


def test_suv_by_body_surface_becomes_suvbw(pet_header: MakePetHeader) -> None:
    surface_m2 = 0.007184 * 175**0.725 * 70**0.425
    for suv_type in ("", "BSA"):
        header = pet_header(Units="CM2ML", SUVType=suv_type, PatientSex="")
        assert factor_of(header) == pytest.approx(70_000 / (surface_m2 * 1e4))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"PatientSize": None}, "PatientSize (0010,1020) is missing"),
        ({"PatientSize": "0"}, "PatientSize (0010,1020) is '0'"),
        ({"PatientSex": ""}, "not ''"),
        ({"PatientSex": "X"}, "not 'X'"),
        ({"PatientWeight": None}, "--weight KG"),
        ({"SUVType": "BSA"}, "does not go with Units GML"),
        ({"PatientWeight": "400", "PatientSize": "1.5", "SUVType": "LBMJAMES128"}, "is not defined for 400 kg"),
    ],
)
def test_suv_of_another_kind_needs_its_body_measures(
    pet_header: MakePetHeader, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SuvError) as raised:
        suv_conversion([pet_header(**{"Units": "GML", "SUVType": "IBW", **changes})])
    assert message in str(raised.value)


@pytest.mark.parametrize("scale", [scale for scale in SuvScale if scale not in (SuvScale.BW, SuvScale.BSA)])
def test_scales_by_sex_need_one(scale: SuvScale) -> None:
    both = [suv_scale_factor(scale, 70, 1.75, sex) for sex in "MF"]
    assert suv_scale_factor(scale, 70, 1.75, "O") == pytest.approx(sum(both) / 2)
    with pytest.raises(SuvError, match="use SUVbw"):
        suv_scale_factor(scale, 70, 1.75, "")


def test_height_in_centimetres_is_taken_as_such(pet_header: MakePetHeader) -> None:
    header = pet_header(Units="GML", SUVType="IBW", PatientSize="175")
    assert factor_of(header) == pytest.approx(70 / 72.38)
    assert "centimetres" in warnings_of(header)


@pytest.mark.parametrize("creator", ["Philips PET Private Group", "PHILIPS PET PRIVATE GROUP ", ""])
def test_philips_counts_take_the_suv_factor_first(pet_header: MakePetHeader, creator: str) -> None:
    header = pet_header(Units="CNTS")
    add_private(header, 0x7053, creator, 0x00, b"0.000728 ")
    add_private(header, 0x7053, creator, 0x09, b"2.5 ")
    assert factor_of(header) == pytest.approx(0.000728)


def test_philips_counts_take_the_activity_factor_without_an_suv_factor(pet_header: MakePetHeader) -> None:
    header = pet_header(Units="CNTS")
    add_private(header, 0x7053, "OTHER", 0x09, b"9", block=0x10)
    add_private(header, 0x7053, "Philips PET Private Group", 0x00, b"0.0", block=0x11)
    add_private(header, 0x7053, "Philips PET Private Group", 0x09, b"2.5", block=0x11)
    assert factor_of(header) == pytest.approx(2.5 * EXPECTED)


def test_replaced_values_take_effect_through_the_activity_factor(pet_header: MakePetHeader) -> None:
    header = pet_header(Units="CNTS", PatientWeight="0")
    add_private(header, 0x7053, "", 0x00, b"0.000728")
    assert factor_of(header, weight_kg=70) == pytest.approx(0.000728)
    assert "--weight has no effect" in warnings_of(header, weight_kg=70)
    add_private(header, 0x7053, "", 0x09, b"2.5")
    assert factor_of(header, weight_kg=70) == pytest.approx(2.5 * EXPECTED)


def test_philips_counts_without_factor_are_refused(pet_header: MakePetHeader) -> None:
    header = pet_header(Units="CNTS")
    add_private(header, 0x7053, "Philips PET Private Group", 0x00, b"0.0")
    with pytest.raises(SuvError, match=r"\(7053,1000\).*\(7053,1009\)"):
        suv_conversion([header])


def test_a_factor_that_one_slice_lacks_is_not_guessed(pet_header: MakePetHeader) -> None:
    whole, lacking = pet_header(Units="CNTS"), pet_header(Units="CNTS")
    add_private(whole, 0x7053, "Philips PET Private Group", 0x00, b"0.0007")
    with pytest.raises(SuvError, match="missing or 0"):
        suv_conversion([whole, lacking])


def test_factors_of_philips_may_differ_between_slices(pet_header: MakePetHeader) -> None:
    headers = [pet_header(Units="CNTS"), pet_header(Units="CNTS")]
    for header, value in zip(headers, (b"0.0005", b"0.0007"), strict=True):
        add_private(header, 0x7053, "Philips PET Private Group", 0x00, value)
    conversion = suv_conversion(headers)
    assert conversion.factors == pytest.approx([0.0005, 0.0007])
    assert conversion.record.factor is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Units": "CPS"}, "Units (0054,1001) is 'CPS'"),
        ({"Units": "PROPCNTS"}, "'PROPCNTS'"),
        ({"Units": "PROPCPS"}, "'PROPCPS'"),
        ({"Units": "1CM"}, "'1CM'"),
        ({"Units": None}, "is missing"),
        ({"RescaleIntercept": "-3"}, "RescaleIntercept (0028,1052) is '-3'"),
        ({"CorrectedImage": ["DECY"]}, "not attenuation-corrected"),
        ({"CorrectedImage": None}, "not attenuation-corrected"),
        ({"CorrectedImage": ["ATTN"]}, "without DECY"),
        ({"DecayCorrection": ""}, "DecayCorrection (0054,1102) is empty"),
        ({"DecayCorrection": "EVER"}, "not one of NONE, START, ADMIN"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.130"}, "multi-frame"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.128.1"}, "multi-frame"),
        ({"PatientWeight": None}, "is missing, not a weight"),
        ({"PatientWeight": ""}, "is empty, not a weight"),
        ({"PatientWeight": "0"}, "is '0', not a weight"),
        ({"PatientWeight": "-70"}, "is '-70', not a weight"),
        ({"PatientWeight": ["70", "80"]}, r"is '70\\80', not a weight"),
        ({"RadionuclideTotalDose": None}, "--dose MBQ"),
        ({"RadionuclideTotalDose": "0"}, "--dose MBQ"),
        ({"RadionuclideTotalDose": "-350000000"}, "--dose MBQ"),
    ],
)
def test_unusable_headers_are_refused(pet_header: MakePetHeader, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SuvError) as raised:
        suv_conversion([pet_header(**changes)])
    assert message in str(raised.value)
    assert "PET series" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_dose_that_has_decayed_to_nothing_is_refused(pet_header: MakePetHeader) -> None:
    with pytest.raises(SuvError, match="the factor to SUVbw is inf"):
        suv_conversion([pet_header(RadionuclideHalfLife="2")])


def test_nothing_is_no_series() -> None:
    with pytest.raises(SuvError, match="no PET slice"):
        suv_conversion([])


@pytest.mark.parametrize(
    "changes",
    [
        {"Units": "GML"},
        {"DecayCorrection": "ADMIN"},
        {"PatientWeight": "71"},
        {"RadionuclideTotalDose": "340000000"},
        {"RadiopharmaceuticalStartDateTime": "20250101100500"},
    ],
)
def test_slices_of_different_series_are_refused(pet_header: MakePetHeader, changes: dict[str, Any]) -> None:
    with pytest.raises(SuvError, match="differ"):
        suv_conversion([pet_header(), pet_header(**changes)])


def test_attenuation_correction_may_be_told_by_its_method(pet_header: MakePetHeader) -> None:
    header = pet_header(CorrectedImage=None, AttenuationCorrectionMethod="measured,CT")
    assert factor_of(header) == pytest.approx(EXPECTED)
    assert "'measured,CT'" in warnings_of(header)
    header.AttenuationCorrectionMethod = "NONE"
    with pytest.raises(SuvError, match="not attenuation-corrected"):
        suv_conversion([header])


def test_weight_in_grams_and_dose_in_megabecquerel(pet_header: MakePetHeader) -> None:
    header = pet_header(PatientWeight="70000", RadionuclideTotalDose="350")
    assert factor_of(header) == pytest.approx(EXPECTED)
    assert "taken as grams" in warnings_of(header)
    assert "taken as MBq" in warnings_of(header)


@pytest.mark.parametrize(("keyword", "value"), [("PatientWeight", "1.75"), ("RadionuclideTotalDose", "370000")])
def test_implausible_values_are_used_with_a_warning(pet_header: MakePetHeader, keyword: str, value: str) -> None:
    assert re.search("implausible, but used; on the command line, --", warnings_of(pet_header(**{keyword: value})))


@pytest.mark.parametrize(
    "missing",
    [
        {"PatientWeight": None},
        {"RadionuclideTotalDose": None},
        {"RadiopharmaceuticalStartTime": None, "RadiopharmaceuticalStartDateTime": None},
    ],
)
def test_who_has_no_command_line_is_told_to_correct_the_header(
    pet_header: MakePetHeader, missing: dict[str, None]
) -> None:
    with pytest.raises(SuvError, match=r"; correct the header, or give .* on the command line \(--"):
        suv_conversion([pet_header(**missing)])


def coded(scheme: str, value: str, meaning: str = "") -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return [item]


@pytest.mark.parametrize(
    ("changes", "half_life"),
    [
        ({"RadionuclideCodeSequence": coded("SRT", "C-111A1")}, 6586.2),
        ({"RadionuclideCodeSequence": coded("SCT", "77004003")}, 6586.2),
        ({"RadionuclideCodeSequence": coded("SNM3", "C-131A3"), "Radiopharmaceutical": None}, 4057.74),
        ({"RadionuclideCodeSequence": coded("99SDM", "C-127A2"), "Radiopharmaceutical": ""}, 45721.4),
        ({"RadionuclideCodeSequence": coded("99LOCAL", "1", "^68^Gallium"), "Radiopharmaceutical": ""}, 4057.74),
        ({"Radiopharmaceutical": "[68Ga]Ga-PSMA-11"}, 4057.74),
        ({"Radiopharmaceutical": "FDG"}, 6586.2),
    ],
)
def test_missing_half_life_is_that_of_the_named_radionuclide(
    pet_header: MakePetHeader, changes: dict[str, Any], half_life: float
) -> None:
    header = pet_header(RadionuclideHalfLife=None, **changes)
    assert factor_of(header) == pytest.approx(WEIGHT_G / (DOSE * 0.5 ** (UPTAKE / half_life)))
    assert f"{half_life:g} s of" in warnings_of(header)


@pytest.mark.parametrize(
    "changes",
    [
        {"Radiopharmaceutical": "Solution"},
        {"Radiopharmaceutical": None},
        {"Radiopharmaceutical": "68Ga-DOTATATE", "RadionuclideCodeSequence": coded("SRT", "C-111A1")},
    ],
)
def test_missing_half_life_without_a_clear_radionuclide_is_refused(
    pet_header: MakePetHeader, changes: dict[str, Any]
) -> None:
    with pytest.raises(SuvError, match="RadionuclideHalfLife"):
        suv_conversion([pet_header(RadionuclideHalfLife="", **changes)])


def test_half_life_is_compared_with_the_code(pet_header: MakePetHeader) -> None:
    minutes = pet_header(RadionuclideHalfLife="109.77", RadionuclideCodeSequence=coded("SRT", "C-111A1"))
    assert factor_of(minutes) == pytest.approx(EXPECTED)
    assert "taken as minutes" in warnings_of(minutes)
    other = pet_header(RadionuclideHalfLife="4057.74", RadionuclideCodeSequence=coded("SRT", "C-111A1"))
    assert factor_of(other) == pytest.approx(WEIGHT_G / (DOSE * 0.5 ** (UPTAKE / 4057.74)))
    assert "contradicts the radionuclide that is named" in warnings_of(other)
    unnamed = {"Radiopharmaceutical": None}
    assert "no usual PET radionuclide" in warnings_of(pet_header(RadionuclideHalfLife="5000", **unnamed))
    for says in ({"Radiopharmaceutical": "FDG"}, unnamed):
        by_name = pet_header(RadionuclideHalfLife="109.77", **says)
        assert factor_of(by_name) == pytest.approx(EXPECTED)
        assert "taken as minutes" in warnings_of(by_name)
    of_another = pet_header(RadionuclideHalfLife="6586.2", Radiopharmaceutical="68Ga-DOTATATE")
    assert "contradicts the radionuclide that is named" in warnings_of(of_another)


def test_overrides_replace_the_header_before_it_is_judged(pet_header: MakePetHeader) -> None:
    header = pet_header(
        PatientWeight="0",
        RadionuclideTotalDose=None,
        RadiopharmaceuticalStartTime=None,
        RadiopharmaceuticalStartDateTime=None,
    )
    overrides = SuvOverrides(weight_kg=70, dose_bq=350e6, injection_time=datetime(2025, 1, 1, 10))
    record = suv_conversion([header], overrides).record
    assert record.factor == pytest.approx(EXPECTED)
    assert record.overrides == {"weight": 70, "dose": 350, "injection-time": "2025-01-01T10:00:00"}
    assert [warning.split()[0] for warning in record.warnings] == ["--weight", "--dose", "--injection-time"]


def test_overrides_do_not_change_suv_of_the_scanner(pet_header: MakePetHeader) -> None:
    overrides = {"weight_kg": 80.0, "dose_bq": 1e8, "injection_time": datetime(2025, 1, 1, 9)}
    header = pet_header(Units="GML")
    assert factor_of(header, **overrides) == 1
    assert warnings_of(header, **overrides).count("has no effect") == 3
    assert suv_conversion([header], SuvOverrides(**overrides)).record.overrides == {}
    lean = pet_header(Units="GML", SUVType="IBW", PatientWeight=None)
    assert factor_of(lean, weight_kg=80.0) == pytest.approx(80 / 72.38)
    assert "--weight has no effect" not in warnings_of(lean, weight_kg=80.0)
    admin = pet_header(DecayCorrection="ADMIN")
    assert "--injection-time has no effect" in warnings_of(admin, **overrides)


@pytest.mark.parametrize(("dose_mbq", "odd"), [(10, True), (10.1, False), (370, False), (5000, False), (3e8, True)])
def test_a_given_dose_in_another_unit_draws_a_warning(pet_header: MakePetHeader, dose_mbq: float, odd: bool) -> None:
    assert ("implausible" in warnings_of(pet_header(), dose_bq=dose_mbq * 1e6)) is odd


@pytest.mark.parametrize("wrong", [{"weight_kg": 0.0}, {"weight_kg": math.nan}, {"dose_bq": -1.0}])
def test_impossible_overrides_are_a_usage_error(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="give a positive"):
        SuvOverrides(**wrong)


def test_several_injections(pet_header: MakePetHeader) -> None:
    header, later = pet_header(), pet_header(RadiopharmaceuticalStartDateTime="20250101103000")
    first = header.RadiopharmaceuticalInformationSequence[0]
    second = later.RadiopharmaceuticalInformationSequence[0]
    header.RadiopharmaceuticalInformationSequence = [Dataset(), first, first]
    assert factor_of(header) == pytest.approx(EXPECTED)
    assert "3 items" in warnings_of(header)
    header.RadiopharmaceuticalInformationSequence = [first, second]
    with pytest.raises(SuvError, match="2 injections"):
        suv_conversion([header])
    both = {"dose_bq": 350e6, "injection_time": datetime(2025, 1, 1, 10)}
    assert factor_of(header, **both) == pytest.approx(EXPECTED)


def test_times_do_not_matter_for_suv_of_the_scanner(pet_header: MakePetHeader) -> None:
    header = pet_header(Units="GML", RadiopharmaceuticalStartDateTime="20200101100000")
    assert "do not change SUV" in warnings_of(header)
    header.RadiopharmaceuticalInformationSequence = []
    del header.AcquisitionTime, header.DecayCorrection, header.PatientWeight
    record = suv_conversion([header]).record
    assert record.factor == 1
    assert record.reference_time is record.injection_time is None
    assert record.injected_mbq is record.weight_kg is record.half_life_s is record.uptake_min is None
