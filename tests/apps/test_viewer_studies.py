"""Studies that lack a series, opened in the mode "PET lesions": what is there is shown, and what is not is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from annotation_server import LESIONS, Site, write_small_study
from lesions_panel import LesionsPanel
from ohif_panel import browser_page

from petlesion.server.viewer import ohif_folder

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


def test_ct_without_pet(site: Site, tmp_path: Path) -> None:
    with browser_page() as page:
        page.goto(f"{site.url}/pet-lesions?StudyInstanceUIDs={store_series(site, tmp_path, 'conrad', 'CT')}")
        page.locator(".petlesion").get_by_text("no PET that can be annotated").wait_for()
