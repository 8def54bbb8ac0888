"""Which tracer a PET header names.

A threshold that fits one tracer is wrong for another. So the tracer is only named where code, text and radionuclide of
the radiopharmaceutical information agree, and never from the description of the study or series.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from pydicom import Dataset
from pydicom.sr.coding import Code

from petlesion.dicom.attributes import items, number, private_text, text
from petlesion.dicom.injection import GE_PET_CREATOR
from petlesion.dicom.radionuclide import (
    Radionuclide,
    coded_radionuclide,
    radionuclide_in_text,
    radionuclide_of_half_life,
    read_code,
)
from petlesion.tracers import TRACERS, Tracer, TracerName


class Ligand(StrEnum):
    """What carries the radionuclide to its target."""

    DOTATATE = "DOTATATE"
    DOTATOC = "DOTATOC"
    PSMA_11 = "PSMA-11"
    PSMA_1007 = "PSMA-1007"
    DCFPYL = "DCFPyL"
    FDG = "FDG"
    PSMA = "PSMA"
    """Some ligand of the prostate-specific membrane antigen, not said which."""
    OTHER = "other"
    """Known, and none of the above."""


@dataclass(frozen=True)
class TracerIdentification:
    """A tracer and why it is that.

    Attributes
    ----------
    tracer
        The tracer, or the unknown one.
    reason
        What the header says, a sentence.
    """

    tracer: Tracer
    reason: str


_CODES = (
    (Code("35321007", "SCT", ""), Ligand.FDG, Radionuclide.F18),
    (Code("724025002", "SCT", ""), Ligand.DOTATATE, Radionuclide.GA68),
    (Code("C2713594", "UMLS", ""), Ligand.DOTATOC, Radionuclide.GA68),
    (Code("C118961", "NCIt", ""), Ligand.PSMA_11, Radionuclide.GA68),
    (Code("126758", "DCM", ""), Ligand.PSMA_1007, Radionuclide.F18),
    (Code("C116352", "NCIt", ""), Ligand.DCFPYL, Radionuclide.F18),
)
"""Codes of CID 4021, PET Radiopharmaceutical (PS3.16); C-B1031 of SNOMED RT equals 35321007 of SNOMED CT."""

_BRANDS = (
    ("netspot", Ligand.DOTATATE, Radionuclide.GA68),
    ("detectnet", Ligand.DOTATATE, Radionuclide.CU64),
    ("somakit", Ligand.DOTATOC, Radionuclide.GA68),
    ("illuccix|locametz|gozellix", Ligand.PSMA_11, Radionuclide.GA68),
    ("pylarify|pylclari", Ligand.DCFPYL, Radionuclide.F18),
    ("radelumin", Ligand.PSMA_1007, Radionuclide.F18),
)
"""Trade names; each is of one radionuclide."""

_NAMES = (
    (r"rh[ _-]?psma|flotufolastat|posluma|psma[ _-]?(?:617|i ?& ?t)|dcfbc|dota[ _-]?noc", Ligand.OTHER, None),
    (r"jr-?11|choline", Ligand.OTHER, None),
    (r"dota[ _-]*tate|oxodotreotide|octreotate", Ligand.DOTATATE, None),
    (r"dota[ _-]*toc|edotreotide", Ligand.DOTATOC, None),
    (r"psma[ _-]*1007", Ligand.PSMA_1007, None),
    (r"psma[ _-]*11(?!\d)|psma[ _-]*hbed|hbed[ _-]*cc|gozetotide", Ligand.PSMA_11, None),
    (r"dcf[ _-]*pyl|piflufolastat", Ligand.DCFPYL, None),
    (r"fdg|flu(?:oro?)?-?des?oxy-?glucose|deoxy.{0,12}fluoro.{0,4}glucose", Ligand.FDG, None),
    (r"psma", Ligand.PSMA, None),
)
"""Names as vendors and sites write them."""

_TRACER = {
    (Ligand.DOTATATE, Radionuclide.GA68): TracerName.GA68_DOTATATE,
    (Ligand.DOTATATE, Radionuclide.CU64): TracerName.CU64_DOTATATE,
    (Ligand.DOTATOC, Radionuclide.GA68): TracerName.GA68_DOTATOC,
    (Ligand.PSMA_11, Radionuclide.GA68): TracerName.GA68_PSMA11,
    (Ligand.PSMA, Radionuclide.GA68): TracerName.GA68_PSMA11,
    (Ligand.PSMA_1007, Radionuclide.F18): TracerName.F18_PSMA1007,
    (Ligand.DCFPYL, Radionuclide.F18): TracerName.F18_DCFPYL,
    (Ligand.FDG, Radionuclide.F18): TracerName.F18_FDG,
}
"""PSMA of 68Ga without a number is PSMA-11, the only one in routine use; of 18F it may be any of several."""

_ONLY_RADIONUCLIDE = {
    Ligand.FDG: Radionuclide.F18,
    Ligand.PSMA_1007: Radionuclide.F18,
    Ligand.DCFPYL: Radionuclide.F18,
}
"""Ligands that are made with one radionuclide for PET, which a header then need not name."""


def identify_tracer(header: Dataset) -> TracerIdentification:
    """Tracer that a PET header names, and why.

    Parameters
    ----------
    header
        Header of a PET image. Its RadiopharmaceuticalInformationSequence (0054,0016) and GE's private tracer_name
        (0009,xx36) are read.
    """
    evidence = _Evidence()
    for item in items(header, "RadiopharmaceuticalInformationSequence"):
        evidence.read(item)
        evidence.add(radionuclide_of_half_life(number(item, "RadionuclideHalfLife")))
    evidence.read_label(private_text(header, 0x0009, GE_PET_CREATOR, 0x36))
    ligand, nuclide = evidence.ligand(), evidence.radionuclide()
    name = TracerName.UNKNOWN
    if ligand is not None and nuclide is not None:
        name = _TRACER.get((ligand, nuclide), TracerName.UNKNOWN)
    said = ", ".join(dict.fromkeys(evidence.said)) or "nothing"
    return TracerIdentification(TRACERS[name], f"The radiopharmaceutical information says {said}.")


def named_radionuclide(item: Dataset) -> Radionuclide | None:
    """Radionuclide that an item of the radiopharmaceutical information names, whatever its half-life says.

    None where it names none, or several.
    """
    evidence = _Evidence()
    evidence.read(item)
    return evidence.radionuclide()


@dataclass
class _Evidence:
    """What radiopharmaceuticals are said to be; contradictions show as several ligands or radionuclides."""

    ligands: set[Ligand] = field(default_factory=set)
    nuclides: set[Radionuclide] = field(default_factory=set)
    said: list[str] = field(default_factory=list)

    def ligand(self) -> Ligand | None:
        """The only ligand; one that is named exactly counts before PSMA of any kind."""
        exact = self.ligands - {Ligand.PSMA} or self.ligands
        return next(iter(exact)) if len(exact) == 1 else None

    def radionuclide(self) -> Radionuclide | None:
        """The only radionuclide, be it by the ligand."""
        ligand = self.ligand()
        if not self.nuclides and ligand is not None:
            return _ONLY_RADIONUCLIDE.get(ligand)
        return next(iter(self.nuclides)) if len(self.nuclides) == 1 else None

    def read(self, item: Dataset) -> None:
        """Add what an item of the radiopharmaceutical information says."""
        labels = [text(item, "Radiopharmaceutical")]
        for code_item in items(item, "RadiopharmaceuticalCodeSequence"):
            code = read_code(code_item)
            labels.append(code.meaning)
            for known, ligand, nuclide in _CODES:
                if code == known:
                    self._add(f"code {code.value} ({ligand}, {nuclide})", ligand, nuclide)
        for label in labels:
            self.read_label(label)
        self.add(coded_radionuclide(item))

    def add(self, nuclide: Radionuclide | None) -> None:
        """Add a radionuclide, if there is one."""
        if nuclide is not None:
            self._add(nuclide.value, None, nuclide)

    def read_label(self, label: str) -> None:
        """Add what a free text says."""
        if not label:
            return
        self._add(repr(label), None, radionuclide_in_text(label))
        for pattern, ligand, nuclide in (*_BRANDS, *_NAMES):
            if re.search(pattern, label, re.IGNORECASE):
                self._add(repr(label), ligand, nuclide)

    def _add(self, said: str, ligand: Ligand | None, nuclide: Radionuclide | None) -> None:
        self.said.append(said)
        self.ligands |= {ligand} if ligand else set()
        self.nuclides |= {nuclide} if nuclide else set()
