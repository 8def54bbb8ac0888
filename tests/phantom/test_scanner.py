"""Physics of the simulated scanner: sampling, projection, counts, OSEM and its noise model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petlesion.errors import UsageError
from petlesion.phantom.acquisition import PROTOCOLS, Acquisition, draw_acquisition
from petlesion.phantom.imaging import Reconstruction, Scene, acquire
from petlesion.phantom.motion import Breathing, draw_misregistration
from petlesion.phantom.projection import Lines, Projector, attenuation_map
from petlesion.phantom.reconstruction import compute_device, osem
from petlesion.phantom.sampling import averaging_matrix, resample, smooth, voxel_edges
from petlesion.phantom.scanner import SCANNERS, Scanner, ScannerName
from petlesion.tracers import TracerName
from petlesion.volume import Grid, Volume

STE = SCANNERS[ScannerName.GE_DISCOVERY_STE]
MCT = SCANNERS[ScannerName.SIEMENS_BIOGRAPH_MCT]


def cylinder(slices_mm: float = 80.0, spacing: float = 4.0, diameter: float = 260.0) -> Scene:
    """Water cylinder of SUV 1 with a hot rod of SUV 4, 30 mm wide, 70 mm off the axis."""
    n, nz = int(320 / spacing), int(slices_mm / spacing)
    grid = Grid.from_geometry((nz, n, n), (spacing,) * 3, (-(n - 1) / 2 * spacing,) * 2 + (0.0,))
    x = grid.origin_mm[0] + spacing * np.arange(n)
    disc = (x[:, None] ** 2 + x**2 < (diameter / 2) ** 2).astype(np.float32)
    rod = (x[:, None] - 70) ** 2 + x**2 < 15**2
    activity = np.where(rod, np.float32(4), disc)
    repeat = lambda plane: np.repeat(plane[None], nz, axis=0)  # noqa: E731
    return Scene(repeat(activity), repeat(disc * 1000 - 1000), grid)


def scan(scene: Scene, scanner: Scanner, method: Reconstruction, seed: int = 0) -> Volume:
    grid = scanner.grid_over(scene.grid)
    acquisition = Acquisition(TracerName.F18_FDG, 340.0, 75.0, 3600.0, 180.0)
    return Volume(acquire(scene, scanner, acquisition, grid, method, np.random.default_rng(seed)), grid)


def radius_mm(grid: Grid) -> np.ndarray:
    x = grid.origin_mm[0] + grid.spacing_mm[2] * np.arange(grid.shape[2])
    return np.hypot(x[:, None], x)


@settings(max_examples=30, deadline=None)
@given(
    source_mm=st.floats(1.0, 6.0), target_mm=st.floats(1.0, 6.0), fwhm=st.floats(0.0, 8.0), shift=st.floats(-3.0, 3.0)
)
def test_resampling_keeps_activity(source_mm: float, target_mm: float, fwhm: float, shift: float) -> None:
    source = np.arange(21) * source_mm
    reach = 40.0
    target = np.arange(int((20 * source_mm + 2 * reach) / target_mm) + 2) * target_mm - reach + shift
    matrix = averaging_matrix(source, target, fwhm)
    assert matrix.min() >= 0
    values = np.random.default_rng(0).random(20)
    assert (matrix @ values).sum() * target_mm == pytest.approx(values.sum() * source_mm, rel=1e-4)


def test_resampling_averages_instead_of_picking_points() -> None:
    matrix = averaging_matrix(np.arange(9.0), np.array([0.0, 4.0, 8.0]), 0.0)
    np.testing.assert_allclose(matrix, [[0.25] * 4 + [0] * 4, [0] * 4 + [0.25] * 4], atol=1e-3)


def test_blurred_point_has_the_fwhm() -> None:
    grid = Grid.from_geometry((1, 1, 201), (1.0, 1.0, 0.5))
    point = np.zeros(grid.shape, np.float32)
    point[0, 0, 100] = 1
    profile = resample(point, grid, grid, (0.0, 0.0, 6.0))[0, 0]
    above = np.flatnonzero(profile >= profile.max() / 2)
    assert (above[-1] - above[0]) * 0.5 == pytest.approx(6.0, abs=0.5)


def test_oblique_grid_is_refused() -> None:
    flipped = Grid.from_geometry((2, 2, 2), (1, 1, 1), direction=np.diag([-1.0, 1.0, 1.0])[:, ::-1])
    with pytest.raises(ValueError, match="axial"):
        voxel_edges(flipped, 2)


def projector(subsets: int = 1) -> Projector:
    x = np.arange(-60.0, 61.0, 4.0)
    return Projector.build(Lines((0.0, 0.0), 3.0, 64, 36, subsets), x, x)


def test_backprojection_is_the_transpose() -> None:
    model = projector(subsets=3)
    rng = np.random.default_rng(0)
    image = rng.random((31 * 31, 2), dtype=np.float32)
    sinogram = rng.random((36 * 64, 2), dtype=np.float32)
    assert np.vdot(model.forward(image), sinogram) == pytest.approx(np.vdot(image, model.backward(sinogram)), rel=1e-4)


def test_projection_of_a_disc_is_its_chord() -> None:
    x = np.arange(-60.0, 61.0, 4.0)
    disc = (x[:, None] ** 2 + x**2 < 50.0**2).astype(np.float32).reshape(-1, 1)
    path = projector().forward(disc).reshape(36, 64) * projector().path_mm
    np.testing.assert_allclose(path[:, 31:33].mean(), 100.0, rtol=0.03)
    np.testing.assert_allclose(path.sum(axis=1) * 3.0, np.pi * 50.0**2, rtol=0.02)


def test_attenuation_of_water_bone_and_air() -> None:
    mu = attenuation_map(np.array([-1000, 0, 1000], np.float32))
    np.testing.assert_allclose(mu, [0.0, 0.0096, 0.01491], atol=1e-4)  # Carney et al., 120 kVp


def test_osem_recovers_noise_free_data() -> None:
    model = projector(subsets=6)
    x = np.arange(-60.0, 61.0, 4.0)
    truth = np.where(x[:, None] ** 2 + x**2 < 50.0**2, 1.0, 0.0).astype(np.float32)
    truth[12:16, 12:16] = 3.0
    sums = model.forward(truth.reshape(-1, 1))
    weight = np.full_like(sums, 0.7)
    background = np.full_like(sums, 0.2)
    image = osem(model, weight * sums + background, weight, background, iterations=20).reshape(truth.shape)
    inside = x[:, None] ** 2 + x**2 < 44.0**2
    assert np.abs(image - truth)[inside].max() < 0.25
    assert np.abs(image - truth)[inside].mean() < 0.03


def test_osem_on_torch_gives_the_same_image() -> None:
    pytest.importorskip("torch", reason="torch is not installed; it is an optional dependency of the simulation")
    model = projector(subsets=6)
    rng = np.random.default_rng(0)
    counts = rng.poisson(20.0, (36 * 64, 3)).astype(np.float32)
    weight, background = np.full_like(counts, 0.5), np.full_like(counts, 2.0)
    blur = (np.eye(64, dtype=np.float32), np.eye(3, dtype=np.float32))
    images = [
        osem(model, counts, weight, background, iterations=2, blur=blur, device=device)
        for device in (None, compute_device() or "cpu")
    ]
    np.testing.assert_allclose(images[0], images[1], rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("scanner", [STE, SCANNERS[ScannerName.EARL1], MCT], ids=lambda scanner: scanner.name.value)
def test_noise_model_matches_osem(scanner: Scanner) -> None:
    """Same noise, locally and in its correlation, as Poisson counts through OSEM."""
    scene = cylinder()
    noise = {}
    for method in Reconstruction:
        first, second = (scan(scene, scanner, method, seed) for seed in (1, 2))
        noise[method] = (first.array - second.array) / np.sqrt(2.0)
    radius = radius_mm(first.grid)
    for ring in (radius < 40, (radius > 80) & (radius < 115)):
        fast, full = (noise[method][2:-2, ring].std() for method in (Reconstruction.FAST, Reconstruction.OSEM))
        assert fast / full == pytest.approx(1.0, abs=0.25)
    center = slice(first.grid.shape[1] // 2 - 12, first.grid.shape[1] // 2 + 12)
    for lag in ((0, 0, 1), (0, 0, 2), (1, 0, 0)):
        fast, full = (
            autocorrelation(noise[method][:, center, center], lag)
            for method in (Reconstruction.FAST, Reconstruction.OSEM)
        )
        assert fast == pytest.approx(full, abs=0.2)


def autocorrelation(noise: np.ndarray, lag: tuple[int, int, int]) -> float:
    shifted = noise[tuple(slice(step, None) for step in lag)]
    base = noise[tuple(slice(None, -step or None) for step in lag)]
    return float((base * shifted).mean() / (noise**2).mean())


@pytest.mark.parametrize("method", list(Reconstruction))
def test_image_is_unbiased_and_not_negative(method: Reconstruction) -> None:
    image = scan(cylinder(), STE, method)
    radius = radius_mm(image.grid)
    assert image.array.min() >= 0
    assert image.array[3:-3, radius < 40].mean() == pytest.approx(1.0, abs=0.03)
    assert image.array[:, radius > 160].max() < 0.2


def test_noise_is_low_where_activity_is_low() -> None:
    """OSEM's noise grows with the image: a cold cylinder is not as noisy as the warm one around it."""
    scene = cylinder()
    n = scene.grid.shape[1]
    x = scene.grid.origin_mm[0] + 4.0 * np.arange(n)
    cold = scene.activity_suv.copy()
    cold[:, (x[:, None] + 60) ** 2 + x**2 < 30**2] = 0.05
    scene = replace(scene, activity_suv=cold)
    for method in Reconstruction:
        first, second = (scan(scene, STE, method, seed).array for seed in (1, 2))
        noise = np.abs(first - second)
        middle = first.shape[1] // 2
        near, far = (int(mm / STE.spacing_mm[2]) for mm in (50, 70))
        in_cold = noise[:, middle - far : middle - near, middle - 2 : middle + 2].mean()
        warm = noise[:, middle - 2 : middle + 2, middle + near : middle + far].mean()
        assert in_cold < 0.5 * warm


def liver_in_a_body(liver_suv: float) -> Scene:
    """An oval trunk of 75 kg build, a liver-sized ellipsoid in it."""
    spacing = 4.0
    grid = Grid.from_geometry((50, 80, 104), (spacing,) * 3, (-206.0, -158.0, 0.0))
    z, y, x = (
        grid.origin_mm[2 - axis]
        + spacing * np.arange(grid.shape[axis]).reshape([-1 if k == axis else 1 for k in range(3)])
        for axis in range(3)
    )
    trunk = np.broadcast_to((x / 175) ** 2 + (y / 120) ** 2 < 1, grid.shape)
    liver = ((x + 70) / 75) ** 2 + ((y + 5) / 75) ** 2 + ((z - 100) / 70) ** 2 < 1
    activity = np.where(liver, np.float32(liver_suv), trunk.astype(np.float32) * np.float32(0.7))
    return Scene(activity, np.where(trunk, np.float32(30), np.float32(-1000)), grid)


@pytest.mark.parametrize(
    ("tracer", "suv", "low", "high"),
    # FDG: SNR of the liver 8.7 +- 1.3 and 11.1 +- 2.0 on standard and digital scanners (Kim et al., NMMI 2020).
    # 68Ga-DOTATATE: moderate to good images have an SNR of 6.2 or more (Cox et al., EJNMMI Res 2020).
    [(TracerName.F18_FDG, 2.3, 0.08, 0.14), (TracerName.GA68_DOTATATE, 5.5, 0.09, 0.18)],
)
@pytest.mark.parametrize("scanner", [STE, MCT], ids=lambda scanner: scanner.name.value)
def test_liver_noise_is_that_of_patients(
    tracer: TracerName, suv: float, low: float, high: float, scanner: Scanner
) -> None:
    scene = liver_in_a_body(suv)
    protocol = PROTOCOLS[tracer]
    dose = protocol.mbq_per_kg * 75.0
    acquisition = Acquisition(tracer, dose, 75.0, 3600.0, protocol.bed_s * scanner.bed_time)
    grid = scanner.grid_over(scene.grid)
    image = acquire(scene, scanner, acquisition, grid, Reconstruction.FAST, np.random.default_rng(0))
    center = grid.to_index((-70.0, -5.0, 100.0))
    offset = (np.indices(grid.shape) - center[:, None, None, None]) * np.array(grid.spacing_mm)[:, None, None, None]
    sphere = (offset**2).sum(axis=0) < 15.0**2
    assert low < image[sphere].std() / image[sphere].mean() < high


def test_gallium_gives_sixty_percent_fewer_counts_than_fdg() -> None:
    rates = []
    for tracer in (TracerName.GA68_DOTATATE, TracerName.F18_FDG):
        protocol = PROTOCOLS[tracer]
        acquisition = Acquisition(tracer, protocol.mbq_per_kg * 75.0, 75.0, 3600.0, 180.0)
        rates.append(acquisition.trues_per_suv_ml(MCT, 40)[0])
    assert rates[0] / rates[1] == pytest.approx(0.4, abs=0.05)


def test_later_beds_have_fewer_counts() -> None:
    acquisition = Acquisition(TracerName.GA68_PSMA11, 150.0, 75.0, 3600.0, 240.0)
    counts = acquisition.trues_per_suv_ml(STE, 300)
    beds = acquisition.bed_of_slice(STE, 300)
    assert np.all(np.diff(counts[np.unique(beds, return_index=True)[1]]) < 0)
    assert counts[-1] / counts[0] == pytest.approx(0.5 ** (beds[-1] * 240.0 / acquisition.half_life_s), rel=1e-4)


def test_dose_follows_weight_within_limits() -> None:
    rng = np.random.default_rng(0)
    light, heavy = (draw_acquisition(TracerName.F18_FDG, STE, weight, rng) for weight in (50.0, 150.0))
    assert light.injected_mbq < heavy.injected_mbq <= 450.0


def test_tracer_without_protocol_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="f18-psma1007 cannot be simulated"):
        draw_acquisition(TracerName.F18_PSMA1007, STE, 75.0, np.random.default_rng(0))


def test_breathing_blurs_the_dome_and_keeps_the_pelvis() -> None:
    breathing = Breathing(amplitude_mm=16.0, dome_mm=200.0)
    edges = np.arange(-200.0, 401.0, 2.0)
    edge_at = lambda z: (edges[:-1] < z).astype(np.float32)  # noqa: E731
    matrix = breathing.averaging_matrix(edges, edges, 0.0)
    assert breathing.displacements().mean() == pytest.approx(0.0, abs=1e-9)
    assert np.ptp(breathing.displacements()) == pytest.approx(16.0, rel=0.05)
    dome = matrix @ edge_at(200.0)
    assert 10.0 < 2.0 * np.count_nonzero((dome > 0.02) & (dome < 0.98)) < 22.0
    np.testing.assert_allclose(matrix @ edge_at(-100.0), edge_at(-100.0), atol=0.02)
    np.testing.assert_allclose(matrix @ np.ones(edges.size - 1), 1.0, atol=1e-3)


def test_misregistration_is_at_most_ten_millimetres() -> None:
    rng = np.random.default_rng(0)
    lengths = np.array([np.linalg.norm(draw_misregistration(rng)) for _ in range(500)])
    assert lengths.max() <= 10.01
    assert 1.5 < np.median(lengths) < 4.5


@pytest.mark.parametrize("method", list(Reconstruction))
def test_shifted_ct_makes_an_attenuation_artefact(method: Reconstruction) -> None:
    scene = cylinder()
    shifted = replace(scene, ct_shift_mm=(20.0, 0.0, 0.0))
    ratio = [scan(each, STE, method, 1) for each in (shifted, scene)]
    grid = ratio[0].grid
    side = [grid.to_index((sign * 95.0, 0.0, 0.0))[2] for sign in (-1, 1)]
    rows = slice(grid.shape[1] // 2 - 3, grid.shape[1] // 2 + 3)
    change = [
        ratio[0].array[:, rows, int(s) - 2 : int(s) + 3].mean()
        / ratio[1].array[:, rows, int(s) - 2 : int(s) + 3].mean()
        for s in side
    ]
    assert change[0] < 0.97
    assert change[1] > 1.0


@pytest.mark.parametrize("scanner", list(SCANNERS.values()), ids=lambda scanner: scanner.name.value)
def test_scanner_grid_covers_the_body(scanner: Scanner) -> None:
    body = Grid.from_geometry((250, 90, 120), (4.0, 4.0, 4.0), (-238.0, -150.0, -200.0))
    grid = scanner.grid_over(body)
    assert grid.contains(body.to_world((0, 45, 60)))
    assert grid.contains(body.to_world((249, 45, 60)))
    assert grid.spacing_mm == pytest.approx(scanner.spacing_mm)


def test_post_filter_keeps_the_mean() -> None:
    grid = Grid.from_geometry((10, 40, 40), (3.0, 4.0, 4.0))
    image = np.random.default_rng(0).random(grid.shape, dtype=np.float32)
    filtered = smooth(image, grid, (4.0, 6.0, 6.0))
    assert filtered.mean() == pytest.approx(image.mean(), rel=0.01)
    assert filtered.std() < 0.4 * image.std()
