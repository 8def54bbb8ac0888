"""Implicit solids and their painting: volumes, thin structures, order, deformation."""

from __future__ import annotations

import numpy as np
import pytest

from petlesion.organs import Organ
from petlesion.phantom.anatomy import Layer
from petlesion.phantom.body.canvas import Canvas
from petlesion.phantom.body.implicit import Points, capsule, curve, ellipsoid, plate, rotation, union
from petlesion.phantom.draws import lognormal, smooth_noise, stream, truncated_normal
from petlesion.phantom.labels import BONES, STRUCTURES, VERTEBRAE, Label, Tissue, labels_of
from petlesion.phantom.render import composite, label_map
from petlesion.volume import Grid


@pytest.fixture(scope="module")
def canvas() -> Canvas:
    grid = Grid.from_geometry((60, 60, 60), (4.0, 4.0, 4.0), (-118, -118, -118))
    return Canvas(grid, (1.0, 1.0, 1.0), seed=3)


def painted_ml(canvas: Canvas) -> float:
    total = sum(part.occupancy.sum(dtype=np.float64) for part in canvas.parts) / 255 * canvas.grid.voxel_ml
    canvas.parts.clear()
    return float(total)


def test_volumes_do_not_depend_on_the_grid(canvas: Canvas) -> None:
    canvas.paint(Label.LIVER_RIGHT, ellipsoid((0, 0, 0), (50, 40, 30)))
    assert painted_ml(canvas) == pytest.approx(4 / 3 * np.pi * 60, rel=0.08)
    canvas.paint(Label.AORTA, capsule((0, 0, -40), (0, 0, 40), 10))
    assert painted_ml(canvas) == pytest.approx(np.pi * 8 + 4 / 3 * np.pi, rel=0.08)


def test_structure_thinner_than_a_voxel_keeps_its_volume(canvas: Canvas) -> None:
    canvas.paint(Label.URETER_LEFT, canvas.chain(np.array([(-30.0, 0, -60, 2.2), (20.0, 10, 60, 2.2)])))
    length = np.sqrt(50**2 + 10**2 + 120**2)
    assert painted_ml(canvas) == pytest.approx(np.pi * 2.2**2 * length / 1000, rel=0.2)


def test_plate_is_as_thick_as_said() -> None:
    solid, _ = plate([(0, 0, 0), (40, 0, 0), (0, 0, 40)], 6.0)
    y = np.linspace(-10, 10, 201, dtype=np.float32)
    inside = solid(Points(np.full(201, 10, np.float32), y, np.full(201, 10, np.float32))) < 0
    assert np.ptp(y[inside]) == pytest.approx(6.0, abs=0.2)


def test_ellipsoid_axes_and_union_box() -> None:
    solid, box = ellipsoid((0, 0, 0), (30, 5, 5), rotation((0, 0, 1)))
    z = np.array([29.0, 31.0], dtype=np.float32)
    zero = np.zeros(2, np.float32)
    assert list(solid(Points(zero, zero, z)) < 0) == [True, False]
    assert box[1][2] == pytest.approx(30)
    _, both = union((solid, box), ellipsoid((50, 0, 0), (5, 5, 5)))
    assert both[1][0] == pytest.approx(55)


def test_curve_passes_its_ends_and_keeps_radii_within_bounds() -> None:
    rows = curve([(0, 0, 0, 5), (30, 10, 0, 9), (60, 0, 5, 4)], 2.0)
    assert rows[0] == pytest.approx([0, 0, 0, 5])
    assert rows[-1] == pytest.approx([60, 0, 5, 4])
    assert rows[:, 3].min() >= 4 - 1e-9
    assert rows[:, 3].max() <= 9 + 1e-9


def test_landmarks_follow_the_deformation(canvas: Canvas) -> None:
    canvas.paint(Label.SPLEEN, ellipsoid((40, -30, 20), (15, 15, 15)))
    part = canvas.parts.pop()
    weight = part.occupancy.astype(float)
    index = [np.average(np.arange(s.start, s.stop), weights=weight.sum(axis=tuple({0, 1, 2} - {a})))
             for a, s in enumerate(part.block)]  # fmt: skip
    center = canvas.grid.to_world(index)
    assert center == pytest.approx(canvas.world((40, -30, 20))[0], abs=1.5)
    assert np.linalg.norm(center - (40, -30, 20)) > 0.5


def test_later_parts_cover_earlier_ones(canvas: Canvas) -> None:
    canvas.paint(Label.MUSCLE, ellipsoid((0, 0, 0), (60, 60, 60)))
    canvas.paint_bone(Label.L3, ellipsoid((0, 0, 0), (20, 20, 20)), cortex_mm=4.0)
    parts = list(canvas.parts)
    canvas.parts.clear()
    labels = label_map(parts, canvas.grid.shape)
    middle = tuple(round(v) for v in canvas.grid.to_index((0, 0, 0)))
    assert labels[middle] == Label.L3
    assert [part.layer for part in parts] == [Layer.WHOLE, Layer.CORTEX, Layer.WHOLE]
    values = composite(parts, canvas.grid.shape, lambda part: {Layer.CORTEX: 5.0}.get(part.layer, 1.0), -1.0)
    assert values[middle] == pytest.approx(1.0)
    assert values[0, 0, 0] == -1.0
    assert values.max() <= 5.0
    assert values.max() > 3.0


def test_streams_are_independent_and_repeatable() -> None:
    assert stream(5, "a").random() == stream(5, "a").random()
    assert stream(5, "a").random() != stream(5, "b").random()
    assert stream(5, "a").random() != stream(6, "a").random()


def test_draws_have_the_moments_they_promise() -> None:
    rng = stream(0, "test")
    values = np.array([lognormal(rng, 5.0, 1.5) for _ in range(4000)])
    assert values.mean() == pytest.approx(5.0, rel=0.03)
    assert 1.1 < values.std() < 1.5
    limited = [truncated_normal(rng, 0.0, 1.0, 1.5) for _ in range(500)]
    assert max(map(abs, limited)) <= 1.5
    assert lognormal(rng, 0.0, 1.0) == 0.0


@pytest.mark.parametrize("length", [8.0, 30.0])
def test_noise_is_smooth_and_of_unit_variance(length: float) -> None:
    noise = smooth_noise(stream(1, "noise"), (60, 50, 40), 4.0, length)
    assert noise.dtype == np.float32
    assert noise.std() == pytest.approx(1.0, abs=0.35)
    assert np.abs(np.diff(noise, axis=0)).mean() < 8.0 / length


def test_labels_are_complete() -> None:
    assert set(STRUCTURES) == set(Label)
    assert len({row.name for row in STRUCTURES.values()}) == len(Label)
    assert len(VERTEBRAE) == 24
    assert STRUCTURES[Label.RIB_LEFT_3].name == "left rib 3"
    assert STRUCTURES[Label.ILIUM_RIGHT].name == "right ilium"
    assert STRUCTURES[Label.T11].name == "T11"
    assert all(STRUCTURES[bone].tissue is Tissue.BONE for bone in BONES)
    assert max(Label) == 255
    for organ in Organ:
        assert labels_of(organ)
