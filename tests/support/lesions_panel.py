"""The mode "PET lesions" of the viewer, driven in headless Chromium as an annotator would."""

from __future__ import annotations

import base64
import io
import time
from typing import Any
from urllib.parse import urlparse

import numpy as np
from numpy.typing import NDArray
from PIL import Image

OPEN_MS = 120_000
SETTLE_MS = 1500
"""From the last image to its drawing."""
ANSWER_MS = 60_000
_LOADED = """() => {
    const volumes = [...window.cornerstone.cache._volumeCache.values()].map(entry => entry.volume);
    const images = volumes.filter(volume => volume?.loadStatus);
    return images.length > 0 && images.every(volume => volume.loadStatus.loaded);
}"""
_VOXELS = """() => {
    const map = window.cornerstoneTools.segmentation.state.getSegmentation('petlesion').representationData.Labelmap;
    const slices = map.imageIds.map(id => {
        const image = window.cornerstone.cache.getImage(id);
        const plane = window.cornerstone.metaData.get('imagePlaneModule', image.referencedImageId);
        return {z: plane.imagePositionPatient[2], voxels: image.voxelManager.getScalarData()};
    }).sort((a, b) => a.z - b.z);
    return slices.map(slice => btoa(String.fromCharCode(...slice.voxels)));
}"""
_CANVAS = """([id, world]) => {
    const engine = window.cornerstone.getRenderingEngines()[0];
    const viewport = engine.getViewports().find(each => each.id === id);
    const box = viewport.element.getBoundingClientRect();
    const [x, y] = viewport.worldToCanvas(world);
    return [box.left + x, box.top + y];
}"""

_UPPER = """() => {
    const viewports = window.cornerstone.getRenderingEngines()[0].getViewports();
    return viewports.find(each => each.id === 'pet-axial').getProperties().voiRange.upper;
}"""
_IN_VIEW = """selector => {
    const element = document.querySelector(selector);
    const {left, top, width} = element.getBoundingClientRect();
    return element.contains(document.elementFromPoint(left + width / 2, top + 8));
}"""
_PAINTED_FROM = """() => {
    const group = window.cornerstoneTools.ToolGroupManager.getToolGroup('ptToolGroup');
    return group.getToolConfiguration('ThresholdSphereBrush').threshold.range[0];
}"""


class LesionsPanel:
    """The mode with its panel, open on a study, of one and the same annotator.

    Parameters
    ----------
    page
        Of the browser.
    url
        Of the annotation server.
    study_uid
        StudyInstanceUID.
    watched
        Whether trouble is listened for: each request then costs this process, and the browser, milliseconds.
    """

    def __init__(self, page: Any, url: str, study_uid: str, *, watched: bool = True) -> None:
        self.page = page
        self.trouble: list[str] = []
        self.opened_after: list[float] = []
        """Seconds until the panel is there, until it can be used, and until all images are there."""
        self._leaving = False
        """Whether another page is on its way, which ends what this one still asks for."""
        if watched:
            self._watch(urlparse(url).netloc)
        page.on("dialog", lambda dialog: dialog.accept())
        page.add_init_script("localStorage.setItem('petlesion.name', 'Ada')")
        self.asked = time.perf_counter()
        page.goto(f"{url}/pet-lesions?StudyInstanceUIDs={study_uid}")
        self.wait_until_open()

    def _watch(self, host: str) -> None:
        page = self.page
        page.on("console", lambda said: said.type == "error" and self.trouble.append(f"console: {said.text}"))
        page.on("pageerror", lambda error: self.trouble.append(f"error: {error}"))
        page.on("request", lambda request: self._asked(request, host))
        page.on("requestfailed", self._failed)
        page.on("load", lambda: setattr(self, "_leaving", False))
        page.on(
            "response", lambda answer: answer.status >= 400 and self.trouble.append(f"{answer.status}: {answer.url}")
        )

    def _asked(self, request: Any, host: str) -> None:
        self._leaving |= request.is_navigation_request() and request.frame == self.page.main_frame
        parts = urlparse(request.url)
        if parts.scheme not in ("blob", "data") and parts.netloc != host:
            self.trouble.append(f"other origin: {request.url}")

    def _failed(self, request: Any) -> None:
        if not (self._leaving and request.failure == "net::ERR_ABORTED"):
            self.trouble.append(f"failed: {request.url} {request.failure}")

    def wait_until_open(self) -> None:
        """Wait for the panel, and for all images."""
        steps = (
            lambda: self.page.wait_for_selector(".petlesion button.main", timeout=OPEN_MS),
            lambda: self.page.wait_for_selector(".petlesion button.main:enabled", timeout=OPEN_MS),
            lambda: self.page.wait_for_function(_LOADED, timeout=OPEN_MS),
        )
        self.opened_after = []
        for step in steps:
            step()
            self.opened_after.append(time.perf_counter() - self.asked)
        self.page.wait_for_timeout(SETTLE_MS)

    @property
    def note(self) -> str:
        """What the panel says."""
        return str(self.page.inner_text(".petlesion .messages"))

    def in_view(self, selector: str) -> bool:
        """Whether something of the panel is in view, and nothing lies over it."""
        return bool(self.page.evaluate(_IN_VIEW, selector))

    @property
    def unsaved(self) -> bool:
        """Whether the panel says that something is not saved."""
        return bool(self.page.locator(".petlesion .mark").count())

    def button(self, name: str) -> None:
        """Press a button of the panel."""
        self.page.locator(".petlesion").get_by_role("button", name=name, exact=True).click()

    def run(self, model: str) -> None:
        """Run a model, and wait for its lesions."""
        self.page.get_by_label("Model").select_option(model)
        self.button("Run")
        self.wait_for_note(f"{model}:")

    def wait_for_note(self, text: str) -> None:
        """Wait until the panel says something."""
        said = "text => document.querySelector('.petlesion .note').innerText.includes(text)"
        self.page.wait_for_function(said, arg=text, timeout=ANSWER_MS)

    def wait_for_lesions(self, count: int) -> None:
        """Wait until as many lesions are listed, and measured."""
        listed = """count => document.querySelectorAll('.petlesion tbody tr').length === count
            && document.querySelector('[data-cy="petlesion-totals"]').getAttribute('aria-busy') === 'false'"""
        try:
            self.page.wait_for_function(listed, arg=count, timeout=ANSWER_MS)
        except Exception as error:
            raise AssertionError(f"not {count} lesions but {self.rows()}; the panel says: {self.note}") from error

    def rows(self) -> list[list[float]]:
        """Number, mL, SUVmax, SUVmean and SUVpeak of the lesions listed."""
        rows = self.page.locator(".petlesion tbody tr").all()
        return [[float(cell) for cell in row.locator("td").all_inner_texts()[1:6]] for row in rows]

    def select(self, number: int) -> None:
        """Click on a lesion in the list."""
        row = f'.petlesion tbody tr:has(input[aria-label="Tick {number}"])'
        self.page.locator(f"{row} td").nth(1).click()
        self.page.locator(f'{row}[aria-current="true"]').wait_for()
        self.page.wait_for_timeout(700)

    def mark(self, number: int) -> None:
        """Tick a lesion."""
        self.page.get_by_label(f"Tick {number}", exact=True).check()

    def key(self, name: str) -> None:
        """Press a key."""
        self.page.keyboard.press(name)
        self.page.wait_for_timeout(300)

    def upper(self) -> float:
        """Upper end of the window of the PET, as OHIF has it."""
        return float(self.page.evaluate(_UPPER))

    def painted_from(self) -> float:
        """Lowest value that the SUV brush paints, as cornerstone has it."""
        return float(self.page.evaluate(_PAINTED_FROM))

    def canvas(self, world: tuple[float, float, float], viewport: str = "pet-axial") -> tuple[float, float]:
        """Where on the page a point of the patient (LPS mm) is."""
        x, y = self.page.evaluate(_CANVAS, [viewport, list(world)])
        return float(x), float(y)

    def click(self, world: tuple[float, float, float], viewport: str = "pet-axial") -> None:
        """Click on a point of the patient."""
        self.page.mouse.click(*self.canvas(world, viewport))

    def drag(self, start: tuple[float, float, float], end: tuple[float, float, float]) -> None:
        """Draw from one point of the patient to another."""
        self.page.mouse.move(*self.canvas(start))
        self.page.mouse.down()
        self.page.mouse.move(*self.canvas(end), steps=4)
        self.page.mouse.up()

    def voxels(self, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
        """The label map that the browser holds, (z, y, x), feet first."""
        slices = [np.frombuffer(base64.b64decode(text), dtype=np.uint8) for text in self.page.evaluate(_VOXELS)]
        return np.stack(slices).reshape(shape)

    def picture(self, viewport: str) -> NDArray[np.int16]:
        """(rows, columns, 3) pixels of a viewport."""
        element = self.page.locator(f'[data-viewportid="{viewport}"]').first
        with Image.open(io.BytesIO(element.screenshot())) as image:
            return np.asarray(image.convert("RGB")).astype(np.int16)
