"""What the deployed application writes, stored in the archive and opened in OHIF: the lesions are where they belong."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import requests
from annotation_server import CT_GRID, LESIONS, PET_GRID, REPOSITORY, Site, small_suv, write_small_study
from lesions_panel import LesionsPanel
from ohif_panel import browser_page

from petlesion.server.viewer import ohif_folder
from petlesion.volume import Volume

pytest.importorskip("holoscan", reason="holoscan is not installed")


NOTICED_S = 60
"""The server looks every 30 s for labels that others have stored."""


def wait_until_noticed(site: Site, pet: str) -> None:
    deadline = time.monotonic() + NOTICED_S
    while time.monotonic() < deadline:
        answer = requests.get(f"{site.url}/datastore/image/info", params={"image": pet}, timeout=60)
        if answer.ok and answer.json()["labels"]:
            return
        time.sleep(1)
    pytest.fail(f"the SEG was not noticed within {NOTICED_S} s")


def test_results_open_in_ohif_with_the_lesions_in_their_places(site: Site, tmp_path: Path) -> None:
    if ohif_folder() is None:
        pytest.skip("OHIF is not here: make viewer")
    hu = np.full(CT_GRID.shape, -1000.0)
    hu[:, 10:-10, 10:-10] = 40.0
    study = write_small_study(tmp_path / "dicom", "results", (small_suv(), Volume(hu, CT_GRID)))
    command = [sys.executable, REPOSITORY / "deploy_app", "-i", study.folder, "-o", tmp_path / "out", "-m", tmp_path]
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PETLESION_", "HOLOSCAN_"))}
    subprocess.run(
        list(map(str, command)), env=own | {"PETLESION_METHOD": "fixed"}, check=True, capture_output=True, timeout=300
    )
    assert {"seg.dcm", "sr.dcm", "rtstruct.dcm"} <= {path.name for path in (tmp_path / "out").iterdir()}
    site.orthanc.store(tmp_path / "dicom")
    site.orthanc.store(tmp_path / "out")
    wait_until_noticed(site, study.pet)
    with browser_page() as page:
        panel = LesionsPanel(page, site.url, study.study)
        panel.wait_for_note("Continues from")
        panel.wait_for_lesions(len(LESIONS))
        np.testing.assert_array_equal(panel.voxels(PET_GRID.shape) > 0, small_suv().array >= 3)
        assert sorted(row[2] for row in panel.rows()) == sorted(LESIONS.values())
        known = page.evaluate("window.services.displaySetService.getActiveDisplaySets().map(each => each.Modality)")
        assert {"SEG", "SR", "RTSTRUCT"} <= set(known)
        assert panel.trouble == []
