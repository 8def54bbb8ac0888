"""What an editor of lesions needs beside MONAI Label's endpoints: measuring, stored labels, who has a case.

- `POST /lesions/measure?image=ID`, body an NRRD label map on the grid of the PET: the numbers of `petlesion measure`,
  with `value`, what each lesion has in the map, beside its `id`.
- `GET /lesions/reference?image=ID&x=X&y=Y&z=Z`: the reference of a sphere in the liver at an LPS point, mm, and
  `warnings`; `tracer` is the option of the models.
- `GET /lesions/label?image=ID&tag=TAG`: the current label as NRRD on the grid of the PET.
- `GET /lesions/report?image=ID&tag=TAG`: the PDF of the current label; `tracer` is the option of the models.
- `PUT /lesions/reservation?image=ID&client_id=WHO`: who has the case; it becomes this client's where nobody has it, or
  whoever `instead_of` names: the same person under another name.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from numpy.typing import NDArray

from lib.activelearning.reservations import Reservations
from lib.configs.options import Parameters
from lib.datastore.annotations import Annotations, lesions_of
from lib.datastore.image_ids import is_safe_name
from lib.datastore.labels import FINAL, ORIGINAL
from lib.datastore.submissions import MAX_VALUES, read_submission
from lib.endpoints import as_http
from lib.infers.results import describe
from lib.infers.tasks import as_tracer
from petlesion import __version__
from petlesion.lesions import LABEL_DTYPE, Lesions
from petlesion.measure.biomarkers import measure
from petlesion.nrrd import write_nrrd
from petlesion.report import MethodName, MethodRecord, Review
from petlesion.segment.components import label_components
from petlesion.segment.reference import BY_HAND_WARNING, find_reference
from petlesion.study import PetCt
from petlesion.volume import Volume

MAX_BYTES = 1 << 28
"""Largest label map that is taken: compressed, one of a whole body has less than a megabyte."""
CONCURRENT = 2
"""Maps measured at a time; whole-body inferences do not hold them up."""
CONCURRENT_REPORTS = 1
"""PDFs written at a time, which takes seconds; maps do not wait for them."""


def install_editing(app: FastAPI, annotations: Annotations, reservations: Reservations) -> None:
    """Add the endpoints of this module, before those for any path."""
    maps, reports = CapacityLimiter(CONCURRENT), CapacityLimiter(CONCURRENT_REPORTS)
    router = APIRouter(prefix="/lesions")

    async def run(function: Any, *arguments: Any, turn: CapacityLimiter = maps) -> Any:
        try:
            return await to_thread.run_sync(partial(function, *arguments), limiter=turn)
        except Exception as error:
            raise as_http(error) from error

    @router.post("/measure")
    async def measure_map(request: Request, image: str) -> dict[str, Any]:
        return dict(await run(measured, annotations, _name(image), await _body(request)))

    @router.get("/reference")
    async def reference(image: str, x: float, y: float, z: float, tracer: str = "") -> dict[str, Any]:
        return dict(await run(referred, annotations, _name(image), (x, y, z), tracer))

    @router.get("/label", response_model=None)
    async def label(image: str, tag: str = FINAL) -> Response:
        return Response(await run(stored, annotations, _name(image), _name(tag)), media_type="application/octet-stream")

    @router.get("/report", response_model=None)
    async def report(image: str, tag: str = FINAL, tracer: str = "") -> Response:
        content = await run(reported, annotations, _name(image), _name(tag), tracer, turn=reports)
        headers = {"Content-Disposition": 'inline; filename="report.pdf"', "Cache-Control": "no-store"}
        return Response(content, media_type="application/pdf", headers=headers)

    @router.put("/reservation")
    async def reservation(image: str, client_id: str = "", instead_of: str = "") -> dict[str, Any]:
        names = client_id[:100], instead_of[:100]
        return dict(await run(reserve, annotations, reservations, _name(image), *names))

    before = len(app.router.routes)
    app.include_router(router)
    app.router.routes[:] = [*app.router.routes[before:], *app.router.routes[:before]]


def measured(annotations: Annotations, image: str, content: bytes) -> dict[str, Any]:
    """Measure a label map that is being drawn; nothing is stored.

    Parameters
    ----------
    annotations
        Images.
    image
        Id of a PET.
    content
        NRRD file on its grid.

    Returns
    -------
    dict
        `report.json`, each lesion with its `value` in the map; and `grid`, on which clicks are voxels (x, y, z).
    """
    study, grid = annotations.open(image)
    with tempfile.TemporaryDirectory(prefix="petlesion-edit-") as folder:
        path = Path(folder) / "label.nrrd"
        path.write_bytes(content)
        lesions, values = numbered(read_submission(path, study, grid), study)
    document = describe(measure(study, lesions), instances=True)
    for lesion in document["lesions"]:
        lesion["value"] = values[lesion["id"] - 1]
    document["grid"] = {"shape": list(grid.shape), "affine": grid.affine.tolist()}
    return document


def numbered(labels: NDArray[np.uint16], study: PetCt) -> tuple[Lesions, list[int]]:
    """Lesions 1 to n for values with gaps, and the value of each."""
    consecutive, values = without_gaps(labels)
    method = MethodRecord("annotation", __version__)
    return Lesions(consecutive, study.pet.grid, method, review=Review.REVIEWED), values


def without_gaps(labels: NDArray[np.uint16]) -> tuple[NDArray[np.uint16], list[int]]:
    """The same with values 1 to n in the same order, and the value that each had."""
    values = np.flatnonzero(np.bincount(labels.ravel()))
    values = values[values > 0]
    numbers = np.zeros(int(values.max(initial=0)) + 1, dtype=LABEL_DTYPE)
    numbers[values] = np.arange(1, len(values) + 1)
    return numbers[labels], values.tolist()


def referred(
    annotations: Annotations, image: str, point_mm: tuple[float, float, float], tracer: str = ""
) -> dict[str, Any]:
    """Reference of one sphere that a person has placed.

    Parameters
    ----------
    annotations
        Images.
    image
        Id of a PET.
    point_mm
        LPS (x, y, z).
    tracer
        Option of the models; empty for that of the image.

    Returns
    -------
    dict
        `reference` of `report.json`; and `warnings`, without the one that the sphere was placed by hand.
    """
    study, _ = annotations.open(image)
    study = as_tracer(study, Parameters(MethodName.PERCIST, {"tracer": tracer}))
    reference, warnings = find_reference(study, liver_sphere_mm=point_mm)
    return asdict(reference) | {"warnings": [warning for warning in warnings if warning != BY_HAND_WARNING]}


def stored(annotations: Annotations, image: str, tag: str) -> bytes:
    """The current label of an image as an NRRD file: one value a lesion, up to the 255 that the viewer can hold."""
    pet_id, _ = annotations.pet_of(image)
    label = annotations.stores.labels.current(pet_id, tag)
    volume = label.read_on(annotations.stores.cases.load(pet_id).pet.grid)
    if label.lesions == 1 and label.info.get("instances") is not True:
        # A client that does not say so may have drawn all lesions with one value.
        parts = label_components(volume.array > 0, volume.grid.voxel_ml, 0.0)
        volume = Volume(np.minimum(parts, MAX_VALUES), volume.grid)
    elif volume.array.max(initial=0) > MAX_VALUES:
        volume = Volume(without_gaps(volume.array)[0], volume.grid)
    with tempfile.TemporaryDirectory(prefix="petlesion-edit-") as folder:
        path = Path(folder) / "label.nrrd"
        write_nrrd(volume, path, compress=True)
        return path.read_bytes()


def reported(annotations: Annotations, image: str, tag: str, tracer: str = "") -> bytes:
    """The current label of an image measured, as the PDF of `petlesion measure`, which says whose label it is.

    Parameters
    ----------
    annotations
        Images and labels.
    image
        Id of a PET.
    tag
        Of the label; one that is not final is called so, and an `original` one is of candidates.
    tracer
        Option of the models; empty for that of the image.

    Returns
    -------
    bytes
        The file. Its lesions have the numbers of the stored SEG: the largest is 1.
    """
    from petlesion.present.pdf import write_pdf

    pet_id, _ = annotations.pet_of(image)
    label = annotations.stores.labels.current(pet_id, tag)
    label.read()  # says so where the file is missing or damaged
    study = as_tracer(annotations.stores.cases.load(pet_id), Parameters(MethodName.PERCIST, {"tracer": tracer}))
    lesions = lesions_of(label, study)
    whose = f" of {label.annotator[:60]}" if label.annotator else ""
    name = f"{tag} label, version {label.version}{whose}, stored {label.time:%Y-%m-%d %H:%M} UTC"
    not_final = () if tag == FINAL else (f"the label is not final: this is the {tag}",)
    lesions = replace(
        lesions,
        method=replace(lesions.method, name=name),
        review=Review.CANDIDATES if tag == ORIGINAL else lesions.review,
        warnings=(*not_final, *lesions.warnings),
    )
    with tempfile.TemporaryDirectory(prefix="petlesion-edit-") as folder:
        path = Path(folder) / "report.pdf"
        write_pdf(study, lesions, measure(study, lesions), path)
        return path.read_bytes()


def reserve(
    annotations: Annotations, reservations: Reservations, image: str, client: str, instead_of: str = ""
) -> dict[str, Any]:
    """Who has a case: this client where nobody else does; `instead_of` is a name that the client had before."""
    pet_id, _ = annotations.pet_of(image)
    held = reservations.current().get(pet_id)
    if held is not None and held.client == instead_of != client:
        reservations.release(pet_id)
        held = None
    if held is None or held.client == client:
        reservations.take([pet_id], client, lambda free: free[0])
        held = reservations.current().get(pet_id)
    if held is None:  # reservations of no length
        return {"client": client, "until": 0, "own": True}
    return {"client": held.client, "until": round(held.until), "own": held.client == client}


def _name(value: str) -> str:
    if not is_safe_name(value):
        raise HTTPException(404, f"{value[:80]!r} is no name; names hold no path")
    return value


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > MAX_BYTES:
            raise HTTPException(413, f"label map of more than {MAX_BYTES >> 20} MB; send it compressed")
    return b"".join(parts)
