"""The models that clients see: threshold methods, clicks, and the network of the newest published model."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from lib.configs.options import CONFIGS, Parameters
from lib.infers.results import LABEL, describe, write_label, write_segmentation
from petlesion.errors import UsageError
from petlesion.lesions import Lesions
from petlesion.measure.biomarkers import measure
from petlesion.networks.model_folder import FILES, Model
from petlesion.networks.registry import CURRENT, Registry, Version
from petlesion.report import Reference
from petlesion.segment.methods import segment
from petlesion.segment.network import load_models, segment_by_network
from petlesion.segment.options import MethodName, NetworkOptions
from petlesion.segment.points import Point, choose_at_points, grow_at_points
from petlesion.segment.reference import find_reference
from petlesion.study import PetCt
from petlesion.tracers import TRACERS, TracerName
from petlesion.volume import Grid


@dataclass(frozen=True, eq=False)
class Job:
    """What a task works on.

    Attributes
    ----------
    study
        The PET, with its CT.
    grid
        Grid of the image that the client shows: of the PET, or of its CT.
    request
        As the client sent it.
    results
        Folder that takes the file of the result. Not the temporary one: there, a client on the same machine writes a
        file of the same name.
    """

    study: PetCt
    grid: Grid
    request: Mapping[str, Any]
    results: Path


class References:
    """Reference regions that were found already, as long as their study is loaded: a click need not search again."""

    def __init__(self) -> None:
        self._found: WeakKeyDictionary[PetCt, dict[TracerName, tuple[Reference, tuple[str, ...]]]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def of(self, study: PetCt, as_read: PetCt) -> tuple[Reference, tuple[str, ...]]:
        """Reference of a study, read as another tracer where the user says so, and what to know about it."""
        name = as_read.tracer.name
        with self._lock:
            known = self._found.setdefault(study, {}).get(name)
        if known is None:
            known = find_reference(as_read)
            with self._lock:
                self._found[study][name] = known
        return known


class LesionTask(InferTask):  # type: ignore[misc]
    """A model that finds lesions; the base of all models here.

    Parameters
    ----------
    name
        As clients name it, and the key of its options.
    kind
        Where clients offer it.
    description
        Shown by clients; says the ranges of the options.
    """

    def __init__(self, name: str, kind: InferType, description: str, labels: Mapping[str, int] | None = None) -> None:
        super().__init__(kind, dict(labels or {LABEL: 1}), 3, description, dict(CONFIGS[name]))
        self.name = name

    def is_valid(self) -> bool:
        """Whether the model can be used now."""
        return True

    @abstractmethod
    def find(self, job: Job, parameters: Parameters) -> Lesions:
        """Lesions of a study."""

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Run the model.

        Parameters
        ----------
        request
            Of the client, with the `Job` under the key `job`; with `output` = "dicom_seg" a SEG is written.

        Returns
        -------
        tuple
            File of the label, or SEG, and its JSON.
        """
        job: Job = request["job"]
        parameters = Parameters(self.name, job.request)
        lesions = self.find(job, parameters)
        instances = "instances" in self.config() and parameters.flag("instances")
        result = describe(measure(job.study, lesions), instances=instances)
        if request.get("output") == "dicom_seg":
            return str(write_segmentation(job.study, lesions, job.results)), result
        return str(write_label(lesions, job.grid, job.request, job.results, instances=instances)), result


class ThresholdTask(LesionTask):
    """A threshold method over the whole body."""

    def __init__(self, method: MethodName, description: str) -> None:
        super().__init__(str(method), InferType.SEGMENTATION, description)
        self._method = method

    def find(self, job: Job, parameters: Parameters) -> Lesions:
        """Lesions by the method."""
        return segment(as_tracer(job.study, parameters), parameters.segment_options(self._method))


class NetworkTask(LesionTask):
    """The network in service; a version that takes its place is loaded at the next request.

    Parameters
    ----------
    registry
        Versions of the network.
    """

    def __init__(self, registry: Registry) -> None:
        super().__init__(
            "unet",
            InferType.SEGMENTATION,
            "network; refine: redraw at the patient's threshold, which loses lesions with 64Cu-DOTATATE; mirror: "
            "average with the mirror image, twice the time, and worse where it was measured",
        )
        self._registry = registry
        self._loaded: tuple[Model, ...] = ()
        self._lock = threading.Lock()
        self._found: WeakKeyDictionary[PetCt, tuple[tuple[Any, ...], Lesions]] = WeakKeyDictionary()

    def is_valid(self) -> bool:
        """Whether there is a model."""
        folder = self._registry.folder
        return (folder / CURRENT).is_file() or all((folder / name).is_file() for name in FILES)

    def find(self, job: Job, parameters: Parameters) -> Lesions:
        """Lesions by the network, for one study at a time; the last result of a loaded study is kept, for clicks."""
        options = NetworkOptions(
            device=parameters.choice("device"),
            refine=parameters.flag("refine"),
            mirror=parameters.flag("mirror"),
            min_volume_ml=parameters.number("min_volume_ml", 0, 1000),
        )
        study = as_tracer(job.study, parameters)
        sphere = parameters.liver_sphere_mm
        version = self._registry.current()
        key = (version.sha256, options, study.tracer.name, sphere)
        found = self._known(job.study, key)
        if found is None:
            with self._lock:
                found = self._known(job.study, key)  # by whoever had the lock before
                if found is None:
                    models = self._models(version)
                    found = segment_by_network(study, models, options, liver_sphere_mm=sphere).lesions
                    self._found[job.study] = key, found
        return found

    def _known(self, study: PetCt, key: tuple[Any, ...]) -> Lesions | None:
        """The last result of a study, if it was asked for in the same way; clicks get it while others compute."""
        known = self._found.get(study)
        return known[1] if known is not None and known[0] == key else None

    def _models(self, version: Version) -> tuple[Model, ...]:
        if not self._loaded or self._loaded[0].sha256 != version.sha256:
            self._loaded = load_models([version.folder], version.sha256)
        return self._loaded


class ClickTask(LesionTask):
    """One lesion, or several, where the annotator clicks; background points cut off what is none."""

    def __init__(self, references: References, network: NetworkTask) -> None:
        super().__init__(
            "click",
            InferType.DEEPGROW,
            "lesions at foreground points, less what background points hold; boundary: gradient edge, fraction (0.05 "
            "to 0.95) of the maximum, fixed suv (0.1 to 100), percist threshold, or the network's own region",
            {LABEL: 1, "background": 0},
        )
        self._references = references
        self._network = network

    def find(self, job: Job, parameters: Parameters) -> Lesions:
        """Lesions at the points of the request: voxels (x, y, z) of the image that the client shows."""
        foreground, background = (_points(job, key) for key in ("foreground", "background"))
        boundary = parameters.choice("boundary")
        if boundary == "unet":
            if not self._network.is_valid():
                raise UsageError("there is no network yet", remedy="choose another boundary, or publish a model")
            given = {"tracer": parameters.choice("tracer"), "liver_sphere_mm": parameters.liver_sphere_mm}
            found = self._network.find(job, Parameters("unet", given))
            return choose_at_points(job.study, found, foreground, background)
        study = as_tracer(job.study, parameters)
        options = parameters.segment_options(MethodName(boundary))
        if options.method is MethodName.PERCIST and options.liver_sphere_mm is None:
            reference, warnings = self._references.of(job.study, study)
            grown = grow_at_points(study, replace(options, reference=reference), foreground, background)
            return replace(grown, warnings=(*warnings, *grown.warnings))
        return grow_at_points(study, options, foreground, background)


def all_tasks(models: Path) -> dict[str, LesionTask]:
    """The models by name.

    Parameters
    ----------
    models
        Folder of the models' versions, see `petlesion.networks.registry`.
    """
    volume = "min_volume_ml (0 to 1000): smaller regions are removed"
    network = NetworkTask(Registry.of(models, "unet"))
    tasks: tuple[LesionTask, ...] = (
        ThresholdTask(MethodName.PERCIST, f"uptake above the threshold of normal liver; {volume}"),
        ThresholdTask(MethodName.FIXED, f"uptake at or above suv (0.1 to 100); {volume}"),
        ThresholdTask(
            MethodName.RELATIVE, f"uptake at or above fraction (0.05 to 0.95) of each region's maximum; {volume}"
        ),
        ThresholdTask(MethodName.GRADIENT, f"regions that percist detects, bounded at the edge of uptake; {volume}"),
        ClickTask(References(), network),
        network,
    )
    return {task.name: task for task in tasks}


def as_tracer(study: PetCt, parameters: Parameters) -> PetCt:
    """The study with the tracer that the user names, if any."""
    name = parameters.tracer
    return study if name is None else replace(study, tracer=TRACERS[name])


def _points(job: Job, key: str) -> list[Point]:
    """World points (LPS mm) of a list of voxels (x, y, z); 2D clients send their lists as JSON text."""
    voxels: Sequence[Any] = job.request.get(key) or []
    try:
        index = np.array(voxels, dtype=np.float64).reshape(-1, 3)
    except (TypeError, ValueError):
        index = np.full((1, 3), np.nan)
    if not np.isfinite(index).all():
        raise UsageError(f"{key} is no list of voxels", remedy="give [[x, y, z], ...]")
    return [(float(x), float(y), float(z)) for x, y, z in job.grid.to_world(index[:, ::-1])]
