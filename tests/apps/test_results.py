"""What a client is told of a result."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("monailabel", reason="needs MONAI Label")

from lib.infers.results import describe
from pet_studies import make_lesions, make_study

from petlesion.segment.reference import UNKNOWN_TRACER_WARNING
from petlesion.volume import Grid


def test_a_warning_names_the_option_that_clients_have_and_not_that_of_the_command_line() -> None:
    study = make_study(Grid.from_geometry((4, 5, 6), (4.0, 4.0, 4.0)))
    _, report = make_lesions(study, np.zeros((4, 5, 6)), warnings=(UNKNOWN_TRACER_WARNING,))
    (warning,) = (text for text in describe(report, instances=True)["warnings"] if "not known" in text)
    assert warning.endswith("(name it with the option tracer)")
