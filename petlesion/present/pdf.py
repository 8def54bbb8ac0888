"""`report.pdf`: what was found, where, how large and how avid, and how it was measured, on A4 for physicians."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from reportlab import rl_config
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate

from petlesion.lesions import Lesions
from petlesion.present import sections
from petlesion.present.figure import Panel, ProjectionFigure, panels
from petlesion.present.text import BOLD, REGULAR, person_name, printable, register_fonts, shortened
from petlesion.report import Report
from petlesion.study import PetCt

TITLE = "PET/CT lesion report"
DISCLAIMER = "Research use only. Not a medical device."

_SIDE = 14 * mm
_TOP = 20 * mm
_BOTTOM = 14 * mm
_MOST_HEIGHT = 118 * mm
"""Height of the projections such that page 1 also holds a few lesions and how they were measured."""
_MOST_HEIGHT_MANY = 150 * mm
"""Height of the projections where the lesions go on to page 2 anyway."""
_FEW_LESIONS = 12


def write_pdf(study: PetCt, lesions: Lesions, report: Report, path: Path) -> None:
    """Write the report for physicians as PDF.

    Page 1 holds patient and study, warnings, totals, an anterior and a lateral projection with all lesions, and the
    largest lesions; what does not fit follows, then how SUV and lesions came about. Fonts are embedded. The file holds
    no date of its own: the same input gives the same bytes.

    Parameters
    ----------
    study
        PET in SUVbw, patient and headers.
    lesions
        Outlines and reference spheres for the projections.
    report
        What was measured in them.
    path
        File to write; an existing one is replaced.
    """
    register_fonts()
    rl_config.useA85 = 0  # binary streams: the text encoding takes half of the time and a fifth more space
    views = panels(study.pet, lesions, study.tracer.display_suv)
    _, pages = _build(study, views, report, None)
    content, _ = _build(study, views, report, pages)
    path.write_bytes(content)


def _build(study: PetCt, views: Sequence[Panel], report: Report, pages: int | None) -> tuple[bytes, int]:
    """The PDF and its number of pages; `pages` is the number to print on them, known after a first build."""
    file = BytesIO()
    document = BaseDocTemplate(
        file,
        pagesize=A4,
        title=TITLE,
        author="petlesion",
        subject=DISCLAIMER,
        lang="en",
        invariant=1,
        initialFontName=REGULAR,
    )
    width, height = A4
    frame = Frame(
        _SIDE,
        _BOTTOM,
        width - 2 * _SIDE,
        height - _TOP - _BOTTOM,
        leftPadding=0,
        rightPadding=0,
        topPadding=0,
        bottomPadding=0,
    )
    document.addPageTemplates(PageTemplate(frames=[frame], onPage=_page_decoration(study, report, pages)))
    document.build(_story(study, views, report))
    return file.getvalue(), document.page


def _story(study: PetCt, views: Sequence[Panel], report: Report) -> list[Any]:
    display_suv = study.tracer.display_suv
    most_height = _MOST_HEIGHT if len(report.lesions) <= _FEW_LESIONS else _MOST_HEIGHT_MANY
    return [
        sections.patient_and_study(study, report),
        sections.notices(report),
        sections.key_figures(report),
        ProjectionFigure(views, display_suv, most_height),
        sections.legend(report, display_suv),
        *sections.lesion_table(report),
        *sections.details(report),
    ]


def _page_decoration(study: PetCt, report: Report, pages: int | None) -> Callable[[Any, Any], None]:
    """Head and foot of every page: a sheet that gets separated still says whose it is and what it is not.

    The name comes last, because a line that is too long is cut at its end.
    """
    identity = (sections.study_date(study), printable(study.patient.patient_id), person_name(study.patient.name))
    whose = shortened("  ·  ".join(part for part in identity if part), REGULAR, 7, 110 * mm)

    def draw(canvas: Any, document: Any) -> None:
        width, height = A4
        canvas.setFillColor(sections.INK)
        canvas.setFont(BOLD, 13)
        canvas.drawString(_SIDE, height - 12 * mm, TITLE)
        canvas.setFillColor(sections.ALERT)
        canvas.setFont(BOLD, 8)
        canvas.drawRightString(width - _SIDE, height - 10 * mm, DISCLAIMER)
        canvas.setFillColor(sections.FAINT)
        canvas.setFont(REGULAR, 7)
        canvas.drawRightString(width - _SIDE, height - 13.5 * mm, whose)
        canvas.setStrokeColor(sections.INK)
        canvas.setLineWidth(0.8)
        canvas.line(_SIDE, height - 15.5 * mm, width - _SIDE, height - 15.5 * mm)
        canvas.setFont(REGULAR, 5.5)
        canvas.drawString(_SIDE, 8 * mm, f"Study {printable(report.study.study_instance_uid)}")
        number = f"Page {document.page}" if pages is None else f"Page {document.page} of {pages}"
        canvas.setFont(REGULAR, 7)
        canvas.drawRightString(width - _SIDE, 8 * mm, number)

    return draw
