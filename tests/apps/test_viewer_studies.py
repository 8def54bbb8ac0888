"""Studies that lack a series, opened in the mode "PET lesions": what is there is shown, and what is not is said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from annotation_server import CT_GRID, LESIONS, PET_GRID, Site, small_suv, write_small_study
from lesions_panel import LesionsPanel
from ohif_panel import browser_page
from pydicom import dcmread

from petlesion.identifiers import derived_uid
from petlesion.server.viewer import ohif_folder
from petlesion.volume import Volume

pytestmark = pytest.mark.skipif(ohif_folder() is None, reason="OHIF is not here: make viewer")


def store_series(site: Site, folder: Path, name: str, modality: str) -> str:
    """Store one of the two series of a small study; returns the StudyInstanceUID."""
    study = write_small_study(folder, name)
    for path in study.folder.glob("*.dcm"):
        if not path.name.startswith(modality):
            path.unlink()
    site.orthanc.store(study.folder)
    return study.study


def test_pet_without_ct(site: Site, tmp_path: Path) -> None:
    with browser_page() as page:
        panel = LesionsPanel(page, site.url, store_series(site, tmp_path, "petra", "PT"))
        shown = {each.get_attribute("data-viewportid") for each in page.locator("[data-viewportid]").all()}
        assert shown == {"pet-axial", "pet-sagittal", "pet-coronal", "mip"}
        for viewport in ("pet-axial", "mip"):
            assert np.median(panel.picture(viewport)[5:-5, 5:15]) > 200, "no uptake is white"
        panel.run("fixed")
        panel.wait_for_lesions(len(LESIONS))
        assert panel.trouble == []


def body_ct() -> Volume:
    hu = np.full(CT_GRID.shape, -1000.0)
    hu[:, 10:-10, 10:-10] = 40.0
    return Volume(hu, CT_GRID)


def write_weaker(folder: Path, *, keep: bool, corrections: Sequence[str] = ("DECY",)) -> str:
    """Beside a PET, or in its place, another of a third of the SUV, by default one not corrected for attenuation."""
    for path in sorted(folder.glob("PT*.dcm")):
        header = dcmread(path)
        header.CorrectedImage = list(corrections)
        header.SeriesInstanceUID = derived_uid("weaker", header.SeriesInstanceUID)
        header.SOPInstanceUID = derived_uid("weaker", header.SOPInstanceUID)
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        header.RescaleSlope = header.RescaleSlope / 3
        header.save_as(folder / f"other-{path.name}")
        if not keep:
            path.unlink()
    return str(header.SeriesInstanceUID)


def test_of_two_pets_the_corrected_one_is_shown_and_measured(site: Site, tmp_path: Path) -> None:
    study = write_small_study(tmp_path, "twopets", (small_suv(), body_ct()))
    write_weaker(study.folder, keep=True)
    site.orthanc.store(study.folder)
    with browser_page() as page:
        panel = LesionsPanel(page, site.url, study.study)
        panel.run("fixed")
        panel.wait_for_lesions(len(LESIONS))
        assert sorted(row[2] for row in panel.rows()) == sorted(LESIONS.values())
        assert panel.trouble == []


def test_next_case_opens_the_pet_that_was_chosen_of_two(site: Site, tmp_path: Path) -> None:
    study = write_small_study(tmp_path, "bothpets", (small_suv(), body_ct()))
    weaker = write_weaker(study.folder, keep=True, corrections=("DECY", "ATTN"))
    max(study.folder.glob("other-*.dcm")).unlink()  # the one with most images is shown otherwise
    site.orthanc.store(study.folder)
    with browser_page() as page:
        panel = LesionsPanel(page, site.url, study.study)
        chosen = {"id": weaker, "study_uid": study.study, "reason": "chosen by the test"}
        page.route("**/activelearning/*", lambda route: route.fulfill(json=chosen))
        with page.expect_navigation():
            panel.button("Next case")
        panel.wait_until_open()
        panel.wait_for_note("chosen by the test")
        panel.run("fixed")
        panel.wait_for_lesions(2)
        assert sorted(row[2] for row in panel.rows()) == [3.0, 4.0]
        assert panel.trouble == []


def test_uncorrected_pet_alone_is_shown_and_refused(site: Site, tmp_path: Path) -> None:
    study = write_small_study(tmp_path, "uncorrected", (small_suv(), body_ct()))
    write_weaker(study.folder, keep=False)
    site.orthanc.store(study.folder)
    with browser_page() as page:
        page.goto(f"{site.url}/pet-lesions?StudyInstanceUIDs={study.study}")
        page.locator('.petlesion [role="alert"]').get_by_text("not attenuation-corrected").wait_for()
        assert page.locator(".petlesion").get_by_role("button", name="Run", exact=True).is_disabled()


def test_counts_of_philips_are_measured_as_suv(site: Site, tmp_path: Path) -> None:
    study = write_small_study(tmp_path, "philips", (small_suv(), body_ct()))
    for path in study.folder.glob("PT*.dcm"):
        header = dcmread(path)
        header.Units, header.Manufacturer = "CNTS", "Philips Medical Systems"
        # 70 MBq in 70 kg: an SUV of 1 is 1000 Bq/mL, which the counts are here
        header.private_block(0x7053, "Philips PET Private Group", create=True).add_new(0x00, "DS", "0.001")
        header.save_as(path)
    site.orthanc.store(study.folder)
    with browser_page() as page:
        panel = LesionsPanel(page, site.url, study.study)
        panel.run("fixed")
        panel.wait_for_lesions(len(LESIONS))
        assert [row[2] for row in sorted(panel.rows())] == pytest.approx(
            sorted(LESIONS.values(), reverse=True), rel=0.01
        )
        assert panel.trouble == []


def test_as_many_lesions_as_a_patient_full_of_metastases_has(site: Site, tmp_path: Path) -> None:
    suv = np.ones(PET_GRID.shape, dtype=np.float32)
    places = [(z, y, x) for z in range(3, 28, 6) for y in range(5, 41, 6) for x in range(7, 32, 6)][:120]
    for n, (z, y, x) in enumerate(places):
        suv[z : z + 2, y : y + 2, x : x + 2] = 5 + n / 10
    study = write_small_study(tmp_path, "many", (Volume(suv, PET_GRID), body_ct()))
    site.orthanc.store(study.folder)
    with browser_page() as page:
        panel = LesionsPanel(page, site.url, study.study)
        panel.run("fixed")
        panel.wait_for_lesions(len(places))
        assert len(places) == 120
        row = page.locator(".petlesion tbody tr").last
        row.scroll_into_view_if_needed()
        row.locator("td").nth(1).click()
        panel.key("Delete")
        panel.wait_for_lesions(119)
        assert np.unique(panel.voxels(PET_GRID.shape)).size == 120
        assert panel.trouble == []


def test_ct_without_pet(site: Site, tmp_path: Path) -> None:
    with browser_page() as page:
        page.goto(f"{site.url}/pet-lesions?StudyInstanceUIDs={store_series(site, tmp_path, 'conrad', 'CT')}")
        page.locator(".petlesion").get_by_text("no PET that can be annotated").wait_for()
