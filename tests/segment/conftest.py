"""Analytic patients: trunk, head and legs with the organs that a liver search may meet, blurred and noisy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.report import SuvRecord
from petlesion.study import Patient, PetCt
from petlesion.tracers import TRACERS, TracerName
from petlesion.volume import Grid, Volume

Point = tuple[float, float, float]
ORGANS: Mapping[str, tuple[Point, Point]] = {
    # centre and half axes, LPS mm
    "lung right": ((-82, 0, 150), (55, 65, 105)),
    "lung left": ((82, 0, 150), (55, 65, 105)),
    "heart": ((25, -35, 120), (45, 40, 45)),
    "liver right": ((-70, -5, 20), (80, 80, 85)),
    "liver left": ((15, -45, 40), (70, 38, 40)),
    "spleen": ((108, 42, 35), (30, 42, 52)),
    "kidney right": ((-62, 62, -70), (28, 28, 52)),
    "kidney left": ((62, 62, -50), (28, 28, 52)),
    "bladder": ((0, -10, -220), (35, 35, 35)),
    "brain": ((0, 0, 345), (65, 75, 60)),
}
_TISSUES = ("body", "lung", "heart", "liver", "spleen", "kidney", "bladder", "brain")
UPTAKE: Mapping[TracerName, Mapping[str, float]] = {
    TracerName.F18_FDG: dict(zip(_TISSUES, (0.6, 0.4, 1.7, 2.2, 1.8, 3.0, 20.0, 8.0), strict=True)),
    TracerName.GA68_DOTATATE: dict(zip(_TISSUES, (0.5, 0.3, 1.0, 5.5, 20.0, 13.0, 25.0, 0.1), strict=True)),
    TracerName.GA68_PSMA11: dict(zip(_TISSUES, (0.5, 0.3, 1.4, 5.2, 8.0, 45.0, 30.0, 0.1), strict=True)),
}


@dataclass(frozen=True)
class BodyPlan:
    """What to build."""

    tracer: TracerName = TracerName.F18_FDG
    spacing_mm: tuple[float, float, float] = (4.0, 5.0, 5.0)
    size: float = 1.0
    arms_down: bool = False
    ct: bool = True
    noise: float = 0.1
    seed: int = 0
    lesions: Sequence[tuple[Point, float, float]] = ()
    """Centre (LPS mm), radius (mm), SUV."""
    z_mm: tuple[float, float] = (-420.0, 420.0)
    uptake: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Body:
    """A study and where its organs are."""

    study: PetCt
    masks: Mapping[str, NDArray[np.bool_]]


def make_study(
    suv: NDArray[Any],
    spacing_mm: tuple[float, float, float] = (4.0, 4.0, 4.0),
    tracer: TracerName = TracerName.F18_FDG,
    ct: NDArray[Any] | None = None,
    grid: Grid | None = None,
) -> PetCt:
    grid = grid or Grid.from_geometry(suv.shape, spacing_mm)  # type: ignore[arg-type]
    return PetCt(
        pet=Volume(suv.astype(np.float32), grid),
        ct=None if ct is None else Volume(ct.astype(np.float32), grid),
        tracer=TRACERS[tracer],
        patient=Patient(),
        suv=SuvRecord("GML", "START", None, None, None),
        study_instance_uid="1.2",
        pet_series_instance_uid="1.3",
    )


def build_body(plan: BodyPlan) -> Body:
    s = plan.size
    z0, z1 = plan.z_mm
    width, depth = (560.0, 360.0) if s > 1.2 else (520.0, 320.0)
    dz, dy, dx = plan.spacing_mm
    shape = (int((z1 - z0) / dz), int(depth / dy), int(width / dx))
    grid = Grid.from_geometry(shape, plan.spacing_mm, (-width / 2 + dx / 2, -depth / 2 + dy / 2, z0 + dz / 2))
    x, y, z = (np.arange(n) * d + o for n, d, o in zip(shape[::-1], (dx, dy, dz), grid.origin_mm, strict=True))
    zz, yy, xx = np.meshgrid(z, y, x, indexing="ij", sparse=True)

    def ellipsoid(center: Point, half: Point) -> NDArray[np.bool_]:
        (cx, cy, cz), (ax, ay, az) = center, half
        distance = ((xx / s - cx) / ax) ** 2 + ((yy / s - cy) / ay) ** 2 + ((zz - cz) / az) ** 2
        return np.asarray(distance <= 1)

    def limb(cx: float, radius: float, low: float, high: float) -> NDArray[np.bool_]:
        return ((xx / s - cx) ** 2 + (yy / s) ** 2 <= radius**2) & (zz >= low) & (zz <= high)

    body = ((xx / s / 165) ** 2 + (yy / s / 108) ** 2 <= 1) & (abs(zz) <= 260)
    body = body | limb(-85, 75, -420, -200) | limb(85, 75, -420, -200) | limb(0, 60, 200, 330)
    body |= ellipsoid((0, 0, 345), (75, 90, 75))
    if plan.arms_down:
        body |= limb(-212, 38, -230, 230) | limb(212, 38, -230, 230)
    uptake = {**UPTAKE[plan.tracer], **plan.uptake}
    suv = np.where(body, uptake["body"], 0.0).astype(np.float32)
    ct = np.where(body, 40.0, -1000.0).astype(np.float32)
    masks: dict[str, NDArray[np.bool_]] = {"body": body}
    for name, (center, half) in ORGANS.items():
        organ = name.split()[0]
        inside = ellipsoid(center, half) & body
        suv[inside] = uptake[organ]
        ct[inside] = {"lung": -800.0, "liver": 60.0, "spleen": 50.0}.get(organ, 40.0)
        for other in masks:
            if other != "body":
                masks[other] = masks[other] & ~inside
        masks[organ] = masks.get(organ, False) | inside
    tumour = np.zeros(shape, dtype=bool)
    for (cx, cy, cz), radius, value in plan.lesions:
        inside = (xx - cx) ** 2 + (yy - cy) ** 2 + (zz - cz) ** 2 <= radius**2
        suv[inside] = value
        tumour |= inside
    masks["lesions"] = tumour
    rng = np.random.default_rng(plan.seed)
    sigma = [6.0 / 2.355 / d for d in plan.spacing_mm]
    suv = ndimage.gaussian_filter(suv, sigma)
    texture = ndimage.gaussian_filter(rng.standard_normal(shape), sigma)
    suv = suv * (1 + plan.noise * texture / texture.std()) + 0.01 * rng.random(shape)
    ct += 15 * rng.standard_normal(shape)
    study = make_study(suv, tracer=plan.tracer, ct=ct if plan.ct else None, grid=grid)
    return Body(study, masks)


@pytest.fixture(scope="session")
def body() -> Callable[..., Body]:
    """Builds an analytic patient from the fields of `BodyPlan`; equal plans are built once."""
    built: dict[str, Body] = {}

    def build(**plan: Any) -> Body:
        key = repr(sorted(plan.items()))
        if key not in built:
            built[key] = build_body(BodyPlan(**plan))
        return built[key]

    return build


@pytest.fixture(scope="session")
def study_of() -> Callable[..., PetCt]:
    """Makes a study of an array of SUV."""
    return make_study
