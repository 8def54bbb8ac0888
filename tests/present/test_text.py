"""Names and header texts as they are printed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.platypus import Paragraph

from petlesion.present.text import MISSING, REGULAR, markup, person_name, printable, register_fonts, shortened


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("", ""),
        ("^", ""),
        ("Doe^Jane", "Doe, Jane"),
        ("Doe^Jane^Anne^Dr.^PhD", "Doe, Jane Anne Dr. PhD"),
        ("Guðmundsdóttir^Þóra", "Guðmundsdóttir, Þóra"),
        ("Ψαρράς^Γιώργος", "Ψαρράς, Γιώργος"),
        ("Иванов^Иван=Иванов^Иван", "Иванов, Иван"),
        ("Wang^XiaoDong=王^小東", "Wang, XiaoDong"),
        ("Hong^Gildong=洪^吉洞=홍^길동", "Hong, Gildong"),
        ("Ivanov^Ivan=Иванов^Иван", "Ivanov, Ivan (Иванов, Иван)"),
        ("=山田^太郎", f"{MISSING * 2}, {MISSING * 2}"),
        ("قباني^لنزار", f"{MISSING * 5}, {MISSING * 5}"),
        ("A&B^<b>", "A&B, <b>"),
    ],
)
def test_person_name(name: str, shown: str) -> None:
    assert person_name(name) == shown


def test_decomposed_letters_are_composed() -> None:
    assert printable("u\N{COMBINING DIAERESIS}") == "ü"


def test_the_character_for_missing_ones_is_in_the_font() -> None:
    assert MISSING in register_fonts()
    assert printable(MISSING) == MISSING


@settings(derandomize=True, deadline=None, max_examples=200)
@given(text=st.text(max_size=60))
def test_any_text_is_safe_in_a_paragraph(text: str) -> None:
    register_fonts()
    paragraph = Paragraph(markup(text), ParagraphStyle("any", fontName=REGULAR))
    paragraph.wrap(200, 1000)
    assert paragraph.getPlainText(identify=True).split() == printable(text).split()


def test_markup_of_a_hostile_name_stays_text() -> None:
    assert markup('<b>&</b><img src="x"/>\x00') == '&lt;b&gt;&amp;&lt;/b&gt;&lt;img src="x"/&gt; '


def test_long_text_is_cut_to_its_width() -> None:
    register_fonts()
    assert shortened("short", REGULAR, 7, 100) == "short"
    cut = shortened("m" * 1000, REGULAR, 7, 100)
    assert cut.endswith("…")
    assert 90 < stringWidth(cut, REGULAR, 7) <= 100
