"""Inference: find the lesions."""

from __future__ import annotations

from typing import Any

from holoscan.core import Fragment

from messages import Job
from operators.step import Port, Step
from petlesion.lesions import Lesions
from petlesion.segment.methods import segment
from petlesion.segment.options import SegmentOptions
from petlesion.study import PetCt


class SegmentLesions(Step):
    """`PetCt` → `Lesions`.

    Parameters
    ----------
    options
        Method and its parameters.
    **step
        As for `Step`.
    """

    receives = (Port("images", PetCt),)
    emits = Port("lesions", Lesions)

    def __init__(self, fragment: Fragment, *args: Any, options: SegmentOptions, **step: Any) -> None:
        self._options = options
        super().__init__(fragment, *args, **step)

    def process(self, _: Job, study: PetCt) -> Lesions:
        """Segment one study."""
        return segment(study, self._options)
