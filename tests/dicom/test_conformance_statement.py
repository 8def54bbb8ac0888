"""docs/conformance-statement.md names objects and transfer syntaxes as the standard does, and all can be decoded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydicom.pixels import get_decoder
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "conformance-statement.md").read_text()
ROWS = re.findall(r"^\| ([^|]+) \| (1\.2\.840\.10008\.[\d.]+) \|", TEXT, re.MULTILINE)


def test_all_tables_were_found() -> None:
    assert len(ROWS) == TEXT.count("| 1.2.840.10008.") > 20


@pytest.mark.parametrize(("name", "uid"), ROWS, ids=[uid for _, uid in ROWS])
def test_name_and_decoder(name: str, uid: str) -> None:
    syntax = UID(uid)
    assert syntax.name in (name, uid), "pydicom names it otherwise"  # uid: newer than its dictionary
    if syntax.is_transfer_syntax and syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian:
        assert get_decoder(syntax).available_plugins
