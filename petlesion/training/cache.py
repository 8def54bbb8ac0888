"""Cases brought to the network's grid once, as memory-mapped arrays that any number of runs and processes share."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.child_processes import worker_pool
from petlesion.durable import exclusive
from petlesion.lesions import CONNECTIVITY
from petlesion.networks.inputs import BODY_SUV
from petlesion.networks.model_config import LESION, ModelConfig
from petlesion.networks.sampling import canonical, sample, sample_labels
from petlesion.progress import Progress, silent
from petlesion.tracers import TracerName
from petlesion.training.cases import Case, file_sha256, read_case
from petlesion.volume import Volume

VERSION: Final = 4
"""Raised whenever the content of a cached case changes its meaning."""
ARRAYS: Final = ("suv", "ct", "classes", "lesion_voxels", "uptake_voxels", "body_quantiles")
INDEX = "index.json"
LISTED_VOXELS = 4096
"""Most voxels of lesions, and of other uptake, that are listed to centre patches on; at least one of each lesion."""
BODY_QUANTILES: Final = 4096
"""How many values stand for the SUV of the body."""


@dataclass(frozen=True)
class CachedCase:
    """A preprocessed case.

    Attributes
    ----------
    name, patient_id, tracer, threshold, weight, mirror, suv_gamma_range
        As of the case.
    known
        Classes that are labelled.
    content_sha256
        Hash over the files that it was made from.
    shape
        (z, y, x) on the network's grid.
    folder
        Where its arrays lie.
    """

    name: str
    patient_id: str
    tracer: TracerName
    threshold: float
    known: tuple[str, ...]
    content_sha256: str
    shape: tuple[int, int, int]
    folder: Path
    weight: float = 1.0
    mirror: float = 0.0
    suv_gamma_range: float = 1.0

    def array(self, name: str) -> NDArray[Any]:
        """One of `ARRAYS`, memory-mapped.

        suv: (z, y, x) float16; ct: (z, y, x) int16; classes: (z, y, x) uint8; uptake_voxels at or above the threshold
        outside lesions: (n, 3) int16 indices (z, y, x); lesion_voxels: (n, 4), the same and the number of the lesion;
        body_quantiles: (`BODY_QUANTILES`,) float32 SUVbw over the body, equally likely each, or none without a body.
        """
        array: NDArray[Any] = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        return array


def prepare(
    cases: Sequence[Case], config: ModelConfig, cache: Path, *, jobs: int = 1, progress: Progress = silent
) -> list[CachedCase]:
    """Preprocess all cases that the cache does not hold, or holds damaged.

    Parameters
    ----------
    cases
        From `find_cases`.
    config
        Spacing and classes.
    cache
        Created where missing.
    jobs
        Processes.
    progress
        Told how many cases are ready.
    """
    cache.mkdir(parents=True, exist_ok=True)
    ready: list[CachedCase] = []
    work = partial(_prepare_one, config=config, cache=cache)
    progress(0, len(cases))
    with ExitStack() as stack:
        results: Iterator[CachedCase] = map(work, cases)
        if jobs > 1:
            pool = stack.enter_context(worker_pool(jobs))
            results = pool.map(work, cases)
        for case in results:
            ready.append(case)
            progress(len(ready), len(cases))
    return ready


def data_sha256(cases: Sequence[CachedCase]) -> str:
    """Hash over names, contents and labels of cases, whatever their order."""
    rows = sorted(f"{case.name} {case.content_sha256} {','.join(case.known)}" for case in cases)
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _prepare_one(case: Case, config: ModelConfig, cache: Path) -> CachedCase:
    folder = cache / f"{case.name}-{_key(case, config)}"
    index = _read_index(folder)
    if index is None:
        with exclusive(cache / f".{folder.name}.lock"):  # of two runs that begin together, one writes
            index = _read_index(folder)
            if index is None:
                shutil.rmtree(folder, ignore_errors=True)
                index = _write(case, config, folder)
    z, y, x = index["shape"]
    return CachedCase(
        name=case.name,
        patient_id=case.patient_id,
        tracer=TracerName(index["tracer"]),
        threshold=float(index["threshold"]),
        known=tuple(index["known"]),
        content_sha256=index["content_sha256"],
        shape=(z, y, x),
        folder=folder,
        weight=case.weight,
        mirror=case.mirror,
        suv_gamma_range=case.suv_gamma_range,
    )


def _key(case: Case, config: ModelConfig) -> str:
    """What a cached case depends on; size and time of the files stand for their content."""
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in case.files]
    parts = [VERSION, str(case.folder.resolve()), stats, case.tracer, config.spacing_mm, config.classes]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _read_index(folder: Path) -> dict[str, Any] | None:
    """Index of a complete, undamaged case; None where there is none."""
    path = folder / INDEX
    if not path.is_file():
        return None
    try:
        index = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # of a run that a power cut ended
        return None
    hashes = {name: file_sha256(folder / f"{name}.npy") for name in ARRAYS if (folder / f"{name}.npy").is_file()}
    return index if hashes == index.get("sha256") else None


def _write(case: Case, config: ModelConfig, folder: Path) -> dict[str, Any]:
    """Preprocess a case and put it into the cache, complete or not at all."""
    labelled = read_case(case, config.classes)
    study = labelled.study
    ct = None if study.ct is None else canonical(study.ct)
    sampled = sample(canonical(study.pet), ct, config.grid_spacing_mm)
    classes = sample_labels(canonical(Volume(labelled.classes, study.pet.grid)), sampled.grid)
    lesion = classes == config.classes.index(LESION)
    arrays: dict[str, NDArray[Any]] = {
        "suv": np.clip(sampled.suv, 0, np.finfo(np.float16).max).astype(np.float16),
        "ct": np.clip(np.rint(sampled.ct), -1024, 3071).astype(np.int16),
        "classes": classes,
        "lesion_voxels": _listed_by_lesion(lesion),
        "uptake_voxels": _listed(~lesion & (sampled.suv >= labelled.threshold)),
        "body_quantiles": _quantiles(sampled.suv[sampled.suv > BODY_SUV]),
    }
    staging = Path(tempfile.mkdtemp(prefix=".case-", dir=folder.parent))
    try:
        for name, array in arrays.items():
            np.save(staging / f"{name}.npy", array)
        index = {
            **{key: str(value) for key, value in asdict(case).items() if key in ("name", "patient_id", "tracer")},
            "threshold": labelled.threshold,
            "known": list(labelled.known),
            "content_sha256": case.content_sha256(),
            "shape": list(sampled.suv.shape),
            "sha256": {name: file_sha256(staging / f"{name}.npy") for name in ARRAYS},
        }
        (staging / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return index


def _quantiles(values: NDArray[np.float32]) -> NDArray[np.float32]:
    if not values.size:
        return values
    return np.quantile(values, (np.arange(BODY_QUANTILES) + 0.5) / BODY_QUANTILES).astype(np.float32)


def _listed(mask: NDArray[np.bool_], most: int = LISTED_VOXELS) -> NDArray[np.int16]:
    """Indices (z, y, x) of at most `most` voxels of a mask, evenly spread over it."""
    rows = np.argwhere(mask).astype(np.int16)
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(int)]


def _listed_by_lesion(mask: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Indices and number (z, y, x, lesion) of voxels of every lesion, at most `LISTED_VOXELS` in all or one of each."""
    labels, count = ndimage.label(mask, CONNECTIVITY)
    found = [np.empty((0, 4), dtype=np.int16)]
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        rows = _listed(labels[box] == number, max(1, LISTED_VOXELS // count))
        corner = np.array([axis.start for axis in box], dtype=np.int16)
        found.append(np.column_stack([rows + corner, np.full(len(rows), number, dtype=np.int16)]))
    return np.concatenate(found)
