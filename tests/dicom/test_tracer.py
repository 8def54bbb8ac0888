"""Tracer and radionuclide that headers name, by code, text and half-life."""

from __future__ import annotations

import pytest
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.tag import Tag

from petlesion.dicom.radionuclide import (
    HALF_LIFE_S,
    Radionuclide,
    coded_radionuclide,
    radionuclide_in_text,
    radionuclide_of_half_life,
)
from petlesion.dicom.tracer import _CODES, Ligand, identify_tracer
from petlesion.tracers import TRACERS, TracerName

F18, GA68, CU64 = "6586.2", "4057.74", "45723.6"


def code_item(scheme: str, value: str, meaning: str = "") -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return [item]


def header(
    text: str = "",
    half_life: str = "",
    nuclide: list[Dataset] | None = None,
    pharmaceutical: list[Dataset] | None = None,
) -> Dataset:
    item, image = Dataset(), Dataset()
    item.Radiopharmaceutical, item.RadionuclideHalfLife = text, half_life
    item.RadionuclideCodeSequence = nuclide or []
    item.RadiopharmaceuticalCodeSequence = pharmaceutical or []
    image.RadiopharmaceuticalInformationSequence = [item]
    return image


@pytest.mark.parametrize(
    ("text", "half_life", "expected"),
    [
        ("FDG -- fluorodeoxyglucose", F18, "f18-fdg"),
        ("Fluorodeoxyglucose", F18, "f18-fdg"),
        ("Fluorodeoxyglucose F^18^", "", "f18-fdg"),
        ("FDG (fluorodeoxyglucose)", "", "f18-fdg"),
        ("Fludeoxyglucose F18 Injection", "6588", "f18-fdg"),
        ("Fluordesoxyglucose", F18, "f18-fdg"),
        ("18FDG", "", "f18-fdg"),
        ("2-deoxy-2-[18F]fluoro-D-glucose", "", "f18-fdg"),
        ("68Ga-DOTATATE", GA68, "ga68-dotatate"),
        ("68Ga-DOTATATE", "", "ga68-dotatate"),
        ("DOTATATE", "4080", "ga68-dotatate"),
        ("DOTATATE", CU64, "cu64-dotatate"),
        ("Dotatate Cu^64^", "", "cu64-dotatate"),
        ("Copper Cu 64 dotatate", CU64, "cu64-dotatate"),
        ("Detectnet", CU64, "cu64-dotatate"),
        ("DETECTNET (copper Cu 64 dotatate injection)", "", "cu64-dotatate"),
        ("NETSPOT", GA68, "ga68-dotatate"),
        ("[68Ga]Ga-DOTA-0-Tyr3-Octreotate", "", "ga68-dotatate"),
        ("Gallium edotreotide", GA68, "ga68-dotatoc"),
        ("SomaKit TOC", "", "ga68-dotatoc"),
        ("68Ga DOTA-TOC", GA68, "ga68-dotatoc"),
        ("Ga-68 PSMA", GA68, "ga68-psma11"),
        ("Ga68-PSMA", "4057.7", "ga68-psma11"),
        ("PSMA-11", GA68, "ga68-psma11"),
        ("PSMA-11 Ga^68^", "", "ga68-psma11"),
        ("Gallium Ga 68 gozetotide", "", "ga68-psma11"),
        ("Illuccix", "", "ga68-psma11"),
        ("Locametz", GA68, "ga68-psma11"),
        ("68Ga-PSMA-HBED-CC", "", "ga68-psma11"),
        ("[18F]PSMA-1007", F18, "f18-psma1007"),
        ("PSMA-1007 F^18^", "", "f18-psma1007"),
        ("PSMA 1007", "", "f18-psma1007"),
        ("PSMA_1007", F18, "f18-psma1007"),
        ("DOTA_TATE", GA68, "ga68-dotatate"),
        ("PSMA_11", GA68, "ga68-psma11"),
        ("18F-DCFPyL", F18, "f18-dcfpyl"),
        ("Pylarify", "", "f18-dcfpyl"),
        ("Piflufolastat F^18^", "", "f18-dcfpyl"),
    ],
)
def test_names_of_vendors_and_sites(text: str, half_life: str, expected: str) -> None:
    assert identify_tracer(header(text, half_life)).tracer is TRACERS[TracerName(expected)]


@pytest.mark.parametrize(
    ("text", "half_life"),
    [
        ("", ""),
        ("", F18),
        ("Solution", F18),
        ("Solution", GA68),
        ("DOTATATE", ""),
        ("DOTATATE", F18),
        ("PSMA", F18),
        ("18F-PSMA", F18),
        ("PSMA-11", F18),
        ("PSMA-1007", GA68),
        ("PSMA_1007", GA68),
        ("18F-rhPSMA-7.3", F18),
        ("Flotufolastat F18 (PSMA)", F18),
        ("68Ga-PSMA-617", GA68),
        ("68Ga-PSMA I&T", GA68),
        ("68Ga-DOTANOC", GA68),
        ("FDG", GA68),
        ("68Ga-FDG", F18),
        ("FDG and PSMA-1007", F18),
        ("[11C]Choline", "1220"),
        ("Sodium fluoride F^18^", F18),
        ("68Ga-DOTATATE", CU64),
    ],
)
def test_what_is_not_clear_stays_unknown(text: str, half_life: str) -> None:
    identification = identify_tracer(header(text, half_life))
    assert identification.tracer.name is TracerName.UNKNOWN
    assert text in identification.reason


@pytest.mark.parametrize(
    ("scheme", "value", "expected"),
    [
        ("SRT", "C-B1031", "f18-fdg"),
        ("SNM3", "C-B1031", "f18-fdg"),
        ("SCT", "35321007", "f18-fdg"),
        ("SCT", "724025002", "ga68-dotatate"),
        ("UMLS", "C2713594", "ga68-dotatoc"),
        ("NCIt", "C118961", "ga68-psma11"),
        ("DCM", "126758", "f18-psma1007"),
        ("NCIt", "C116352", "f18-dcfpyl"),
        ("NCIt", "C96234", "unknown"),
        ("99LOCAL", "35321007", "unknown"),
    ],
)
def test_codes_of_the_radiopharmaceutical(scheme: str, value: str, expected: str) -> None:
    coded = header("Solution", pharmaceutical=code_item(scheme, value))
    assert identify_tracer(coded).tracer.name == expected


def test_codes_are_those_of_the_standard() -> None:
    standard = codes.cid4021
    named = {
        (Ligand.FDG, Radionuclide.F18): standard.FluorodeoxyglucoseF18,
        (Ligand.DOTATATE, Radionuclide.GA68): standard.DotatateGa68,
        (Ligand.DOTATOC, Radionuclide.GA68): standard.EdotreotideGa68,
        (Ligand.PSMA_11, Radionuclide.GA68): standard.PSMA11Ga68,
        (Ligand.PSMA_1007, Radionuclide.F18): standard.PSMA1007F18,
        (Ligand.DCFPYL, Radionuclide.F18): standard.PiflufolastatF18,
    }
    assert {(ligand, nuclide): code for code, ligand, nuclide in _CODES} == named


def test_code_and_text_must_agree() -> None:
    fdg = code_item("SRT", "C-B1031")
    assert identify_tracer(header("68Ga-DOTATATE", GA68, pharmaceutical=fdg)).tracer.name is TracerName.UNKNOWN
    assert (
        identify_tracer(header("DOTATATE", CU64, code_item("SRT", "C-127A2"))).tracer.name is TracerName.CU64_DOTATATE
    )
    assert identify_tracer(header("DOTATATE", GA68, code_item("SRT", "C-127A2"))).tracer.name is TracerName.UNKNOWN
    assert (
        identify_tracer(header("", F18, pharmaceutical=code_item("99GE", "Y-X1743", "FDG"))).tracer.name
        is TracerName.F18_FDG
    )


def test_the_private_tracer_name_of_ge_counts_as_text() -> None:
    image = header("", GA68)
    image.add_new(Tag(0x0009, 0x0010), "LO", "GEMS_PETD_01")
    image.add_new(Tag(0x0009, 0x1036), "UN", b"DOTATATE")
    assert identify_tracer(image).tracer.name is TracerName.GA68_DOTATATE


def test_descriptions_name_no_tracer() -> None:
    described = header("Solution", GA68)
    described.SeriesDescription = "68Ga-PSMA-11 WB"
    assert identify_tracer(described).tracer.name is TracerName.UNKNOWN
    assert identify_tracer(Dataset()).tracer.name is TracerName.UNKNOWN


STANDARD_RADIONUCLIDE = {
    Radionuclide.C11: codes.cid4020._11Carbon,
    Radionuclide.N13: codes.cid4020._13Nitrogen,
    Radionuclide.O15: codes.cid4020._15Oxygen,
    Radionuclide.F18: codes.cid4020._18Fluorine,
    Radionuclide.CU64: codes.cid4020._64Copper,
    Radionuclide.GA68: codes.cid4020._68Gallium,
    Radionuclide.ZR89: codes.cid4020._89Zirconium,
    Radionuclide.I124: codes.cid4020._124Iodine,
}


@pytest.mark.parametrize("nuclide", list(Radionuclide))
def test_radionuclides_by_code_name_and_half_life(nuclide: Radionuclide) -> None:
    standard = STANDARD_RADIONUCLIDE[nuclide]
    item = Dataset()
    item.RadionuclideCodeSequence = code_item(standard.scheme_designator, standard.value)
    assert coded_radionuclide(item) is nuclide
    assert radionuclide_in_text(standard.meaning) is nuclide
    assert radionuclide_of_half_life(1.005 * HALF_LIFE_S[nuclide]) is nuclide


@pytest.mark.parametrize(
    ("value", "nuclide"),
    [("C-111A1", Radionuclide.F18), ("C-131A3", Radionuclide.GA68), ("C-127A2", Radionuclide.CU64)],
)
@pytest.mark.parametrize("scheme", ["SRT", "SNM3", "99SDM", "srt"])
def test_radionuclides_by_snomed_rt(scheme: str, value: str, nuclide: Radionuclide) -> None:
    item = Dataset()
    item.RadionuclideCodeSequence = code_item(scheme, value)
    assert coded_radionuclide(item) is nuclide


def test_codes_of_other_radionuclides_of_an_element_are_not_mixed_up() -> None:
    for value in ("C-131A1", "C-127A4", "C-131A2"):  # 66Ga, 60Cu, 67Ga
        item = Dataset()
        item.RadionuclideCodeSequence = code_item("SRT", value)
        assert coded_radionuclide(item) is None


@pytest.mark.parametrize("label", ["", "PSMA-11", "T807", "1007", "AF18", "68Ga/64Cu", "718 f"])
def test_texts_without_a_single_radionuclide(label: str) -> None:
    assert radionuclide_in_text(label) is None


@pytest.mark.parametrize("half_life", [None, 0.0, 5000.0, 23.4e6])
def test_half_lives_of_no_usual_radionuclide(half_life: float | None) -> None:
    assert radionuclide_of_half_life(half_life) is None


def test_half_lives_of_tracers_are_those_of_their_radionuclide() -> None:
    for tracer in TRACERS.values():
        if tracer.half_life_s is not None:
            nuclide = radionuclide_of_half_life(tracer.half_life_s)
            assert nuclide is not None
            assert tracer.title.startswith(nuclide.value)
            assert tracer.half_life_s == HALF_LIFE_S[nuclide]
