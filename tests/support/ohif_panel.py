"""MONAI Label's panel in the OHIF that comes with it, driven in headless Chromium as an annotator would."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
]
"""Software rendering, and no request to anything but the server."""
WAIT_MS = 90_000
SEGMENTATION = "1"
"""Id that the panel gives its segmentation."""


@contextlib.contextmanager
def browser_page() -> Iterator[Any]:
    """A page of Debian's Chromium; skips the test where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed here")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed: make system-tools")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        page.set_default_timeout(WAIT_MS)
        yield page
        browser.close()


class OhifPanel:
    """The viewer with its panel, open on a study."""

    def __init__(self, page: Any, url: str, study_uid: str) -> None:
        self.page = page
        page.goto(f"{url}/ohif/monai-label?StudyInstanceUIDs={study_uid}")
        page.get_by_text("Confirm and Hide").click()
        page.locator("[data-viewportid] canvas, canvas.cornerstone-canvas").first.wait_for()
        page.wait_for_timeout(2000)

    def activate(self, modality: str) -> None:
        """Show a series in the viewports, as a double click on its thumbnail does."""
        self.page.locator(f'[data-cy="study-browser-thumbnail"]:has-text("{modality}")').first.dblclick()
        self.page.wait_for_timeout(3000)

    def connect(self) -> None:
        """Press the button beside the server's address, and wait for the models."""
        with self.page.expect_response(lambda response: response.url.endswith("/info/")):
            self.page.locator(".settingsTable button").click()
        self.page.locator(".modelSelector select").first.wait_for()
        self.page.wait_for_timeout(2000)

    def run(self, model: str) -> str:
        """Run a model; returns the address it was asked at."""
        selector = self.page.locator(".modelSelector").filter(has=self.page.locator(f'option[value="{model}"]')).first
        selector.locator("select").select_option(model)
        with self.page.expect_response(lambda response: f"/infer/{model}" in response.url) as answer:
            selector.get_by_role("button", name="Run").click()
        assert answer.value.ok, answer.value.text()
        self.page.wait_for_timeout(3000)
        return str(answer.value.url)

    def labelled(self) -> dict[str, Any]:
        """Voxels of the panel's labelmap, and the world point (LPS mm) in their middle."""
        return dict(
            self.page.evaluate(
                """id => {
                    const state = window.cornerstoneTools.segmentation.state.getSegmentation(id);
                    const volume = window.cornerstone.cache.getVolume(state.representationData.Labelmap.volumeId);
                    const data = volume.voxelManager.getCompleteScalarDataArray();
                    const [columns, rows] = volume.dimensions;
                    let count = 0, middle = [0, 0, 0];
                    for (let i = 0; i < data.length; i++) {
                        if (data[i]) {
                            count++;
                            const index = [i % columns, Math.floor(i / columns) % rows, Math.floor(i / columns / rows)];
                            const world = volume.imageData.indexToWorld(index);
                            for (let axis = 0; axis < 3; axis++) middle[axis] += world[axis];
                        }
                    }
                    return {count, middle: middle.map(sum => sum / count), dimensions: volume.dimensions};
                }""",
                SEGMENTATION,
            )
        )

    def open_segmentation(self) -> None:
        """Load the SEG of the study, as a double click on its thumbnail and "Yes" do."""
        self.page.locator('[data-cy="study-browser-thumbnail-no-image"]:has-text("SEG")').first.dblclick()
        self.page.wait_for_timeout(3000)

    def segments(self) -> list[str]:
        """Labels of all segments that the viewer has loaded."""
        return list(
            self.page.evaluate(
                """() => window.cornerstoneTools.segmentation.state.getSegmentations()
                    .flatMap(each => Object.values(each.segments).map(segment => segment.label))"""
            )
        )

    def picture(self) -> NDArray[np.int16]:
        """(rows, columns, 3) pixels of the page."""
        with Image.open(io.BytesIO(self.page.screenshot())) as image:
            return np.asarray(image.convert("RGB")).astype(np.int16)
