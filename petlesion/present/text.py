"""Text for print: a font that covers Latin, Greek and Cyrillic, and strings from headers made harmless."""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path
from xml.sax.saxutils import escape

REGULAR = "DejaVuSans"
BOLD = "DejaVuSans-Bold"
"""Names of the embedded fonts; matplotlib ships the files."""

MISSING = "\N{WHITE VERTICAL RECTANGLE}"
"""Stands for a character that the font lacks."""

_LONGEST_LINE = 300
"""More characters fit into no line of a page."""


@cache
def register_fonts() -> frozenset[str]:
    """Make `REGULAR` and `BOLD` known to reportlab; returns the characters that both can print."""
    import matplotlib as mpl
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    fonts = [TTFont(name, str(folder / f"{name}.ttf")) for name in (REGULAR, BOLD)]
    for font in fonts:
        pdfmetrics.registerFont(font)
    pdfmetrics.registerFontFamily(REGULAR, normal=REGULAR, bold=BOLD, italic=REGULAR, boldItalic=BOLD)
    covered = [frozenset(map(chr, font.face.charToGlyph)) for font in fonts]
    return covered[0] & covered[1]


def printable(text: str) -> str:
    """The text with white space for control characters and `MISSING` for those that cannot be printed.

    Scripts written from right to left count as such: without shaping they would appear reversed.
    """
    spaced = "".join(" " if unicodedata.category(character).startswith("C") else character for character in text)
    return "".join(
        character if _is_printable(character) else MISSING for character in unicodedata.normalize("NFC", spaced)
    )


def markup(text: str, most: int = 2000) -> str:
    """Any text, cut to `most` characters, as content of a reportlab Paragraph, which reads XML.

    Headers may hold texts of any length, and a cell higher than a page cannot be printed.
    """
    shown = printable(text[: most + 1])
    return escape(shown if len(shown) <= most else f"{shown[: most - 1]}…")


def person_name(name: str) -> str:
    """A DICOM person name as it is read (DICOM PS3.5 6.2.1.2): "Family, Given Middle".

    Of the alphabetic, ideographic and phonetic groups, those that can be printed appear, the first one before the
    others in brackets. When none can be printed, the first one does, with `MISSING` characters.

    Examples
    --------
    >>> person_name("Müller^Änne")
    'Müller, Änne'
    >>> person_name("Yamada^Tarou=山田^太郎=やまだ^たろう")
    'Yamada, Tarou'
    """
    groups = [_components(group) for group in name.split("=")]
    groups = list(dict.fromkeys(group for group in groups if group))
    legible = [group for group in groups if MISSING not in printable(group)] or groups[:1]
    if not legible:
        return ""
    first, *others = legible
    return printable(first + (f" ({', '.join(others)})" if others else ""))


def shortened(text: str, font: str, size: float, width: float) -> str:
    """The text, or as much of its beginning as fits into a width, with an ellipsis; size and width in points."""
    from reportlab.pdfbase.pdfmetrics import stringWidth

    kept = text[:_LONGEST_LINE]
    while kept and stringWidth(kept if kept == text else f"{kept}…", font, size) > width:
        kept = kept[:-1]
    return kept if kept == text else f"{kept}…"


def _components(group: str) -> str:
    family, *others = (part.strip() for part in group.split("^"))
    return ", ".join(part for part in (family, " ".join(filter(None, others))) if part)


def _is_printable(character: str) -> bool:
    rightward = unicodedata.bidirectional(character) not in ("R", "AL", "AN")
    return rightward and character in register_fonts()
