"""The App SDK's own operators on a study: loader, selector, volume, a threshold, SEG writer. Started by `deploy.py`.

The threshold stands where inference would; it is no method of anybody's. The volume operator's defect (its dtype is
that of the first slice) is the SDK's and stays.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import Any

RULES = '{"selections": [{"name": "PET", "conditions": {"Modality": "PT"}}]}'


def main(study: Path, out: Path) -> None:
    """Run the graph and print the seconds of each operator."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "deploy_app"))
    from preflight import load_cuda_runtime

    load_cuda_runtime()
    import numpy as np
    from monai.deploy.conditions import CountCondition
    from monai.deploy.core import Application, Image, Operator
    from monai.deploy.operators import (
        DICOMDataLoaderOperator,
        DICOMSegmentationWriterOperator,
        DICOMSeriesSelectorOperator,
        DICOMSeriesToVolumeOperator,
    )
    from monai.deploy.operators.dicom_seg_writer_operator import SegmentDescription
    from pydicom.sr.codedict import codes

    seconds: dict[str, float] = {}

    class Threshold(Operator):  # type: ignore[misc]
        def setup(self, spec: Any) -> None:
            spec.input("image")
            spec.output("seg_image")

        def compute(self, op_input: Any, op_output: Any, _: Any) -> None:
            image = op_input.receive("image")
            array = image.asnumpy()
            op_output.emit(Image((array > 0.2 * array.max()).astype(np.uint8), image.metadata()), "seg_image")

    def timed(kind: Any) -> Any:
        class Timed(kind):  # type: ignore[misc]
            def compute(self, *arguments: Any) -> None:
                started = time.perf_counter()
                super().compute(*arguments)
                seconds[self.name] = time.perf_counter() - started

        return Timed

    class Stock(Application):  # type: ignore[misc]
        def compose(self) -> None:
            segment = SegmentDescription(
                segment_label="Lesion",
                segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
                segmented_property_type=codes.SCT.Neoplasm,
                algorithm_name="threshold",
                algorithm_version="1",
            )
            load = timed(DICOMDataLoaderOperator)(self, CountCondition(self, 1), input_folder=study, name="load")
            select = timed(DICOMSeriesSelectorOperator)(self, rules=RULES, name="select")
            volume = timed(DICOMSeriesToVolumeOperator)(self, name="volume")
            threshold = timed(Threshold)(self, name="threshold")
            write = timed(DICOMSegmentationWriterOperator)(
                self, segment_descriptions=[segment], output_folder=out, name="write SEG"
            )
            self.add_flow(load, select, {("dicom_study_list", "dicom_study_list")})
            self.add_flow(select, volume, {("study_selected_series_list", "study_selected_series_list")})
            self.add_flow(volume, threshold, {("image", "image")})
            self.add_flow(threshold, write, {("seg_image", "seg_image")})
            self.add_flow(select, write, {("study_selected_series_list", "study_selected_series_list")})

    sys.argv = sys.argv[:1]
    Stock().run()
    for name, value in seconds.items():
        print(f"|{name:24}{value:8.2f} s")
    print(f"|peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
