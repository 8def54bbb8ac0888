"""Anterior and lateral projection side by side, as a figure of the PDF report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reportlab.lib.colors import Color, HexColor, black
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.platypus import Flowable

from petlesion.lesions import Lesions
from petlesion.present.callouts import place_callouts
from petlesion.present.projection import (
    ANTERIOR_DEG,
    LEFT_LATERAL_DEG,
    Outline,
    Projection,
    lesion_outlines,
    maximum_intensity_projection,
    orientation_letters,
    to_plane,
)
from petlesion.present.text import BOLD, REGULAR
from petlesion.report import Sphere
from petlesion.volume import Volume

LESION_COLOR = HexColor("#D55E00")
"""Vermilion and blue of the palette of Okabe and Ito (2008), told apart by people with any colour vision."""
REFERENCE_COLOR = HexColor("#0072B2")

MOST_NUMBERED = 60
"""Lesions that get a number on each projection; with more, the lines to them hide the image."""
LEAST_HEIGHT = 70 * mm
"""Least height of the figure's inner part: `MOST_NUMBERED` numbers fit beside it."""

_MARGIN = 8 * mm
"""Room for the numbers at each side of a projection."""
_BAR = 14 * mm
"""Room for the grey scale."""
_CAPTION = 5 * mm
"""Room above a projection for the letters, and below for its title."""
_LINE = 2.3 * mm
"""Distance of the numbers."""
_DOTS_PER_MM = 8
"""Resolution of the images on paper, about 200 dpi."""
_BORDER_MM = 15.0
"""Air kept at each side of what can be seen."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One projection with all that is drawn on it.

    Attributes
    ----------
    title
        Name of the view.
    projection
        The image.
    outlines
        Lesions, largest first.
    circles
        Reference spheres (u, v, radius), mm.
    """

    title: str
    projection: Projection
    outlines: tuple[Outline, ...]
    circles: tuple[tuple[float, float, float], ...]


def panels(pet: Volume, lesions: Lesions, display_suv: float) -> tuple[Panel, Panel]:
    """Anterior and left lateral projection, without the empty columns beside the patient.

    Parameters
    ----------
    pet
        SUVbw, (z, y, x).
    lesions
        Lesions and reference spheres to draw.
    display_suv
        Upper end of the grey scale, SUVbw.
    """
    views = (("anterior", ANTERIOR_DEG), ("left lateral", LEFT_LATERAL_DEG))
    anterior, lateral = (_panel(pet, lesions, display_suv, title, angle) for title, angle in views)
    return anterior, lateral


class ProjectionFigure(Flowable):  # type: ignore[misc]  # reportlab has no types
    """Two projections at the same scale, with orientation, outlines, numbers, grey scale and a ruler.

    Parameters
    ----------
    views
        From `panels`.
    display_suv
        Upper end of the grey scale, SUVbw.
    most_height
        Greatest height of the projections, in points; they take what the page leaves, but at least `LEAST_HEIGHT`.
    """

    def __init__(self, views: Sequence[Panel], display_suv: float, most_height: float) -> None:
        super().__init__()
        self._views = views
        self._display_suv = display_suv
        self._most_height = most_height
        self._scale = 1.0

    def wrap(self, available_width: float, available_height: float) -> tuple[float, float]:
        """Width and height, in points, that the figure takes of what is available (called by reportlab)."""
        height = min(max(available_height - 2 * _CAPTION, LEAST_HEIGHT), self._most_height)
        extents = [view.projection.extent_mm for view in self._views]
        wide = sum(right - left for left, right, _, _ in extents)
        high = max(top - bottom for _, _, bottom, top in extents)
        room = available_width - len(self._views) * 2 * _MARGIN - _BAR
        self._scale = min(room / wide, height / high)
        self.width = available_width
        self.height = max(high * self._scale, LEAST_HEIGHT) + 2 * _CAPTION
        return self.width, self.height

    def draw(self) -> None:
        """Draw on the canvas that reportlab has set (called by reportlab)."""
        widths = [_width_mm(view.projection) * self._scale + 2 * _MARGIN for view in self._views]
        x = (self.width - sum(widths) - _BAR) / 2
        for view, width in zip(self._views, widths, strict=True):
            self._draw_panel(view, x + _MARGIN)
            x += width
        self._draw_grey_scale(x)
        self._draw_ruler(x)

    def _draw_panel(self, view: Panel, x: float) -> None:
        left, right, bottom, top = view.projection.extent_mm
        width, height = (right - left) * self._scale, (top - bottom) * self._scale
        y = (self.height - height) / 2
        canvas = self.canv
        image = ImageReader(_grey_image(view.projection, self._display_suv, width, height))
        canvas.drawImage(image, x, y, width, height)
        canvas.setStrokeColor(HexColor("#BBBBBB"))
        canvas.setLineWidth(0.4)
        canvas.rect(x, y, width, height)
        self._draw_caption(view, x, y, width, height)
        canvas.saveState()
        canvas.translate(x - left * self._scale, y - bottom * self._scale)
        self._draw_circles(view.circles)
        self._draw_outlines(view.outlines)
        self._draw_callouts(view, y)
        canvas.restoreState()

    def _draw_caption(self, view: Panel, x: float, y: float, width: float, height: float) -> None:
        canvas = self.canv
        canvas.setFillColor(black)
        canvas.setFont(BOLD, 8)
        before, after = orientation_letters(view.projection.angle_deg)
        canvas.drawString(x, y + height + 1 * mm, before)
        canvas.drawRightString(x + width, y + height + 1 * mm, after)
        canvas.setFont(REGULAR, 7)
        canvas.drawCentredString(x + width / 2, y - 3.5 * mm, view.title)

    def _draw_circles(self, circles: Sequence[tuple[float, float, float]]) -> None:
        canvas = self.canv
        canvas.setStrokeColor(REFERENCE_COLOR)
        canvas.setLineWidth(0.7)
        canvas.setDash(2, 1)
        for u, v, radius in circles:
            canvas.circle(u * self._scale, v * self._scale, radius * self._scale)
        canvas.setDash()

    def _draw_outlines(self, outlines: Sequence[Outline]) -> None:
        canvas = self.canv
        canvas.setStrokeColor(LESION_COLOR)
        canvas.setLineWidth(0.5)
        path = canvas.beginPath()
        for contour in (contour for outline in outlines for contour in outline.contours):
            (x, y), *rest = (contour[:-1] * self._scale).tolist()
            path.moveTo(x, y)
            for x, y in rest:
                path.lineTo(x, y)
            path.close()
        canvas.drawPath(path)

    def _draw_callouts(self, view: Panel, below: float) -> None:
        left, right, bottom, top = view.projection.extent_mm
        scale = self._scale
        free = max(below - _CAPTION, 0.0) / scale
        outlines = view.outlines[:MOST_NUMBERED]
        callouts = place_callouts(outlines, (left + right) / 2, bottom - free, top + free, _LINE / scale)
        canvas = self.canv
        canvas.setFillColor(LESION_COLOR)
        canvas.setStrokeColor(Color(*LESION_COLOR.rgb(), alpha=0.6))
        canvas.setLineWidth(0.3)
        canvas.setFont(REGULAR, 5.5)
        for callout in callouts:
            x = (left if callout.on_left else right) * scale
            outward = -1 * mm if callout.on_left else 1 * mm
            y = callout.height_mm * scale
            u, v = callout.anchor_mm
            canvas.line(x + outward, y, u * scale, v * scale)
            draw = canvas.drawRightString if callout.on_left else canvas.drawString
            draw(x + 1.4 * outward, y - 0.7 * mm, str(callout.number))

    def _draw_grey_scale(self, x: float) -> None:
        canvas = self.canv
        width, height = 3 * mm, min(40 * mm, self.height - 4 * _CAPTION)
        y = self.height - _CAPTION - height
        ramp = np.linspace(0, 255, 64).astype(np.uint8)[:, None]
        canvas.drawImage(ImageReader(_pil_image(ramp)), x, y, width, height)
        canvas.setStrokeColor(HexColor("#888888"))
        canvas.setLineWidth(0.4)
        canvas.rect(x, y, width, height)
        canvas.setFillColor(black)
        canvas.setFont(REGULAR, 6.5)
        canvas.drawString(x, y + height + 2 * mm, "SUVbw")
        for share in (0.0, 0.5, 1.0):
            text = f"{share * self._display_suv:g}"
            canvas.drawString(x + width + 0.8 * mm, y + share * height - 0.8 * mm, text)

    def _draw_ruler(self, x: float) -> None:
        fitting = [length for length in (10, 20, 50, 100) if length * self._scale <= _BAR - 2 * mm]
        if not fitting:
            return
        length_mm = fitting[-1]
        canvas = self.canv
        y = _CAPTION
        canvas.setStrokeColor(black)
        canvas.setLineWidth(1)
        canvas.line(x, y, x + length_mm * self._scale, y)
        canvas.setFont(REGULAR, 6.5)
        canvas.drawString(x, y + 1 * mm, f"{length_mm // 10} cm")


def _panel(pet: Volume, lesions: Lesions, display_suv: float, title: str, angle_deg: float) -> Panel:
    outlines = lesion_outlines(lesions, angle_deg)
    circles = tuple(_circle(sphere, angle_deg) for sphere in lesions.reference.spheres)
    drawn = [contour[:, 0] for outline in outlines for contour in outline.contours]
    drawn += [np.array([u - radius, u + radius]) for u, _, radius in circles]
    projection = _trimmed(maximum_intensity_projection(pet, angle_deg), drawn, display_suv)
    return Panel(title, projection, outlines, circles)


def _circle(sphere: Sphere, angle_deg: float) -> tuple[float, float, float]:
    u, v = to_plane(sphere.center_mm, angle_deg)
    return float(u), float(v), sphere.radius_mm


def _trimmed(projection: Projection, drawn: list[NDArray[np.float64]], display_suv: float) -> Projection:
    """Without the columns at both sides that would be printed white and hold nothing drawn."""
    rows, columns = projection.image.shape
    _, du = projection.spacing_mm
    visible = (projection.image > 0.02 * display_suv).sum(axis=0) > 0.01 * rows
    shown = [np.flatnonzero(visible), *((u - projection.origin_mm[0]) / du for u in drawn)]
    positions = np.concatenate(shown)
    if not len(positions):
        return projection
    first = max(int(np.floor(positions.min() - _BORDER_MM / du)), 0)
    last = min(int(np.ceil(positions.max() + _BORDER_MM / du)), columns - 1)
    origin = (projection.origin_mm[0] + first * du, projection.origin_mm[1])
    return replace(projection, image=projection.image[:, first : last + 1], origin_mm=origin)


def _width_mm(projection: Projection) -> float:
    left, right, _, _ = projection.extent_mm
    return right - left


def _grey_image(projection: Projection, display_suv: float, width: float, height: float) -> Any:
    """The projection in inverted grey, 0 white and `display_suv` black, with the pixels of its size on paper."""
    from PIL.Image import Resampling

    grey = np.round(255 * (1 - np.clip(projection.image / display_suv, 0, 1))).astype(np.uint8)
    size = tuple(max(int(_DOTS_PER_MM * length / mm), 1) for length in (width, height))
    return _pil_image(grey).resize(size, Resampling.BILINEAR)


def _pil_image(grey: NDArray[np.uint8]) -> Any:
    from PIL import Image

    return Image.fromarray(grey)
