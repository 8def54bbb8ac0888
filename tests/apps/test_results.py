"""What a client is told of a result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("monailabel", reason="needs MONAI Label")

from lib.infers.results import describe
from pet_studies import make_lesions, make_study
from pydicom import Dataset

from petlesion.dicom.body_measures import patient_weight_kg
from petlesion.segment.reference import UNKNOWN_TRACER_WARNING
from petlesion.volume import Grid


def test_a_warning_names_the_option_that_clients_have_and_not_that_of_the_command_line() -> None:
    study = make_study(Grid.from_geometry((4, 5, 6), (4.0, 4.0, 4.0)))
    _, report = make_lesions(study, np.zeros((4, 5, 6)), warnings=(UNKNOWN_TRACER_WARNING,))
    (warning,) = (text for text in describe(report, instances=True)["warnings"] if "not known" in text)
    assert warning.endswith("(name it with the option tracer)")


def test_a_warning_about_suv_advises_no_option_of_the_command_line() -> None:
    study = make_study(Grid.from_geometry((4, 5, 6), (4.0, 4.0, 4.0)))
    header = Dataset()
    header.PatientWeight = 700
    warnings: list[str] = []
    patient_weight_kg(header, None, warnings)
    study = replace(study, suv=replace(study.suv, warnings=tuple(warnings)))
    _, report = make_lesions(study, np.zeros((4, 5, 6)))
    assert describe(report, instances=True)["suv"]["warnings"] == ["A body weight of 700 kg is implausible, but used."]
