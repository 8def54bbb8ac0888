"""Reference regions in normal liver or spleen, and the detection threshold that follows from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petlesion.errors import UsageError
from petlesion.organs import Organ, Organs
from petlesion.orientation import Orientation
from petlesion.report import Reference, ReferenceOrgan, Sphere
from petlesion.segment.body import BODY_GRID_MM
from petlesion.segment.coarse import Coarse
from petlesion.segment.organ_search import (
    Scene,
    find_regions,
    liver_traits,
    regions_in_mask,
    spleen_traits,
)
from petlesion.segment.spheres import place_spheres, sphere_values
from petlesion.segment.uptake import NORMAL_UPTAKE, OrganUptake
from petlesion.study import PetCt
from petlesion.tracers import Tracer, TracerName
from petlesion.volume import Volume

SPHERE_RADIUS_MM = 15.0
"""Radius of a reference sphere: 3 cm diameter (PERCIST, Wahl et al., J Nucl Med 2009; Wehrend et al. 2021)."""
SMALL_SPHERE_RADIUS_MM = 10.0
"""Radius of the sphere in a spleen too thin for 3 cm, mm."""
LIVER_SPHERES = 3
"""Spheres in normal liver of the modified PERCIST threshold (Wehrend et al., EJNMMI Res 2021)."""


EXCRETING_LIVER_SUV = 8.0
"""SUVmean of a liver that excretes the tracer: between PSMA-11, 5.4 (SD 1.7), and PSMA-1007, 11.7 (SD 3.9)."""

BY_HAND_WARNING = "the reference sphere was placed by hand"
UNKNOWN_TRACER_WARNING = (
    "the tracer is not known: normal liver is taken for its reference, as with FDG, DOTATATE and PSMA-11 "
    "(name it with --tracer)"
)


@dataclass(frozen=True)
class ThresholdRule:
    """Detection threshold = `means` x mean + `sds` x SD of the reference region."""

    means: float
    sds: float

    def threshold(self, mean: float, sd: float) -> float:
        """SUVbw from which uptake is a candidate."""
        return self.means * mean + self.sds * sd


LIVER_RULE = ThresholdRule(1.5, 2.0)
"""PERCIST (Wahl et al., J Nucl Med 2009) and modified PERCIST (Wehrend et al. 2021; Carlsen et al. 2022)."""
SPLEEN_RULE = ThresholdRule(0.67, 2.0)
"""Spleen in place of a diseased liver (Carlsen et al., EJNMMI Res 2022, 64Cu-DOTATATE)."""


def find_reference(
    study: PetCt,
    *,
    organs: Organs | None = None,
    liver_sphere_mm: tuple[float, float, float] | None = None,
    scene: Scene | None = None,
) -> tuple[Reference, tuple[str, ...]]:
    """Measure normal liver, or spleen where the liver is diseased, and derive the detection threshold.

    Three spheres of 3 cm diameter in normal liver give 1.5 x mean + 2 x SD (FDG: one sphere in the right lobe, as
    PERCIST has it, but of SUVbw where PERCIST prints SUL). Without room for them in even, plausible uptake the liver
    counts as diseased, and the spleen gives 0.67 x mean + 2 x SD. Without either, and for tracers excreted through
    the liver (18F-PSMA-1007, whose liver and spleen say little about tumour), the threshold is the tracer's
    `fallback_suv` and the organ `NONE`.

    Parameters
    ----------
    study
        SUVbw, CT where there is one, tracer.
    organs
        Organ masks on the PET grid; spheres then lie inside the mask of the liver (or spleen).
    liver_sphere_mm
        LPS point (x, y, z) in mm: one sphere there, placed by a person, replaces the search. It is used also where the
        liver excretes the tracer, with a warning that names both thresholds.
    scene
        `Scene.of(study)`, if it is at hand.

    Returns
    -------
    reference
        Organ, mean and SD over the union of the spheres' voxels (SUVbw), threshold, spheres.
    warnings
        What the user must know about it.

    Raises
    ------
    UsageError
        If `liver_sphere_mm` lies outside the field of view or holds no uptake, or `organs` lie on another grid.
    """
    if organs is not None and not organs.grid.is_close(study.pet.grid):
        raise UsageError(
            f"organ mask of {organs.grid.shape} voxels is not on the grid of the PET ({study.pet.grid.shape})",
            remedy="resample it to the PET",
        )
    if liver_sphere_mm is not None:
        return _by_hand(study, liver_sphere_mm)
    if not study.tracer.liver_is_reference:
        return _fallback(study.tracer, _excretion(study.tracer, None))
    uptake = NORMAL_UPTAKE[study.tracer.name]
    search = _Search.of(study, scene or Scene.of(study), organs)
    single = study.tracer.name is TracerName.F18_FDG
    liver = search.place(Organ.LIVER, 1 if single else LIVER_SPHERES, SPHERE_RADIUS_MM)
    if liver:
        return _from_liver(_reference(search.pet, ReferenceOrgan.LIVER, liver, LIVER_RULE), study.tracer)
    for radius in (SPHERE_RADIUS_MM, SMALL_SPHERE_RADIUS_MM):
        spleen = search.place(Organ.SPLEEN, 1, radius)
        if spleen:
            return _from_spleen(search.pet, study.tracer, uptake, spleen)
    return _fallback(study.tracer, "neither normal liver nor spleen was found in the field of view")


def _by_hand(study: PetCt, point_mm: tuple[float, float, float]) -> tuple[Reference, tuple[str, ...]]:
    place, remedy = f"the liver sphere at {_text(point_mm)} mm", "give an LPS point (x, y, z) inside the liver"
    if not study.pet.grid.contains(point_mm):
        raise UsageError(f"{place} lies outside the field of view of the PET", remedy=remedy)
    x, y, z = (float(value) for value in point_mm)
    reference = _reference(study.pet, ReferenceOrgan.LIVER, [Sphere((x, y, z), SPHERE_RADIUS_MM)], LIVER_RULE)
    if (reference.threshold or 0.0) <= 0:
        raise UsageError(f"{place} holds no uptake", remedy=remedy)
    warnings = [BY_HAND_WARNING]
    excretion = _excretion(study.tracer, reference.mean)
    if excretion:
        warnings.append(
            f"{excretion}: the sphere gives the threshold SUV {reference.threshold:.2f}, and SUV "
            f"{study.tracer.fallback_suv:g} would be used without it"
        )
    return reference, tuple(warnings)


def _from_liver(reference: Reference, tracer: Tracer) -> tuple[Reference, tuple[str, ...]]:
    excretion = _excretion(tracer, reference.mean)
    if excretion:
        return _fallback(tracer, excretion)
    return reference, (UNKNOWN_TRACER_WARNING,) if tracer.name is TracerName.UNKNOWN else ()


def _excretion(tracer: Tracer, liver_mean: float | None) -> str:
    """Why the liver is no reference: the tracer leaves the body through it, or may do so. Empty where it is one."""
    if not tracer.liver_is_reference:
        return f"normal liver is no reference for {tracer.title}, which is excreted through it"
    if tracer.name is TracerName.UNKNOWN and (liver_mean or 0.0) > EXCRETING_LIVER_SUV:
        return f"the tracer is not known, and SUV {liver_mean:.1f} of the liver may be excretion"
    return ""


def _from_spleen(
    pet: Volume, tracer: Tracer, uptake: OrganUptake, spheres: list[Sphere]
) -> tuple[Reference, tuple[str, ...]]:
    reference = _reference(pet, ReferenceOrgan.SPLEEN, spheres, SPLEEN_RULE)
    warnings = ["no normal liver was found (diseased, or outside the field of view): the spleen is the reference"]
    threshold = reference.threshold or 0.0
    if not uptake.spleen_is_hotter and threshold < tracer.fallback_suv:
        warnings.append(
            f"the spleen rule gives SUV {threshold:.2f}, too low for {tracer.title}, whose spleen takes up no more "
            f"than its liver: SUV {tracer.fallback_suv:g} is used"
        )
        reference = Reference(reference.organ, reference.mean, reference.sd, tracer.fallback_suv, reference.spheres)
    return reference, tuple(warnings)


def _fallback(tracer: Tracer, reason: str) -> tuple[Reference, tuple[str, ...]]:
    reference = Reference(ReferenceOrgan.NONE, None, None, tracer.fallback_suv)
    return reference, (f"{reason}: the fixed threshold SUV {tracer.fallback_suv:g} is used",)


def _reference(pet: Volume, organ: ReferenceOrgan, spheres: list[Sphere], rule: ThresholdRule) -> Reference:
    values = sphere_values(pet, spheres)
    mean, sd = float(values.mean()), float(values.std())
    return Reference(organ, mean, sd, rule.threshold(mean, sd), tuple(spheres))


def _text(point_mm: tuple[float, float, float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in point_mm) + ")"


@dataclass(frozen=True, eq=False)
class _Search:
    """The study in canonical orientation, reduced, with the organ masks that were given."""

    pet: Volume
    scene: Scene
    uptake: OrganUptake
    masks: dict[Organ, NDArray[np.bool_]]

    @classmethod
    def of(cls, study: PetCt, scene: Scene, organs: Organs | None) -> _Search:
        orientation = Orientation.of(study.pet.grid)
        masks = {}
        for organ in (Organ.LIVER, Organ.SPLEEN):
            mask = None if organs is None else organs.mask(organ)
            if mask is not None:
                masks[organ] = orientation.view(mask)
        pet = Volume(orientation.view(study.pet.array), orientation.grid)
        return cls(pet, scene, NORMAL_UPTAKE[study.tracer.name], masks)

    def place(self, organ: Organ, count: int, radius_mm: float) -> list[Sphere]:
        """`count` spheres in the organ; none where it has no room for them or cannot be found."""
        lobe, mask = organ is Organ.LIVER and count == 1, self.masks.get(organ)
        for region in self._regions(organ):
            spheres = place_spheres(
                self.pet, region, self.scene.pet.factors, count, radius_mm, organ=mask, right_half=lobe
            )
            if spheres:
                return spheres
        return []

    def _regions(self, organ: Organ) -> list[NDArray[np.bool_]]:
        normal = self.uptake.liver if organ is Organ.LIVER else self.uptake.spleen
        if organ in self.masks:
            share = Coarse.of(self.masks[organ], self.pet.grid.spacing_mm, BODY_GRID_MM)
            return regions_in_mask(self.scene, share.array, normal)
        if organ is Organ.LIVER:
            return find_regions(self.scene, liver_traits(normal))
        return find_regions(self.scene, spleen_traits(normal, self.uptake.liver))
