"""The segmentation methods by name, and the one function that runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import petlesion
from petlesion.errors import ModelError, UsageError
from petlesion.lesions import ENTROPY_MAP, LABEL_DTYPE, PROBABILITY_MAP, Lesions
from petlesion.networks.installed import installed_model
from petlesion.orientation import Orientation
from petlesion.progress import Progress, silent
from petlesion.report import NO_REFERENCE, MethodRecord, Reference, Review
from petlesion.segment.body import remove_outside
from petlesion.segment.click import Grown, check_point, grow_at_threshold, grow_to_edge, grow_to_fraction
from petlesion.segment.coarse import refine
from petlesion.segment.components import label_components, number_by_volume
from petlesion.segment.gradient import gradient_edges
from petlesion.segment.options import MethodName, NetworkOptions, SegmentOptions
from petlesion.segment.organ_search import Scene
from petlesion.segment.peaks import split_lesions
from petlesion.segment.reference import find_reference
from petlesion.segment.relative import detected_contours, incremental_contours
from petlesion.study import PetCt
from petlesion.volume import Volume

if TYPE_CHECKING:
    from petlesion.networks.model_folder import Model


@dataclass(frozen=True, eq=False)
class Case:
    """A study as methods see it: in canonical orientation (see `Orientation`), with what several of them need.

    Attributes
    ----------
    study, options
        As given to `segment`.
    """

    study: PetCt
    options: SegmentOptions

    @cached_property
    def orientation(self) -> Orientation:
        """How the PET grid is stored."""
        return Orientation.of(self.study.pet.grid)

    @cached_property
    def pet(self) -> Volume:
        """PET, SUVbw, a view."""
        return Volume(self.orientation.view(self.study.pet.array), self.orientation.grid)

    @cached_property
    def scene(self) -> Scene:
        """The study reduced to a coarse grid."""
        return Scene.of(self.study)

    @cached_property
    def reference(self) -> tuple[Reference, tuple[str, ...]]:
        """Reference region and what to know about it."""
        if self.options.reference is not None:
            return self.options.reference, ()
        return find_reference(
            self.study,
            organs=self.options.organs,
            liver_sphere_mm=self.options.liver_sphere_mm,
            scene=None if self.options.liver_sphere_mm else self.scene,
        )

    @property
    def threshold(self) -> float:
        """Detection threshold of the reference, SUVbw."""
        reference, _ = self.reference
        return self.study.tracer.fallback_suv if reference.threshold is None else reference.threshold

    def detect(self, threshold: float) -> NDArray[np.uint16]:
        """Components of the body at or above `threshold`, numbered by volume, the small ones removed."""
        mask = self.pet.array >= np.float32(threshold)
        remove_outside(mask, self.scene.body, self.scene.search_factors)
        return label_components(mask, self.pet.grid.voxel_ml, self.options.min_volume_ml)

    def number(self, labels: NDArray[np.int32]) -> NDArray[np.uint16]:
        """Regions numbered by volume, the small ones removed."""
        return number_by_volume(labels, self.pet.grid.voxel_ml, self.options.min_volume_ml)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a method found: labels in canonical orientation, and what `Lesions` says about them."""

    labels: NDArray[np.uint16]
    parameters: dict[str, float | int | str | bool | None]
    reference: Reference = NO_REFERENCE
    review: Review = Review.CANDIDATES
    confidences: dict[int, float] = field(default_factory=dict)
    locations: dict[int, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Method:
    """How a method segments a whole body, and how it grows one lesion from a click (None: it cannot)."""

    whole_body: Callable[[Case], Outcome]
    from_point: Callable[[Case, tuple[float, float, float]], Outcome] | None = None


def segment(study: PetCt, options: SegmentOptions, progress: Progress = silent) -> Lesions:
    """Find lesions by a threshold, a contour, an edge or a network.

    Parameters
    ----------
    study
        SUVbw, CT where there is one, tracer.
    options
        Method and its parameters; with `point_mm`, one lesion is grown there.
    progress
        Told how many windows of the network are done.

    Returns
    -------
    Lesions
        On the grid of the PET, numbered by decreasing volume; how far they may be trusted is in their `review`.

    Raises
    ------
    ModelError
        If the model of `unet` is missing or altered.
    UsageError
        If a point lies outside the field of view, or the organs on another grid.
    SegmentationError
        If there is no lesion at the point, or more regions than a label map can hold.
    """
    if options.method is MethodName.UNET:
        return _by_network(study, options, progress)
    case = Case(study, options)
    if options.method is MethodName.NNUNET:
        return _by_nnunet(case)
    method = METHODS[options.method]
    if options.point_mm is None:
        outcome = method.whole_body(case)
    elif method.from_point is None:
        raise UsageError(f"the method {options.method} grows no lesion from a point", remedy="use a threshold method")
    else:
        check_point(case.pet, options.point_mm)
        outcome = method.from_point(case, options.point_mm)
    return Lesions(
        labels=case.orientation.back(outcome.labels),
        grid=study.pet.grid,
        method=MethodRecord(str(options.method), petlesion.__version__, parameters=outcome.parameters),
        reference=outcome.reference,
        review=outcome.review,
        locations=outcome.locations,
        confidences=outcome.confidences,
        warnings=outcome.warnings,
    )


def default_method() -> MethodName:
    """The network where it and a model of it are installed, else the threshold from normal liver."""
    return MethodName.PERCIST if installed_model(MethodName.UNET) is None or lacks_packages() else MethodName.UNET


def lacks_packages() -> bool:
    """Whether packages that a network needs are not installed."""
    return any(find_spec(package) is None for package in _NETWORK_PACKAGES)


def _by_network(study: PetCt, options: SegmentOptions, progress: Progress) -> Lesions:
    """Run the network of a model folder; torch is imported here and not before."""
    if options.point_mm is not None:
        raise UsageError("unet grows no lesion from a point", remedy="use a threshold method")
    installed = None if options.models else installed_model(MethodName.UNET)
    models = options.models if installed is None else (installed,)
    if not models:
        raise ModelError("no model is installed", remedy="name a model folder with --model")
    from petlesion.segment.network import load_models, segment_by_network

    found = segment_by_network(
        study,
        load_models(models) if options.model_sha256 is None else _kept_models(models, options.model_sha256),
        _network_options(options),
        organs=options.organs,
        liver_sphere_mm=options.liver_sphere_mm,
        reference=options.reference,
        progress=progress,
    )
    maps = {PROBABILITY_MAP: found.probability, ENTROPY_MAP: found.entropy}
    return replace(found.lesions, maps={name: volume for name, volume in maps.items() if volume is not None})


def _network_options(options: SegmentOptions) -> NetworkOptions:
    return replace(options.network, min_volume_ml=options.min_volume_ml, split_touching=options.split_touching)


@lru_cache(maxsize=1)
def _kept_models(folders: tuple[Path, ...], sha256: str) -> tuple[Model, ...]:
    """Load models for all studies of a run: by their identity, what was loaded stays what was asked for."""
    from petlesion.segment.network import load_models

    return load_models(folders, sha256)


def _by_nnunet(case: Case) -> Lesions:
    """Run a model of nnU-Net, which is optional and imported here."""
    options = case.options
    if options.point_mm is not None:
        raise UsageError("nnunet grows no lesion from a point", remedy="use a threshold method")
    if len(options.models) != 1:
        raise ModelError("nnunet needs one model folder", remedy="name the folder of a trained nnU-Net with --model")
    from petlesion.networks.nnunet_folder import load_nnunet
    from petlesion.segment.nnunet import segment_by_nnunet

    model = load_nnunet(options.models[0])
    if options.model_sha256 not in (None, model.sha256):
        raise ModelError(f"model has SHA-256 {model.sha256}, not {options.model_sha256}", remedy="restore its files")
    reference, warnings = case.reference
    lesions = segment_by_nnunet(
        case.study,
        model,
        _network_options(options),
        scene=case.scene,
        reference=reference,
        threshold=case.threshold,
    )
    return replace(lesions, warnings=(*warnings, *lesions.warnings))


def _percist(case: Case) -> Outcome:
    labels = _split(case, case.detect(case.threshold))
    reference, warnings = case.reference
    return Outcome(labels, _detection(case, case.threshold), reference, warnings=(*warnings, CANDIDATES_WARNING))


def _fixed(case: Case) -> Outcome:
    threshold = case.options.suv
    labels = _split(case, case.detect(threshold))
    return Outcome(labels, _detection(case, threshold), warnings=(CANDIDATES_WARNING,))


def _relative(case: Case) -> Outcome:
    options = case.options
    body = refine(case.scene.body, case.scene.search_factors, case.pet.array.shape)
    if options.incremental:
        found = incremental_contours(case.pet.array, options.fraction, options.min_suv_max, body)
        parameters = _parameters(case, fraction=options.fraction, incremental=True, min_suv_max=options.min_suv_max)
        return Outcome(_split(case, case.number(found.labels)), parameters, warnings=(CANDIDATES_WARNING,))
    detected = case.detect(case.threshold)
    found = detected_contours(
        case.pet.array, detected, case.threshold, options.fraction, body, case.pet.grid.spacing_mm
    )
    reference, warnings = case.reference
    if found.open:
        warnings = (*warnings, f"{found.open} regions {_OPEN_CONTOUR}")
    parameters = _parameters(
        case,
        detection_threshold_suv=case.threshold,
        fraction=options.fraction,
        incremental=False,
        open_contours=found.open,
    )
    labels = _split(case, case.number(found.labels))
    return Outcome(labels, parameters, reference, warnings=(*warnings, CANDIDATES_WARNING))


def _gradient(case: Case) -> Outcome:
    detected = _split(case, case.detect(case.threshold))
    edges = gradient_edges(case.pet.array, detected, case.pet.grid.spacing_mm)
    reference, warnings = case.reference
    if edges.without_edge:
        warnings = (*warnings, f"{len(edges.without_edge)} regions {_NO_EDGE}")
    parameters = _parameters(case, detection_threshold_suv=case.threshold, without_edge=len(edges.without_edge))
    return Outcome(case.number(edges.labels), parameters, reference, warnings=(*warnings, CANDIDATES_WARNING))


def _percist_at(case: Case, point_mm: tuple[float, float, float]) -> Outcome:
    grown = grow_at_threshold(case.pet, point_mm, case.threshold)
    reference, warnings = case.reference
    return Outcome(
        _one_lesion(case, grown), _click(point_mm, threshold_suv=case.threshold), reference, warnings=warnings
    )


def _fixed_at(case: Case, point_mm: tuple[float, float, float]) -> Outcome:
    grown = grow_at_threshold(case.pet, point_mm, case.options.suv)
    return Outcome(_one_lesion(case, grown), _click(point_mm, threshold_suv=case.options.suv))


def _relative_at(case: Case, point_mm: tuple[float, float, float]) -> Outcome:
    grown = grow_to_fraction(case.pet, point_mm, case.options.fraction)
    return Outcome(_one_lesion(case, grown), _click(point_mm, fraction=case.options.fraction))


def _gradient_at(case: Case, point_mm: tuple[float, float, float]) -> Outcome:
    return Outcome(_one_lesion(case, grow_to_edge(case.pet, point_mm)), _click(point_mm))


METHODS: dict[MethodName, Method] = {
    MethodName.PERCIST: Method(_percist, _percist_at),
    MethodName.FIXED: Method(_fixed, _fixed_at),
    MethodName.RELATIVE: Method(_relative, _relative_at),
    MethodName.GRADIENT: Method(_gradient, _gradient_at),
}
"""All methods but the networks, which bring their own `Lesions`.

A new one is a name in `MethodName`, a function from `Case` to `Outcome`, and an entry here.
"""

_NETWORK_PACKAGES = ("torch", "monai", "yaml")
"""What `unet` needs, and a core installed without its extra `network` does without."""
CANDIDATES_WARNING = (
    "the regions are candidates: physiological uptake (such as brain, heart, kidneys, bladder, bowel) is among them"
)
"""Said of every whole-body result of a threshold."""
_OPEN_CONTOUR = (
    "have no closed contour at the fraction of their maximum, because their surroundings take up more; they are drawn "
    "at the detection threshold"
)
_NO_EDGE = "have no edge against their surroundings; they are drawn at the detection threshold"


def _split(case: Case, labels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    if not case.options.split_touching:
        return labels
    return split_lesions(case.pet.array, labels, case.pet.grid.voxel_ml, case.options.min_volume_ml)


def _parameters(case: Case, **values: float | int | str | bool | None) -> dict[str, float | int | str | bool | None]:
    return {
        **values,
        "min_volume_ml": case.options.min_volume_ml,
        "split_touching": case.options.split_touching,
        "connectivity": 18,
    }


def _detection(case: Case, threshold: float) -> dict[str, float | int | str | bool | None]:
    return _parameters(case, threshold_suv=threshold)


def _click(
    point_mm: tuple[float, float, float], **values: float | int | str | bool | None
) -> dict[str, float | int | str | bool | None]:
    x, y, z = point_mm
    return {**values, "point_x_mm": x, "point_y_mm": y, "point_z_mm": z, "connectivity": 18}


def _one_lesion(case: Case, grown: Grown) -> NDArray[np.uint16]:
    labels = np.zeros(case.pet.array.shape, dtype=LABEL_DTYPE)
    labels[grown.box][grown.mask] = 1
    return labels
