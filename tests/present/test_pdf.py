"""The PDF report: complete, legible, to scale, safe against hostile headers, and reproducible.

Text and pixels are read back with poppler (pdftotext, pdftoppm, pdffonts), a reader of its own.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset
from scipy import ndimage

from petlesion.lesions import Lesions
from petlesion.measure.biomarkers import measure
from petlesion.present.pdf import DISCLAIMER, write_pdf
from petlesion.report import MethodRecord, Reference, ReferenceOrgan, Report, Review, Sphere, SuvRecord
from petlesion.study import DicomSource, Patient, PetCt
from petlesion.tracers import TRACERS, TracerName
from petlesion.volume import Grid, Volume

GRID = Grid.from_geometry((40, 32, 48), (5.0, 6.0, 4.0), (-96.0, -96.0, -100.0))
REFERENCE = Reference(ReferenceOrgan.LIVER, 4.5, 0.45, 7.65, (Sphere((-40.0, 0.0, 0.0), 15.0),))


@pytest.fixture(autouse=True)
def _poppler() -> None:
    missing = [tool for tool in ("pdftotext", "pdftoppm", "pdffonts") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (Debian package poppler-utils) to read the PDF back")


def make_study(pet: NDArray[np.float32] | None = None, grid: Grid = GRID) -> PetCt:
    header = Dataset()
    header.StudyDate, header.StudyDescription = "20210314", "PET/CT <whole> body & legs"
    array = np.full(grid.shape, 1.0, dtype=np.float32) if pet is None else pet
    return PetCt(
        pet=Volume(array, grid),
        ct=None,
        tracer=TRACERS[TracerName.GA68_DOTATATE],
        patient=Patient("ID-1", "Müller^Änne", date(1956, 7, 8), "F", 71.5, 1.68),
        suv=SuvRecord("BQML", "START", 3.876e-4, datetime(2021, 3, 14, 10, 31), None, ("decay & <time> assumed",)),
        study_instance_uid="1.2.840.99",
        pet_series_instance_uid="1.2.840.99.1",
        source=DicomSource((header,), "1.2.840.99.2"),
        selection=("the only PET of 2 & <more>",),
    )


def make_lesions(count: int, grid: Grid = GRID) -> Lesions:
    """Lesions of 2 x 2 x 2 voxels on a lattice."""
    labels = np.zeros(grid.shape, dtype=np.uint16)
    places = [(z, y, x) for z in range(1, 38, 4) for x in range(1, 46, 4) for y in range(1, 30, 4)]
    for number, (z, y, x) in enumerate(places[:count], start=1):
        labels[z : z + 2, y : y + 2, x : x + 2] = number
    method = MethodRecord("percist", "0.1.0", None, {"factor": 1.5, "threshold_suv": 7.65})
    return Lesions(labels, grid, method, REFERENCE, warnings=("bladder & <kidneys> are avid",))


def write(path: Path, study: PetCt, lesions: Lesions) -> Report:
    report = measure(study, lesions)
    write_pdf(study, lesions, report, path)
    return report


def pages(path: Path) -> list[str]:
    """Text of each page, white space as single blanks."""
    text = subprocess.run(["pdftotext", "-layout", path, "-"], check=True, capture_output=True).stdout.decode()
    return [" ".join(page.split()) for page in text.split("\f") if page.strip()]


def rendered(path: Path, dpi: int = 100) -> NDArray[np.uint8]:
    """(rows, columns, 3) of page 1."""
    prefix = path.with_suffix("")
    subprocess.run(["pdftoppm", "-r", str(dpi), "-f", "1", "-singlefile", path, prefix], check=True)
    with Image.open(prefix.with_suffix(".ppm")) as image:
        return np.asarray(image.convert("RGB"))


def test_page_one_names_patient_study_warnings_and_totals(tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    report = write(path, make_study(), make_lesions(3))
    (page,) = pages(path)
    assert DISCLAIMER in page
    for text in ("Müller, Änne", "ID-1", "1956-07-08", "female", "71.5 kg, 1.68 m", "2021-03-14", "68Ga-DOTATATE"):
        assert text in page, text
    for text in ("Candidates of an algorithm, not lesions", "bladder & <kidneys> are avid", "decay & <time> assumed"):
        assert text in page, text
    assert "Candidates, largest first" in page
    for text in ("SUVbw 7.65 (liver: mean 4.50, SD 0.45)", "PET/CT <whole> body & legs", "the only PET of 2 & <more>"):
        assert text in page, text
    for text in ("no network was used", "SD 0.45; threshold 7.65 Reference spheres"):
        assert text in page, text
    for text in ("0.0003876", "2021-03-14 10:31:00", "injection not known", "1.2.840.99.2", "Page 1 of 1"):
        assert text in page, text
    totals = report.totals
    assert f"{totals.n_lesions} {totals.ttv_ml:.1f} {totals.tlu:.1f} {totals.suv_max:.2f}" in page


def test_descriptions_with_a_backslash_are_printed_as_they_were_written(tmp_path: Path) -> None:
    study = make_study()
    study.source.pet_headers[0].SeriesDescription = "PET\\WB 3D"
    write(tmp_path / "report.pdf", study, make_lesions(0))
    (page,) = pages(tmp_path / "report.pdf")
    assert "PET\\WB 3D" in page


def test_the_head_of_a_page_cuts_a_long_name_and_neither_date_nor_id(tmp_path: Path) -> None:
    study = make_study()
    study = replace(study, patient=replace(study.patient, name="Wolfeschlegelsteinhausenbergerdorff^Hubert Blaine" * 2))
    write(tmp_path / "report.pdf", study, make_lesions(0))
    (page,) = pages(tmp_path / "report.pdf")
    assert "2021-03-14 · ID-1 · Wolfeschlegelsteinhausenbergerdorff, Hubert" in page


@pytest.mark.parametrize(
    ("tracer", "top"),
    [(TracerName.F18_FDG, 5), (TracerName.GA68_DOTATATE, 15), (TracerName.GA68_PSMA11, 15), (TracerName.UNKNOWN, 10)],
)
def test_the_grey_scale_ends_where_the_viewer_begins(tmp_path: Path, tracer: TracerName, top: int) -> None:
    write(tmp_path / "report.pdf", replace(make_study(), tracer=TRACERS[tracer]), make_lesions(0))
    (page,) = pages(tmp_path / "report.pdf")
    assert f"SUVbw 0 (white) to {top} (black)" in page


def test_the_product_of_suv_and_volume_has_the_name_of_its_tracer(tmp_path: Path) -> None:
    for tracer, name, other in ((TracerName.F18_FDG, "TLG", "TLU"), (TracerName.GA68_DOTATATE, "TLU", "TLG")):
        write(tmp_path / "report.pdf", replace(make_study(), tracer=TRACERS[tracer]), make_lesions(3))
        (page,) = pages(tmp_path / "report.pdf")
        assert f"({name}), g" in page
        assert f"{name}: SUVmean × volume" in page
        assert other not in page


def test_confidence_is_defined_where_it_is_printed(tmp_path: Path) -> None:
    lesions = make_lesions(3)
    definition = "not calibrated, no probability of malignancy"
    for confidences in ({}, {1: 0.9}):
        write(tmp_path / "report.pdf", make_study(), replace(lesions, confidences=confidences))
        assert (definition in " ".join(pages(tmp_path / "report.pdf"))) == bool(confidences)


def test_injected_activity_and_uptake_time_are_printed_where_they_are_known(tmp_path: Path) -> None:
    study = make_study()
    known = replace(study.suv, injected_mbq=149.6, uptake_min=62.25, half_life_s=4057.74, weight_kg=71.5)
    write(tmp_path / "report.pdf", replace(study, suv=known), make_lesions(0))
    (page,) = pages(tmp_path / "report.pdf")
    assert "68Ga-DOTATATE, 150 MBq, 62 min p.i." in page
    assert "injected activity 149.6 MBq; uptake time 62.25 min; half-life 4057.74 s; body weight 71.5 kg" in page
    write(tmp_path / "report.pdf", study, make_lesions(0))
    (page,) = pages(tmp_path / "report.pdf")
    assert "MBq" not in page
    assert "p.i." not in page


def test_no_lesion_says_none(tmp_path: Path) -> None:
    lesions = replace(make_lesions(0), review=Review.FILTERED)
    write(tmp_path / "report.pdf", make_study(), lesions)
    (page,) = pages(tmp_path / "report.pdf")
    assert "Lesions None was found." in page
    assert "none 0.0 0.0 – – – –" in page
    assert "A physician must review the result." in page


def test_a_network_is_named_and_no_threshold_is_said_to_have_been_applied(tmp_path: Path) -> None:
    lesions = replace(
        make_lesions(3), method=MethodRecord("unet", "1", "ab" * 32, {"refine": False}), review=Review.FILTERED
    )
    write(tmp_path / "report.pdf", make_study(), lesions)
    (page,) = pages(tmp_path / "report.pdf")
    assert "Threshold none: a network decided" in page
    assert "SD 0.45; threshold 7.65, not applied to the lesions of the network" in page
    assert "lesions may be missing" in page
    assert "ab" * 32 in page


def test_the_spleen_is_not_named_as_the_source_of_a_threshold_that_replaces_its_own(tmp_path: Path) -> None:
    for threshold, source in ((3.0, ""), (3.21, " (spleen: mean 4.00, SD 0.27)")):
        lesions = replace(
            make_lesions(3),
            reference=Reference(ReferenceOrgan.SPLEEN, 4.0, 0.27, threshold),
            method=MethodRecord("percist", "1", None, {"threshold_suv": threshold}),
        )
        write(tmp_path / "report.pdf", replace(make_study(), tracer=TRACERS[TracerName.F18_FDG]), lesions)
        (page,) = pages(tmp_path / "report.pdf")
        assert f"Threshold SUVbw {threshold:.2f}{source} " in page
        fixed = "" if source else ", the fixed one of the tracer"
        assert f"spleen: mean 4.00, SD 0.27; threshold {threshold:.2f}{fixed} " in page


@pytest.mark.parametrize("count", [60, 250])
def test_many_lesions_continue_on_further_pages(tmp_path: Path, count: int) -> None:
    path = tmp_path / "report.pdf"
    report = write(path, make_study(), make_lesions(count))
    texts = pages(path)
    assert all(DISCLAIMER in page and f"Page {n} of {len(texts)}" in page for n, page in enumerate(texts, start=1))
    assert all("2021-03-14 · ID-1 · Müller, Änne" in page for page in texts)
    everything = " ".join(texts)
    for lesion in report.lesions[:200]:
        assert f"{', '.join(f'{c:.0f}' for c in lesion.centroid_mm)}" in everything
    assert ("50 smaller candidates are listed in lesions.csv" in everything) == (count > 200)
    assert ("60 largest are numbered" in everything) == (count > 60)


@pytest.mark.parametrize(
    "name",
    [
        "<b>&amp;</b><img src='http://x'/>",
        "=山田^太郎",
        "\x1b\x00<para>",
        "W" * 64 + "^" + "W" * 64,
        "&#0; ]]>",
        "",
        "long" * 9999,
    ],
)
def test_hostile_names_are_only_text(tmp_path: Path, name: str) -> None:
    study, lesions = make_study(), make_lesions(2)
    patient = replace(study.patient, name=name, patient_id=name)
    study = replace(study, patient=patient, selection=(name,), warnings=(name,), source=None)
    write(tmp_path / "report.pdf", study, replace(lesions, locations={1: name, 2: name}))
    assert "How it was measured" in " ".join(pages(tmp_path / "report.pdf"))


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.pdf", "two.pdf"):
        write(tmp_path / name, make_study(), make_lesions(5))
    content = (tmp_path / "one.pdf").read_bytes()
    assert content == (tmp_path / "two.pdf").read_bytes()
    assert b"/CreationDate (D:2000" in content


def test_all_fonts_are_embedded(tmp_path: Path) -> None:
    write(tmp_path / "report.pdf", make_study(), make_lesions(5))
    table = subprocess.run(["pdffonts", tmp_path / "report.pdf"], check=True, capture_output=True, text=True).stdout
    fonts = table.splitlines()[2:]
    assert len(fonts) == 2
    assert all("DejaVuSans" in font and " yes yes yes " in font for font in fonts)


def dark_box(image: NDArray[np.uint8], region: tuple[slice, slice]) -> tuple[float, float, float, float]:
    """Top, bottom, left and right edge of the largest area within a region of the page above half of the window."""
    dark, _ = ndimage.label(image[region].max(axis=2) < 119)
    largest = 1 + np.bincount(dark.ravel())[1:].argmax()
    rows, columns = ndimage.find_objects(dark)[largest - 1]
    return rows.start, rows.stop, columns.start, columns.stop


def test_projections_are_upright_to_scale_and_the_right_way_round(tmp_path: Path) -> None:
    pet = np.full(GRID.shape, 1.0, dtype=np.float32)
    pet[28:36, 2:12, 30:45] = 15.0  # 40 mm high, 60 mm deep, 60 mm wide: towards head, front and left
    write(tmp_path / "report.pdf", make_study(pet), replace(make_lesions(0), warnings=()))
    page = rendered(tmp_path / "report.pdf")
    rows = slice(260, 760)
    anterior, lateral = dark_box(page, (rows, slice(80, 370))), dark_box(page, (rows, slice(400, 700)))
    for top, bottom, left, right in (anterior, lateral):
        assert (right - left) / (bottom - top) == pytest.approx(60 / 40, rel=0.05)
    frame_middle = 220
    assert anterior[2] > frame_middle - 80, "the patient's left is on the right of the anterior view"
    assert (lateral[2] + lateral[3]) / 2 < 150, "the front is on the left of the lateral view"
    assert anterior[0] == pytest.approx(lateral[0], abs=2), "both views are at the same height"


def test_lesions_and_reference_spheres_are_drawn_in_their_colours(tmp_path: Path) -> None:
    def count(image: NDArray[np.uint8], color: tuple[int, int, int]) -> int:
        return int((np.abs(image[500:1600].astype(int) - color).sum(axis=2) < 60).sum())

    vermilion, blue = (0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2)
    write(tmp_path / "with.pdf", make_study(), make_lesions(3))
    write(
        tmp_path / "without.pdf",
        make_study(),
        replace(make_lesions(0), reference=Reference(ReferenceOrgan.NONE, None, None, None)),
    )
    drawn, bare = (rendered(tmp_path / f"{name}.pdf", 200) for name in ("with", "without"))
    assert count(drawn, vermilion) > 100
    assert count(drawn, blue) > 50
    assert count(bare, vermilion) == count(bare, blue) == 0


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((1, 40, 40), (5.0, 4.0, 4.0)),
        ((3, 160, 160), (3.0, 4.0, 4.0)),
        ((600, 20, 20), (3.0, 4.0, 4.0)),
        ((1, 1, 1), (2.0, 2.0, 2.0)),
    ],
)
def test_cropped_studies_fit_the_page(
    tmp_path: Path, shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    grid = Grid.from_geometry(shape, spacing)
    labels = np.zeros(shape, dtype=np.uint16)
    labels[0, 0, 0] = 1
    lesions = Lesions(labels, grid, MethodRecord("fixed", "1"), review=Review.REVIEWED)
    write(tmp_path / "report.pdf", make_study(grid=grid), lesions)
    texts = pages(tmp_path / "report.pdf")
    assert len(texts) <= 2
    assert "anterior left lateral" in texts[0]


def test_a_blank_image_is_shown_whole(tmp_path: Path) -> None:
    write(tmp_path / "report.pdf", make_study(np.zeros(GRID.shape, dtype=np.float32)), make_lesions(0))
    assert "anterior left lateral" in pages(tmp_path / "report.pdf")[0]


def test_many_warnings_leave_the_projections_on_their_page(tmp_path: Path) -> None:
    warnings = tuple(f"warning {n}: {'long words ' * 20}" for n in range(40))
    write(tmp_path / "report.pdf", make_study(), replace(make_lesions(3), warnings=warnings))
    texts = pages(tmp_path / "report.pdf")
    assert len(texts) <= 4
    everything = " ".join(texts)
    assert all(f"warning {n}:" in everything for n in range(40))


def test_a_real_tumour(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "sts" / "STS_002"
    image, mask = (nib.load(folder / f"{name}.nii.gz") for name in ("pet", "gtv"))
    pet = np.ascontiguousarray(np.asarray(image.dataobj, dtype=np.float32).T)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine @ np.eye(4)[:, [2, 1, 0, 3]]
    grid = Grid(pet.shape, affine)
    labels = np.ascontiguousarray((np.asarray(mask.dataobj).T > 0).astype(np.uint16))
    lesions = Lesions(labels, grid, MethodRecord("mask", "1"), review=Review.REVIEWED)
    report = write(tmp_path / "report.pdf", make_study(pet, grid), lesions)
    (lesion,) = report.lesions
    (page,) = pages(tmp_path / "report.pdf")
    assert f"1 {lesion.volume_ml:.2f} {lesion.suv_max:.2f} {lesion.suv_peak:.2f} {lesion.suv_mean:.2f}" in page
    assert "From a segmentation that a person made or accepted." in page
