"""The bundled OHIF in Chromium: models run from MONAI Label's panel, and what they find is drawn where it is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from annotation_server import CT_GRID, PET_GRID, Site, small_suv, write_network
from numpy.typing import NDArray
from ohif_panel import OhifPanel, browser_page

from petlesion.nifti import write_labels
from petlesion.nrrd import read_nrrd

GRIDS = {"PT": PET_GRID, "CT": CT_GRID}
VIEWPORTS = np.s_[50:890, 285:1215]
"""Rows and columns of the page that show images."""


@pytest.fixture
def network(site: Site) -> Iterator[None]:
    """A network in service for one test: it takes the whole body for lesion."""
    folder = site.server.log.parent / "petlesion" / "model" / "unet"
    write_network(folder)
    yield
    shutil.rmtree(folder)


def answer_of_server(site: Site, model: str, series: str, tmp_path: Path) -> NDArray[np.integer]:
    answer = requests.post(f"{site.url}/infer/{model}", params={"image": series, "output": "image"}, timeout=60)
    (tmp_path / "answer.nrrd").write_bytes(answer.content)
    return read_nrrd(tmp_path / "answer.nrrd").array


def assert_drawn(panel: OhifPanel, expected: NDArray[np.integer], modality: str) -> None:
    """The viewer's labelmap is what the server sent, voxel for voxel, and lies where it lies in the patient."""
    shown, grid = panel.labelled(), GRIDS[modality]
    assert shown["dimensions"] == list(grid.shape[::-1])
    assert shown["count"] == np.count_nonzero(expected)
    middle = grid.to_world(np.argwhere(expected)).mean(axis=0)
    np.testing.assert_allclose(shown["middle"], middle, atol=0.01)


@pytest.mark.parametrize("modality", ["PT", "CT"])
def test_lesions_are_drawn_on_the_series_that_is_shown(
    site: Site, tmp_path: Path, network: None, modality: str
) -> None:
    study = site.studies["anna"]
    series = study.pet if modality == "PT" else study.ct
    with browser_page() as page:
        panel = OhifPanel(page, site.url, study.study)
        if modality == "PT":
            panel.activate("PT")
        panel.connect()
        before = panel.picture()[VIEWPORTS]
        assert f"image={series}" in panel.run("percist")
        after = panel.picture()[VIEWPORTS]
        assert_drawn(panel, answer_of_server(site, "percist", series, tmp_path), modality)
        changed = np.abs(after - before).max(axis=-1) > 30
        red, green, blue = after[changed].mean(axis=0)
        assert 100 < np.count_nonzero(changed) < 0.2 * changed.size
        assert max(red, green, blue) - min(red, green, blue) > 30, "the overlay has a colour"

        panel.run("unet")
        everything = answer_of_server(site, "unet", series, tmp_path)
        assert np.count_nonzero(everything) > 1000
        assert_drawn(panel, everything, modality)


def test_stored_segmentation_opens(site: Site, tmp_path: Path) -> None:
    study = site.studies["erna"]  # of which no other test stores a label
    write_labels((small_suv().array > 5).astype(np.uint8), PET_GRID, tmp_path / "label.nii.gz")
    with (tmp_path / "label.nii.gz").open("rb") as stream:
        files, query = {"label": stream}, {"image": study.pet}
        assert requests.put(f"{site.url}/datastore/label", params=query, files=files, timeout=60).ok
    with browser_page() as page:
        panel = OhifPanel(page, site.url, study.study)
        panel.open_segmentation()
        names = panel.segments()
        assert len(names) == 2
