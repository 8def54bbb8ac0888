"""Sections of the PDF report, as reportlab flowables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from reportlab.lib.colors import HexColor, white
from reportlab.lib.enums import TA_CENTER, TA_RIGHT
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import CondPageBreak, KeepTogether, Paragraph, Table, TableStyle

from petlesion.dicom.attributes import parse_date, values
from petlesion.present.figure import LESION_COLOR, MOST_NUMBERED, REFERENCE_COLOR
from petlesion.present.text import BOLD, REGULAR, markup, person_name
from petlesion.report import LesionRecord, Reference, ReferenceOrgan, Report, Review
from petlesion.study import Patient, PetCt

INK = HexColor("#1F2D3D")
FAINT = HexColor("#5B6770")
ALERT = HexColor("#B00020")
_LINE = HexColor("#C9D1D9")
_ZEBRA = HexColor("#F4F6F8")
_AMBER = HexColor("#E69F00")
_AMBER_LIGHT = HexColor("#FFF6E0")

WIDTH = 182 * mm
"""Printed width of an A4 page."""
MOST_ROWS = 200
"""Lesions listed in the PDF; all of them are in lesions.csv."""

_NARROW = 300
"""Characters shown of a text in a narrow column."""

BODY = ParagraphStyle("body", fontName=REGULAR, fontSize=7.5, leading=9.5, textColor=INK)
SMALL = ParagraphStyle("small", parent=BODY, fontSize=6.5, leading=8.2)
LABEL = ParagraphStyle("label", parent=BODY, fontSize=6.5, leading=9.5, textColor=FAINT)
HEADING = ParagraphStyle("heading", parent=BODY, fontName=BOLD, fontSize=9, leading=12, spaceBefore=6, spaceAfter=2)
FIGURE = ParagraphStyle("figure", parent=BODY, fontName=BOLD, fontSize=12, leading=14, alignment=TA_CENTER)
FIGURE_LABEL = ParagraphStyle("figure label", parent=LABEL, alignment=TA_CENTER, leading=8)
CELL = ParagraphStyle("cell", parent=BODY, fontSize=7, leading=8.5)
HEAD = ParagraphStyle("head", parent=CELL, fontName=BOLD)
NUMBER_HEAD = ParagraphStyle("number head", parent=HEAD, alignment=TA_RIGHT)

_REVIEW = {
    Review.CANDIDATES: "Candidates of an algorithm, not lesions: physiological uptake may be among them. "
    "A physician must review them.",
    Review.FILTERED: "A network decided: physiological uptake may be among the lesions, and lesions may be missing. "
    "A physician must review the result.",
    Review.REVIEWED: "From a segmentation that a person made or accepted.",
}


def patient_and_study(study: PetCt, report: Report) -> Any:
    """Who was scanned, when, and with what."""
    method = report.method
    left = [("Patient", person_name(study.patient.name)), *_body(study.patient)]
    right = [
        ("Study", " · ".join(filter(None, (study_date(study), _header(study, "StudyDescription")))) or "–"),
        ("PET", " · ".join(filter(None, (_injection(study), _scanner(study), _header(study, "SeriesDescription"))))),
        ("CT", _ct(study)),
        ("Method", f"{method.name} (version {method.version})"),
        ("Threshold", _threshold(report)),
    ]
    rows = [
        [
            Paragraph(markup(text, _NARROW), LABEL if column % 2 == 0 else BODY)
            for column, text in enumerate((*one, *two))
        ]
        for one, two in zip(left, right, strict=True)
    ]
    rows[0][1] = Paragraph(f"<b>{markup(left[0][1], _NARROW) or '–'}</b>", BODY)
    table = Table(rows, colWidths=[18 * mm, 58 * mm, 18 * mm, WIDTH - 94 * mm], hAlign="LEFT")
    table.setStyle(_tight())
    return table


def notices(report: Report) -> Any:
    """How far the result may be trusted: review status first, then every warning."""
    warnings = (*report.warnings, *report.suv.warnings)
    rows = [[Paragraph(f"<b>{_REVIEW[report.review]}</b>", BODY)]]
    rows += [[Paragraph(f"•  {markup(text)}", SMALL)] for text in dict.fromkeys(warnings)]
    table = Table(rows, colWidths=[WIDTH], spaceBefore=4, spaceAfter=4)
    reviewed = report.review is Review.REVIEWED and not warnings
    table.setStyle(
        TableStyle(
            [
                *_tight(1.2).getCommands(),
                ("BACKGROUND", (0, 0), (-1, -1), _ZEBRA if reviewed else _AMBER_LIGHT),
                ("LINEBEFORE", (0, 0), (0, -1), 3, _LINE if reviewed else _AMBER),
                ("LEFTPADDING", (0, 0), (-1, -1), 6),
            ]
        )
    )
    return table


def key_figures(report: Report) -> Any:
    """Totals of all lesions, large."""
    totals = report.totals
    candidates = report.review is Review.CANDIDATES
    total = "total candidate volume, mL" if candidates else "total tumour volume (TTV), mL"
    uptake = "glycolysis (TLG)" if report.is_glycolysis else "uptake (TLU)"
    figures = (
        (f"{_noun(report)}s", str(totals.n_lesions) if totals.n_lesions else "none"),
        (total, f"{totals.ttv_ml:.1f}"),
        (f"total lesion {uptake}, g", f"{totals.tlu:.1f}"),
        ("SUVmax", _suv(totals.suv_max)),
        ("SUVpeak", _suv(totals.suv_peak)),
        ("SUVmean", _suv(totals.suv_mean)),
        (f"lowest {_noun(report)} SUVmean", _suv(totals.min_lesion_suv_mean)),
    )
    rows = [[Paragraph(value, FIGURE) for _, value in figures], [Paragraph(name, FIGURE_LABEL) for name, _ in figures]]
    table = Table(rows, colWidths=[WIDTH / len(figures)] * len(figures), spaceAfter=4)
    table.setStyle(
        TableStyle(
            [
                *_tight(0.8).getCommands(),
                ("BOX", (0, 0), (-1, -1), 0.6, _LINE),
                ("LINEAFTER", (0, 0), (-2, -1), 0.4, _LINE),
                ("VALIGN", (0, 1), (-1, 1), "TOP"),
                ("BOTTOMPADDING", (0, 1), (-1, 1), 3),
            ]
        )
    )
    return table


def legend(report: Report, display_suv: float) -> Any:
    """What the lines on the projections mean."""
    organ = report.reference.organ.value
    parts = [f"Maximum intensity projections, SUVbw 0 (white) to {display_suv:g} (black)."]
    if report.lesions:
        most = (
            f"; the {MOST_NUMBERED} largest are numbered" if len(report.lesions) > MOST_NUMBERED else " with its number"
        )
        parts.append(f'<font color="{_hex(LESION_COLOR)}"><b>—</b> {_noun(report)}{most}</font>')
    if report.reference.spheres:
        parts.append(f'<font color="{_hex(REFERENCE_COLOR)}"><b>- -</b> reference sphere in the {organ}</font>')
    return Paragraph("&nbsp;&nbsp; ".join(parts), ParagraphStyle("legend", parent=SMALL, alignment=TA_CENTER))


def lesion_table(report: Report) -> list[Any]:
    """All lesions, largest first, with a heading repeated on every page."""
    noun = _noun(report)
    if not report.lesions:
        return [Paragraph(f"{noun.capitalize()}s", HEADING), Paragraph("None was found.", BODY)]
    lesions = sorted(report.lesions, key=lambda lesion: (-lesion.volume_ml, lesion.id))
    columns = _columns(lesions, "TLG" if report.is_glycolysis else "TLU")
    rows: list[list[Any]] = [[Paragraph(name, NUMBER_HEAD if right else HEAD) for name, right, _, _ in columns]]
    # Numbers as plain strings: a Paragraph each would take most of the time of a long report.
    rows += [
        [text(lesion) if right else Paragraph(text(lesion), CELL) for _, right, _, text in columns]
        for lesion in lesions[:MOST_ROWS]
    ]
    widths = _filling([width for _, _, width, _ in columns], located=columns[1][0] == "Location")
    table = Table(rows, colWidths=widths, repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                *_tight(1.0).getCommands(),
                ("FONT", (0, 1), (-1, -1), REGULAR, CELL.fontSize, CELL.leading),
                ("TEXTCOLOR", (0, 1), (-1, -1), INK),
                ("ALIGN", (0, 1), (-1, -1), "RIGHT"),
                ("ROWBACKGROUNDS", (0, 1), (-1, -1), [white, _ZEBRA]),
                ("LINEBELOW", (0, 0), (-1, 0), 0.8, INK),
                ("LINEBELOW", (0, -1), (-1, -1), 0.4, _LINE),
                ("VALIGN", (0, 0), (-1, 0), "BOTTOM"),
            ]
        )
    )
    left_out = len(lesions) - MOST_ROWS
    note = [Paragraph(f"{left_out} smaller {noun}s are listed in lesions.csv.", SMALL)] if left_out > 0 else []
    return [CondPageBreak(25 * mm), Paragraph(f"{noun.capitalize()}s, largest first", HEADING), table, *note]


def details(report: Report) -> list[Any]:
    """How SUV and lesions came about, for those who check or repeat it."""
    suv, method, reference, study = report.suv, report.method, report.reference, report.study
    given = "; ".join(f"{name} = {value}" for name, value in suv.overrides.items())
    parameters = "; ".join(f"{name} = {value}" for name, value in method.parameters.items())
    spheres = "; ".join(
        f"({', '.join(f'{c:.1f}' for c in sphere.center_mm)}) mm, radius {sphere.radius_mm:g} mm"
        for sphere in reference.spheres
    )
    units = f"body weight, from units {suv.units}, decay correction {suv.decay_correction}, {_factor(report)}"
    rows = _key_values(
        ("SUV", units),
        ("Times", f"injection {_time(suv.injection_time)}; decay reference {_time(suv.reference_time)}"),
        ("SUV from", "; ".join(f"{name} {amount}" for name, amount in suv.amounts.items())),
        ("Given by the user", given),
        ("Method", f"{method.name}, version {method.version}"),
        ("Parameters", parameters),
        ("Model", f"SHA-256 {method.weights_sha256}" if method.weights_sha256 else "none: no network was used"),
        ("Reference", _reference(report)),
        ("Reference spheres", spheres),
        *(("Selection", text) for text in study.selection),
        ("Definitions", _definitions(report)),
        ("Study UID", study.study_instance_uid),
        ("PET series UID", study.pet_series_instance_uid),
        ("CT series UID", study.ct_series_instance_uid or ""),
    )
    return [KeepTogether([Paragraph("How it was measured", HEADING), rows])]


def _definitions(report: Report) -> str:
    uptake = "TLG" if report.is_glycolysis else "TLU"
    confidence = (
        " Confidence: mean over the voxels of a lesion of the network's probability of lesion; not calibrated, no "
        "probability of malignancy."
    )
    return (
        "SUVpeak: largest mean over a sphere of 1 cm³ centred on a voxel of the lesion (IBSI global intensity peak). "
        f"{uptake}: SUVmean × volume, summed over lesions. SUVmean of all lesions: weighted by volume. SD: of the "
        "voxels of a lesion (population). Centre: mean voxel position in DICOM patient coordinates (x to the left, y "
        "to the back, z to the head). Lesion numbers are those of the DICOM SEG, report.json and lesions.csv."
    ) + (confidence if _has_confidence(report.lesions) else "")


def study_date(study: PetCt) -> str:
    """Date of the study as year-month-day, or nothing."""
    day = parse_date(_header(study, "StudyDate"))
    return "" if day is None else day.isoformat()


def _body(patient: Patient) -> list[tuple[str, str]]:
    weight = "" if patient.weight_kg is None else f"{patient.weight_kg:g} kg"
    height = "" if patient.height_m is None else f"{patient.height_m:.2f} m"
    return [
        ("Patient ID", patient.patient_id or "–"),
        ("Born", _day(patient.birth_date)),
        ("Sex", {"F": "female", "M": "male", "O": "other"}.get(patient.sex, patient.sex) or "–"),
        ("Body", ", ".join(filter(None, (weight, height))) or "–"),
    ]


def _day(day: date | None) -> str:
    return "–" if day is None else day.isoformat()


def _header(study: PetCt, keyword: str) -> str:
    """An attribute of the first PET slice as text, empty where there is none; people write backslashes into it."""
    return "" if study.source is None else "\\".join(values(study.source.pet_headers[0], keyword))


def _scanner(study: PetCt) -> str:
    return " ".join(filter(None, (_header(study, "Manufacturer"), _header(study, "ManufacturerModelName"))))


def _ct(study: PetCt) -> str:
    return "none" if study.ct is None else "yes, resampled to the PET"


def _injection(study: PetCt) -> str:
    """Tracer, activity and uptake time as a physician writes them, as far as they are known."""
    activity, uptake = study.suv.injected_mbq, study.suv.uptake_min
    known = (
        study.tracer.title,
        "" if activity is None else f"{activity:.0f} MBq",
        "" if uptake is None else f"{uptake:.0f} min p.i.",
    )
    return ", ".join(filter(None, known))


def _threshold(report: Report) -> str:
    threshold, organ = report.threshold_suv, report.threshold_organ
    if threshold is None:
        fraction = report.method.parameters.get("fraction")
        other = "–" if fraction is None else f"{fraction:.0%} of each maximum"
        return "none: a network decided" if report.method.weights_sha256 else other
    return f"SUVbw {threshold:.2f}" + ("" if organ is ReferenceOrgan.NONE else f" ({_normal_uptake(report.reference)})")


def _reference(report: Report) -> str:
    """Normal uptake, and the threshold that follows from it or replaces it, also where a network applied none."""
    threshold = report.reference.threshold
    if threshold is None:
        return _normal_uptake(report.reference)
    by_network = report.method.weights_sha256 is not None and report.threshold_suv is None
    unused = ", not applied to the lesions of the network" if by_network else ""
    replaced = "" if report.threshold_organ is report.reference.organ else ", the fixed one of the tracer"
    return f"{_normal_uptake(report.reference)}; threshold {threshold:.2f}{replaced}{unused}"


def _normal_uptake(reference: Reference) -> str:
    if reference.organ is ReferenceOrgan.NONE:
        return "none"
    values = [
        f"{name} {value:.2f}" for name, value in (("mean", reference.mean), ("SD", reference.sd)) if value is not None
    ]
    return f"{reference.organ.value}: {', '.join(values)}"


def _factor(report: Report) -> str:
    factor = report.suv.factor
    return "no single factor known" if factor is None else f"factor {factor:.6g}"


def _time(time: datetime | None) -> str:
    return "not known" if time is None else time.isoformat(sep=" ", timespec="seconds")


def _suv(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _hex(color: HexColor) -> str:
    return f"#{color.hexval()[2:]}"


def _filling(widths: list[float], located: bool) -> list[float]:
    """Column widths that fill the page: the location gets what is left, or all columns share it."""
    spare = WIDTH - sum(widths)
    if located:
        return [widths[0], widths[1] + spare, *widths[2:]]
    return [width + spare / len(widths) for width in widths]


def _noun(report: Report) -> str:
    """What the listed regions are called: a threshold alone finds candidates."""
    return "candidate" if report.review is Review.CANDIDATES else "lesion"


def _columns(lesions: list[LesionRecord], uptake: str) -> list[tuple[str, bool, float, Any]]:
    """Heading, whether right-aligned, width and text of each column of the lesion table."""
    columns: list[tuple[str, bool, float, Any]] = [("No.", True, 8 * mm, lambda lesion: str(lesion.id))]
    if any(lesion.location for lesion in lesions):
        columns.append(("Location", False, 20 * mm, lambda lesion: markup(lesion.location or "", _NARROW)))
    columns += [
        ("Volume<br/>mL", True, 16 * mm, lambda lesion: f"{lesion.volume_ml:.2f}"),
        ("SUVmax", True, 16 * mm, lambda lesion: _suv(lesion.suv_max)),
        ("SUVpeak", True, 16 * mm, lambda lesion: _suv(lesion.suv_peak)),
        ("SUVmean", True, 16 * mm, lambda lesion: _suv(lesion.suv_mean)),
        ("SD", True, 11 * mm, lambda lesion: _suv(lesion.suv_sd)),
        ("SUVmin", True, 16 * mm, lambda lesion: _suv(lesion.suv_min)),
        (f"{uptake}<br/>g", True, 18 * mm, lambda lesion: f"{lesion.tlu:.2f}"),
        ("Centre x, y, z<br/>mm", True, 29 * mm, lambda lesion: ", ".join(f"{c:.0f}" for c in lesion.centroid_mm)),
    ]
    if _has_confidence(lesions):
        columns.append(("Confi-<br/>dence", True, 13 * mm, lambda lesion: _suv(lesion.confidence)))
    return columns


def _has_confidence(lesions: Sequence[LesionRecord]) -> bool:
    return any(lesion.confidence is not None for lesion in lesions)


def _key_values(*pairs: tuple[str, str]) -> Any:
    rows = [[Paragraph(name, LABEL), Paragraph(markup(text), SMALL)] for name, text in pairs if text]
    table = Table(rows, colWidths=[28 * mm, WIDTH - 28 * mm], hAlign="LEFT")
    table.setStyle(_tight())
    return table


def _tight(padding: float = 0.6) -> TableStyle:
    return TableStyle(
        [
            ("FONTNAME", (0, 0), (-1, -1), REGULAR),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (-1, -1), 2),
            ("RIGHTPADDING", (0, 0), (-1, -1), 2),
            ("TOPPADDING", (0, 0), (-1, -1), padding),
            ("BOTTOMPADDING", (0, 0), (-1, -1), padding),
        ]
    )
