"""`report.json`, schema petlesion-report/1, as plain data: what was read, how it was segmented, what was measured."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal

from petlesion.tracers import TRACERS, TracerName

SCHEMA: Final = "petlesion-report/1"


class ReferenceOrgan(StrEnum):
    """Organ whose normal uptake sets the threshold."""

    LIVER = "liver"
    SPLEEN = "spleen"
    NONE = "none"


class MethodName(StrEnum):
    """Methods of segmentation, as `--method`, the annotation server and records name them."""

    PERCIST = "percist"
    """Threshold from normal liver, or spleen where the liver is diseased."""
    FIXED = "fixed"
    """Fixed SUV threshold."""
    RELATIVE = "relative"
    """Fraction of each region's maximum."""
    GRADIENT = "gradient"
    """PERCIST detection, boundary at the edge of uptake."""
    UNET = "unet"
    """Network of a model folder."""
    NNUNET = "nnunet"
    """Model that nnU-Net v2 trained, by nnU-Net's own predictor."""


class Review(StrEnum):
    """How far the listed regions may be taken for lesions."""

    CANDIDATES = "candidates"
    """From an algorithm alone, a threshold as a rule: physiological uptake is still among them."""
    FILTERED = "filtered"
    """A network told lesions from physiological uptake; no physician has reviewed them."""
    REVIEWED = "reviewed"
    """From a mask that a person made or accepted."""


@dataclass(frozen=True)
class StudyRecord:
    """Which images were measured."""

    study_instance_uid: str
    pet_series_instance_uid: str
    ct_series_instance_uid: str | None
    tracer: str
    selection: tuple[str, ...] = ()
    """Why these series, a sentence each."""


@dataclass(frozen=True)
class SuvRecord:
    """How stored values became SUVbw.

    `factor` multiplies rescaled stored values (Bq/mL for BQML) and is None when it differs between slices, or when the
    input was already SUV without a header. Times are those of the scanner's clock, with a zone only where the header
    gives one. `uptake_min` goes from the injection to the start of the scan, also where values are decay-corrected to
    the injection. `injected_mbq` is the administered activity at the injection. What is not known, or not needed for
    SUVbw, is None.
    """

    units: str
    decay_correction: str
    factor: float | None
    reference_time: datetime | None
    injection_time: datetime | None
    warnings: tuple[str, ...] = ()
    overrides: dict[str, float | str] = field(default_factory=dict)
    """Header values replaced by the user: option name → value."""
    injected_mbq: float | None = None
    weight_kg: float | None = None
    half_life_s: float | None = None
    uptake_min: float | None = None

    @property
    def amounts(self) -> dict[str, str]:
        """What SUVbw was computed from, for people: name → value with its unit, without what is None."""
        known = (
            ("injected activity", self.injected_mbq, "MBq"),
            ("uptake time", self.uptake_min, "min"),
            ("half-life", self.half_life_s, "s"),
            ("body weight", self.weight_kg, "kg"),
        )
        return {name: f"{value:.6g} {unit}" for name, value, unit in known if value is not None}


@dataclass(frozen=True)
class Sphere:
    """A reference region: LPS centre (x, y, z) in mm, radius in mm."""

    center_mm: tuple[float, float, float]
    radius_mm: float


@dataclass(frozen=True)
class Reference:
    """Normal uptake and the threshold that follows from it, SUVbw (g/mL)."""

    organ: ReferenceOrgan
    mean: float | None
    sd: float | None
    threshold: float | None
    spheres: tuple[Sphere, ...] = ()


NO_REFERENCE = Reference(ReferenceOrgan.NONE, None, None, None)
"""The reference of methods that need none."""


@dataclass(frozen=True)
class MethodRecord:
    """Which method, which code, which weights."""

    name: str
    version: str
    weights_sha256: str | None = None
    parameters: dict[str, float | int | str | bool | None] = field(default_factory=dict)


@dataclass(frozen=True)
class LesionRecord:
    """Measurements of one lesion: volume in mL, SUVbw in g/mL, TLU = SUVmean x mL in g, centroid in LPS mm.

    `confidence` is the mean over the lesion's voxels of the network's probability of lesion: not calibrated, and no
    probability of malignancy. None where no network found it. `tlu` of 18F-FDG is the total lesion glycolysis (TLG).
    """

    id: int
    tracking_uid: str
    volume_ml: float
    suv_max: float
    suv_mean: float
    suv_min: float
    suv_sd: float
    suv_peak: float
    tlu: float
    centroid_mm: tuple[float, float, float]
    location: str | None = None
    confidence: float | None = None


@dataclass(frozen=True)
class Totals:
    """Whole-body sums; SUV values are None when there is no lesion.

    `suv_mean` is weighted by volume; `min_lesion_suv_mean` is the lowest lesion SUVmean (Carlsen et al., JNM 2021).
    """

    n_lesions: int
    ttv_ml: float
    tlu: float
    suv_max: float | None
    suv_mean: float | None
    suv_peak: float | None
    min_lesion_suv_mean: float | None


@dataclass(frozen=True)
class Report:
    """Everything that the outputs say, and nothing else."""

    study: StudyRecord
    suv: SuvRecord
    reference: Reference
    method: MethodRecord
    lesions: tuple[LesionRecord, ...]
    totals: Totals
    review: Review
    warnings: tuple[str, ...] = ()
    schema: Literal["petlesion-report/1"] = SCHEMA

    @property
    def threshold_suv(self) -> float | None:
        """The SUVbw from which a voxel counted; None where no single one bounds the lesions.

        A network is shown `reference.threshold` and applies none, unless its lesions are redrawn at it; `relative` and
        `gradient` detect at a threshold, and draw the boundary elsewhere.
        """
        own = self.method.parameters.get("threshold_suv")
        return float(own) if isinstance(own, (int, float)) else None

    @property
    def threshold_organ(self) -> ReferenceOrgan:
        """Organ whose uptake gave `reference.threshold`; none where the tracer's own replaces a spleen's, too low."""
        reference = self.reference
        replaced = reference.threshold == TRACERS[TracerName(self.study.tracer)].fallback_suv
        return ReferenceOrgan.NONE if reference.organ is ReferenceOrgan.SPLEEN and replaced else reference.organ

    @property
    def is_glycolysis(self) -> bool:
        """Whether SUVmean x volume is called total lesion glycolysis (TLG): for 18F-FDG alone, else it is TLU."""
        return self.study.tracer == TracerName.F18_FDG

    def to_json(self) -> str:
        """The document as indented JSON text; the same report gives the same bytes."""
        return json.dumps(asdict(self), indent=2, default=_encode, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Report:
        """Parse and validate a `report.json`.

        Raises
        ------
        pydantic.ValidationError
            If a key is missing or has the wrong type, or the document follows another schema.
        """
        from pydantic import TypeAdapter

        return TypeAdapter(cls).validate_json(text)


def report_json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of `report.json`."""
    from pydantic import TypeAdapter

    return TypeAdapter(Report).json_schema()


def _encode(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"cannot write {type(value).__name__} to JSON")
