"""The one way through the house: a study that was read → segment → measure → write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from petlesion.dicom.seg_type import SegType
from petlesion.errors import SegmentationError, reason
from petlesion.lesions import Lesions
from petlesion.measure.biomarkers import measure
from petlesion.output import REPORT, staged_results
from petlesion.progress import Progress, silent
from petlesion.report import Report
from petlesion.segment.methods import segment
from petlesion.segment.options import SegmentOptions
from petlesion.study import PetCt

Step = Callable[[str], None]
"""Called with the name of each step as it begins, for progress displays and logs."""


@dataclass(frozen=True)
class OutputOptions:
    """What to write besides the report, and how."""

    seg_type: SegType = SegType.BINARY
    nifti: bool = False
    overwrite: bool = False


def segment_to_folder(
    study: PetCt,
    options: SegmentOptions,
    out: Path,
    output: OutputOptions | None = None,
    step: Step = lambda _: None,
    progress: Progress = silent,
) -> Report:
    """Segment, measure and write all results of a study.

    Parameters
    ----------
    study
        PET in SUVbw with its CT, if any.
    options
        Method and its parameters.
    out
        Folder of the results: `seg.dcm`, `sr.dcm`, `rtstruct.dcm` (or `lesions.nii.gz` for NIfTI input), `report.pdf`,
        `report.json`, `lesions.csv`.
    output
        What to write and how.
    step
        Told the name of each step as it begins.
    progress
        Told how many windows of a network are done.

    Returns
    -------
    Report
        What `report.json` holds.

    Raises
    ------
    PetlesionError
        Segmentation failed, or results cannot be written; then `out` is as it was.
    """
    output = output or OutputOptions()
    with staged_results(out, overwrite=output.overwrite) as staging:
        step("segment")
        try:
            lesions = segment(study, options, progress)
        except OSError as error:  # of a library or a file it needs, and not of the results
            raise SegmentationError(
                f"a library or file cannot be loaded ({reason(error)})", remedy="check the installation"
            ) from error
        return _measure_and_write(study, lesions, staging, output, step)


def measure_to_folder(
    study: PetCt, lesions: Lesions, out: Path, output: OutputOptions | None = None, step: Step = lambda _: None
) -> Report:
    """Measure lesions that exist already and write the same results as `segment_to_folder`."""
    output = output or OutputOptions()
    with staged_results(out, overwrite=output.overwrite) as staging:
        return _measure_and_write(study, lesions, staging, output, step)


def _measure_and_write(study: PetCt, lesions: Lesions, folder: Path, output: OutputOptions, step: Step) -> Report:
    step("measure")
    report = measure(study, lesions)
    step("write")
    write_results(study, lesions, report, folder, output)
    return report


def write_results(study: PetCt, lesions: Lesions, report: Report, folder: Path, output: OutputOptions) -> None:
    """Write all results into an existing folder; see `segment_to_folder` for the names."""
    from petlesion.nifti import write_image, write_labels
    from petlesion.present.pdf import write_pdf
    from petlesion.present.table import write_lesions_csv

    if study.source is not None:
        _write_dicom(study, lesions, report, folder, output.seg_type)
    if study.source is None or output.nifti:
        write_labels(lesions.labels, lesions.grid, folder / "lesions.nii.gz")
    for name, volume in lesions.maps.items():
        write_image(volume, folder / f"{name}.nii.gz")
    write_pdf(study, lesions, report, folder / "report.pdf")
    write_lesions_csv(report, folder / "lesions.csv")
    (folder / REPORT).write_text(report.to_json(), encoding="utf-8")


def _write_dicom(study: PetCt, lesions: Lesions, report: Report, folder: Path, seg_type: SegType) -> None:
    from petlesion.dicom.measurement_report import build_measurement_report
    from petlesion.dicom.rtstruct import build_rtstruct
    from petlesion.dicom.segmentation import build_segmentation

    segmentation = None
    if lesions.count:
        segmentation = build_segmentation(study, lesions, report, seg_type)
        segmentation.save_as(folder / "seg.dcm", enforce_file_format=True)
        build_rtstruct(study, lesions, report).save_as(folder / "rtstruct.dcm", enforce_file_format=True)
    build_measurement_report(study, report, segmentation).save_as(folder / "sr.dcm", enforce_file_format=True)
