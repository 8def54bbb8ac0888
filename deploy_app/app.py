"""The application: which operator follows which.

Built on `holoscan.core`, which `monai.deploy.core` of the App SDK hands on under the same names: importing it from
there imports all of MONAI first, which takes 23 s and 1.5 GB instead of 0.7 s and 50 MB on two cores.
"""

from __future__ import annotations

from holoscan.core import Application

from logs import Log
from operators.load_studies import LoadStudies
from operators.measure_lesions import MeasureLesions
from operators.read_images import ReadImages
from operators.segment_lesions import SegmentLesions
from operators.select_series import SelectSeries
from operators.write_results import WriteResults
from paths import Paths
from petlesion.segment.options import SegmentOptions
from results import Outcome
from settings import Settings


class LesionApp(Application):  # type: ignore[misc] # holoscan has no type information
    """From the DICOM files of PET/CT studies to lesions, measurements and DICOM results.

    Studies follow each other through the graph one at a time. The diagram in docs/how-to/deploy.md shows it.

    Parameters
    ----------
    paths
        Input and output folder.
    settings
        All options.
    options
        Method of the segmentation, with its model.
    log
        Told of each operator and study.
    outcomes
        Takes what became of each study.
    """

    def __init__(
        self, paths: Paths, settings: Settings, options: SegmentOptions, log: Log, outcomes: list[Outcome]
    ) -> None:
        self._paths = paths
        self._settings = settings
        self._options = options
        self._log = log
        self._outcomes = outcomes
        super().__init__()

    def compose(self) -> None:
        """Create operators and connect them."""
        settings, log = self._settings, self._log
        load = LoadStudies(self, folder=self._paths.input, out=self._paths.output, log=log, name="load")
        select = SelectSeries(self, log=log, name="select")
        read = ReadImages(self, tracer=settings.tracer, log=log, name="read")
        segment = SegmentLesions(self, options=self._options, log=log, name="segment")
        measure = MeasureLesions(self, log=log, name="measure")
        write = WriteResults(
            self,
            wanted=settings.outputs,
            seg_type=settings.seg_type,
            outcomes=self._outcomes,
            log=log,
            name="write",
        )
        self.add_flow(load, select, {("study", "study")})
        self.add_flow(select, read, {("series", "series")})
        self.add_flow(read, segment, {("images", "images")})
        self.add_flow(read, measure, {("images", "images")})
        self.add_flow(read, write, {("images", "images")})
        self.add_flow(segment, measure, {("lesions", "lesions")})
        self.add_flow(segment, write, {("lesions", "lesions")})
        self.add_flow(measure, write, {("report", "report")})
