"""Segmentation by a trained network: PetCt → Lesions, organs, and maps of what the network thinks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion import __version__
from petlesion.errors import ModelError, SegmentationError
from petlesion.lesions import Lesions
from petlesion.networks.inputs import tracer_code
from petlesion.networks.model_config import InputChannel, ModelConfig, organ_classes
from petlesion.networks.model_folder import Model, load_model
from petlesion.networks.sampling import Sampled, canonical, cut, sample
from petlesion.organs import Organs
from petlesion.orientation import Orientation
from petlesion.progress import Progress, silent
from petlesion.report import MethodRecord, Reference, Review
from petlesion.resample import Interpolation, resample
from petlesion.segment.body import remove_outside
from petlesion.segment.coarse import refine
from petlesion.segment.components import grow_box, label_components, margin_voxels
from petlesion.segment.computing import attempts, capped_threads, choose_device, is_memory_error
from petlesion.segment.options import NetworkOptions
from petlesion.segment.organ_search import Scene
from petlesion.segment.peaks import split_lesions
from petlesion.segment.reference import find_reference
from petlesion.segment.refinement import AVID_CLASSES, refine_to_threshold
from petlesion.segment.windows import BACKGROUND_MARGIN, Prediction, Subject, predict
from petlesion.study import NO_CT_HU, PetCt
from petlesion.volume import Box, Grid, Volume

BODY_MARGIN_MM = 16.0
"""Air around the body that the network still sees."""


@dataclass(frozen=True, eq=False)
class NetworkResult:
    """What networks found in a study.

    Attributes
    ----------
    lesions
        With the mean probability of each lesion as its confidence.
    organs
        Most probable organ of every voxel; lesions belong to none. No organ where the model has no such classes.
    probability
        Probability of lesion on the PET grid, float32; None unless wanted.
    entropy
        Uncertainty on the PET grid, float32, 0 to 1; None unless wanted.
    """

    lesions: Lesions
    organs: Organs
    probability: Volume | None = None
    entropy: Volume | None = None


def load_models(folders: Sequence[Path], expected_sha256: str | None = None) -> tuple[Model, ...]:
    """Load one model, or the folds of one that are to be averaged.

    Parameters
    ----------
    folders
        Model folders.
    expected_sha256
        Identity as `models_sha256` computes it.

    Raises
    ------
    ModelError
        If one cannot be loaded, or they differ in grid, input or classes, or their identity is another.
    """
    if not folders:
        raise ModelError("no model was given", remedy="give a model folder with --model")
    models = tuple(load_model(folder) for folder in folders)
    first = models[0].config
    for folder, model in zip(folders, models, strict=True):
        if not _compatible(first, model.config):
            raise ModelError(
                "model differs from the first in grid, input or classes", where=folder, remedy="give folds of one model"
            )
    found = models_sha256(models)
    if expected_sha256 is not None and found != expected_sha256.lower():
        raise ModelError(
            f"model has SHA-256 {found}, not {expected_sha256}", where=folders[0], remedy="restore its files"
        )
    return models


def models_sha256(models: Sequence[Model]) -> str:
    """Identity of one model, or of several together: SHA-256 over their identities."""
    if len(models) == 1:
        return models[0].sha256
    return hashlib.sha256("\n".join(model.sha256 for model in models).encode()).hexdigest()


def segment_by_network(
    study: PetCt,
    models: Sequence[Model],
    options: NetworkOptions | None = None,
    *,
    organs: Organs | None = None,
    liver_sphere_mm: tuple[float, float, float] | None = None,
    reference: Reference | None = None,
    progress: Progress = silent,
) -> NetworkResult:
    """Find lesions and organs.

    The network decides on its own grid; what is brought to the PET grid is the margin between lesion and the next
    probable class, linearly, so that edges run between voxels of the network instead of in steps of them. That costs no
    more than resampling labels, because it is one volume and not one a class.

    Parameters
    ----------
    study
        SUVbw, CT where there is one, tracer.
    models
        From `load_models`; their probabilities are averaged.
    options
        How to run them.
    organs
        Masks for the reference threshold, where the user has some.
    liver_sphere_mm
        Reference sphere placed by a person, see `find_reference`.
    reference
        A reference found before for the same study.
    progress
        Told how many windows are done.

    Raises
    ------
    SegmentationError
        If the PET holds values that are not finite, or memory does not suffice even for small windows.
    UsageError
        If the device does not exist.
    """
    options = options or NetworkOptions()
    check_finite(study)
    study, notes = finite_ct(study)
    notes.extend(_input_notes(study, models[0].config))
    scene = Scene.of(study)
    if reference is None:
        reference, warnings = find_reference(study, organs=organs, liver_sphere_mm=liver_sphere_mm, scene=scene)
        notes.extend(warnings)
    threshold = reference.threshold or study.tracer.fallback_suv
    task = _Task.of(study, models[0].config, scene, threshold)
    if not scene.body.any():
        notes.append("the PET shows no body: nothing was segmented")
        return task.result(None, _method(models, options, threshold), reference, options, tuple(notes))
    with capped_threads(options.threads):
        prediction, found = _predict(task, models, options, progress)
    return task.result(prediction, _method(models, options, threshold), reference, options, (*notes, *found))


def _compatible(first: ModelConfig, other: ModelConfig) -> bool:
    ignored = {"architecture", "tracers", "name"}
    return first.model_dump(exclude=ignored) == other.model_dump(exclude=ignored)


def check_finite(study: PetCt) -> None:
    """Refuse a PET with NaN or infinity; raises `SegmentationError`."""
    bad = sum(int(np.count_nonzero(~np.isfinite(plane))) for plane in study.pet.array)
    if bad:
        raise SegmentationError(
            f"{bad} voxels of the PET are not finite (NaN or infinity)", remedy="repair the image or export it again"
        )


def finite_ct(study: PetCt) -> tuple[PetCt, list[str]]:
    """The study with air in place of CT values that are not finite, and a word about it where there were any."""
    if study.ct is None or np.isfinite(study.ct.array).all():
        return study, []
    finite = np.isfinite(study.ct.array)
    ct = Volume(np.where(finite, study.ct.array, np.float32(NO_CT_HU)), study.ct.grid)
    return replace(study, ct=ct), [
        f"{finite.size - np.count_nonzero(finite)} voxels of the CT are not finite: taken as air"
    ]


def _input_notes(study: PetCt, config: ModelConfig) -> Iterator[str]:
    if study.ct is None and not {InputChannel.CT, InputChannel.SOFT_TISSUE}.isdisjoint(config.channels):
        yield "there is no CT: the network saw the PET alone"
    if config.tracers and study.tracer.name not in config.tracers:
        known = ", ".join(config.tracers)
        yield f"the network was not trained on {study.tracer.title} (only on {known}): check its lesions with care"


def number_lesions(mask: NDArray[np.bool_], pet: Volume, options: NetworkOptions) -> NDArray[np.uint16]:
    """Connected lesions of a mask, or touching ones apart, numbered by decreasing volume."""
    voxel_ml = pet.grid.voxel_ml
    labels = label_components(mask, voxel_ml, options.min_volume_ml)
    return split_lesions(pet.array, labels, voxel_ml, options.min_volume_ml) if options.split_touching else labels


def _method(models: Sequence[Model], options: NetworkOptions, threshold: float) -> MethodRecord:
    parameters: dict[str, Any] = {
        "folds": len(models),
        "overlap": options.overlap,
        "mirror": options.mirror,
        "refine": options.refine,
        "min_volume_ml": options.min_volume_ml,
        "split_touching": options.split_touching,
    }
    if options.refine:
        parameters["threshold_suv"] = threshold
    return MethodRecord(models[0].config.name, __version__, models_sha256(models), parameters)


def _predict(
    task: _Task, models: Sequence[Model], options: NetworkOptions, progress: Progress
) -> tuple[Prediction, tuple[str, ...]]:
    """Run the networks, with smaller windows and at last on the CPU where memory does not suffice."""
    import torch

    notes: tuple[str, ...] = ()
    networks = [model.network for model in models]
    for device, plan in attempts(
        models[0].config, choose_device(options.device), options.overlap, mirror=options.mirror
    ):
        try:
            prediction = predict(
                networks, task.config, task.subject, plan, device, entropy=options.maps, progress=progress
            )
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_memory_error(error):
                raise
            if device.type == "cuda":
                torch.cuda.empty_cache()
            notes = ("memory did not suffice at first; computed on the {} in windows of {} voxels",)
        else:
            where = "CPU" if device.type == "cpu" else "GPU"
            size = " × ".join(str(side) for side in plan.size)
            return prediction, tuple(note.format(where, size) for note in notes)
    raise SegmentationError(
        "memory does not suffice for the network", remedy="close other programs, or give a machine with more memory"
    )


@dataclass(frozen=True, eq=False)
class _Task:
    """A study cut to the body and brought to the network's grid, and the way back.

    `pet` is in patient orientation, as is `scene`; `box` is the part of `pet` that `subject` covers.
    """

    study: PetCt
    config: ModelConfig
    pet: Volume
    scene: Scene
    box: Box
    subject: Subject

    @classmethod
    def of(cls, study: PetCt, config: ModelConfig, scene: Scene, threshold: float) -> _Task:
        pet = canonical(study.pet)
        box = _body_box(scene, pet.grid)
        ct = None if study.ct is None else cut(canonical(study.ct), box)
        sampled = sample(cut(pet, box), ct, config.grid_spacing_mm)
        body = _on_network(scene, pet.grid, box, sampled)
        return cls(study, config, pet, scene, box, Subject(sampled, body, threshold, tracer_code(study.tracer.name)))

    def result(
        self,
        prediction: Prediction | None,
        method: MethodRecord,
        reference: Reference,
        options: NetworkOptions,
        warnings: tuple[str, ...],
    ) -> NetworkResult:
        """Bring a prediction to the grid of the PET and make lesions of it."""
        classes = np.zeros(self.pet.grid.shape, dtype=np.uint8)
        margin = probability = entropy = None
        if prediction is not None:
            classes = self._labels(prediction.classes)
            margin = self._image(prediction.margin, BACKGROUND_MARGIN)
            probability = self._image(prediction.lesion, 0.0)
            entropy = None if prediction.entropy is None else self._image(prediction.entropy, 0.0)
        mask = np.zeros(self.pet.grid.shape, dtype=bool) if margin is None else margin > 0
        mask = self._post_process(mask, classes, options)
        labels = number_lesions(mask, self.pet, options)
        lesions = Lesions(
            labels=self._back(labels),
            grid=self.study.pet.grid,
            method=method,
            reference=reference,
            review=Review.FILTERED,
            confidences=mean_probabilities(labels, probability),
            warnings=warnings,
        )
        values = {organ: (number,) for organ, number in organ_classes(self.config.classes).items()}
        return NetworkResult(
            lesions,
            Organs(self._back(classes), self.study.pet.grid, values),
            self._map(probability, options.maps),
            self._map(entropy, options.maps),
        )

    def _post_process(
        self, mask: NDArray[np.bool_], classes: NDArray[np.uint8], options: NetworkOptions
    ) -> NDArray[np.bool_]:
        if options.refine:
            avid = [number for number, name in enumerate(self.config.classes) if name in AVID_CLASSES]
            mask = refine_to_threshold(
                mask, np.isin(classes, avid), self.pet.array, self.subject.threshold, self.pet.grid.spacing_mm
            )
        remove_outside(mask, self.scene.body, self.scene.search_factors)
        return mask

    def _image(self, values: NDArray[np.float32], outside: float) -> NDArray[np.float32]:
        full = np.full(self.pet.grid.shape, outside, dtype=np.float32)
        part = resample(Volume(values, self.subject.sampled.grid), cut(self.pet, self.box).grid, outside=outside)
        full[self.box] = part.array
        return full

    def _labels(self, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        full = np.zeros(self.pet.grid.shape, dtype=np.uint8)
        target = cut(self.pet, self.box).grid
        full[self.box] = resample(Volume(values, self.subject.sampled.grid), target, Interpolation.NEAREST).array
        return full

    def _back(self, array: NDArray[Any]) -> NDArray[Any]:
        return Orientation.of(self.study.pet.grid).back(array)

    def _map(self, values: NDArray[np.float32] | None, wanted: bool) -> Volume | None:
        if not wanted:
            return None
        if values is None:
            values = np.zeros(self.pet.grid.shape, dtype=np.float32)
        return Volume(self._back(values), self.study.pet.grid)


def _body_box(scene: Scene, grid: Grid) -> Box:
    """Box of PET voxels around the body; the whole PET where there is none."""
    found = ndimage.find_objects(scene.body.astype(np.uint8))
    if not found:
        z, y, x = (slice(0, side) for side in grid.shape)
        return z, y, x
    # voxels of an incomplete last block have no mean of their own; they go with the block before
    z, y, x = (
        slice(axis.start * factor, size if axis.stop == blocks else axis.stop * factor)
        for axis, factor, size, blocks in zip(found[0], scene.search_factors, grid.shape, scene.body.shape, strict=True)
    )
    return grow_box((z, y, x), margin_voxels(BODY_MARGIN_MM, grid.spacing_mm), grid.shape)


def _on_network(scene: Scene, grid: Grid, box: Box, sampled: Sampled) -> NDArray[np.bool_]:
    """The body on the network's grid."""
    part = cut(Volume(refine(scene.body, scene.search_factors, grid.shape), grid), box)
    return resample(part, sampled.grid, Interpolation.NEAREST).array.astype(bool, copy=False)


def mean_probabilities(labels: NDArray[np.uint16], probability: NDArray[np.float32] | None) -> dict[int, float]:
    """Mean probability of each lesion, its confidence."""
    if probability is None or not labels.any():
        return {}
    numbers = np.arange(1, int(labels.max()) + 1)
    inside = labels > 0
    sums = np.bincount(labels[inside], weights=probability[inside], minlength=len(numbers) + 1)
    counts = np.bincount(labels[inside], minlength=len(numbers) + 1)
    return {int(n): float(np.clip(sums[n] / counts[n], 0, 1)) for n in numbers}
