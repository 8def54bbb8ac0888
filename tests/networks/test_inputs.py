from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch (pip install petlesion[network])")

from petlesion.networks.inputs import (  # noqa: E402
    LEAST_SPREAD,
    TRACER_COUNT,
    body_spread,
    channel_count,
    network_input,
    tracer_code,
)
from petlesion.networks.model_config import InputChannel, ModelConfig, Normalisation  # noqa: E402
from petlesion.study import NO_CT_HU  # noqa: E402
from petlesion.tracers import TracerName  # noqa: E402

SHAPE = (2, 1, 1, 3)


def planes(config: ModelConfig) -> torch.Tensor:
    suv = torch.tensor([[0.0, 2.0, 200.0], [-1.0, 4.0, 8.0]]).reshape(SHAPE)
    ct = torch.tensor([[-2000.0, 0.0, 500.0], [NO_CT_HU] * 3]).reshape(SHAPE)
    codes = torch.tensor([tracer_code(TracerName.F18_FDG), tracer_code(TracerName.UNKNOWN)])
    spread = torch.tensor([[0.5, 0.25], [1.0, 2.0]])
    return network_input(suv, ct, torch.tensor([4.0, 8.0]), spread, codes, config)


def test_values_of_every_plane() -> None:
    found = planes(ModelConfig())
    assert found.shape == (2, 5 + TRACER_COUNT, 1, 1, 3)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[0, 0].ravel(), torch.tensor([0.0, math.asinh(1.0), math.asinh(100.0)]))
    torch.testing.assert_close(found[1, 0].ravel(), torch.tensor([0.0, math.asinh(2.0), math.asinh(4.0)]))
    torch.testing.assert_close(found[0, 1].ravel(), torch.tensor([0.0, 0.5, 4.0]))  # clipped: 200 / 4
    torch.testing.assert_close(found[1, 1].ravel(), torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(found[0, 2].ravel(), torch.tensor([-1.0, 0.0, 0.5]))
    assert (found[1, 2] == -1).all()  # no CT is air
    torch.testing.assert_close(found[0, 3].ravel(), torch.tensor([-1.0, -0.2, 1.0]))
    assert (found[0, 7] == 1).all()
    assert not found[0, 4:7].any()
    assert not found[1, 4:8].any()  # unknown tracer
    z_score = torch.tensor([-2.0, (math.asinh(1.0) - 0.5) / 0.25, 8.0])  # clipped
    torch.testing.assert_close(found[0, 8].ravel(), z_score)
    torch.testing.assert_close(found[1, 8].ravel(), (found[1, 0].ravel() - 1) / 2)


def test_planes_follow_the_configuration() -> None:
    config = ModelConfig(channels=(InputChannel.CT, InputChannel.SUV))
    assert channel_count(config) == 2
    torch.testing.assert_close(planes(config), planes(ModelConfig())[:, [2, 0]])


def test_spread_is_that_of_the_body_whatever_lies_around_it() -> None:
    rng = np.random.default_rng(0)
    body = rng.uniform(0.2, 3.0, 1000)
    mean, deviation = body_spread(np.append(body, np.full(5000, 0.05)), Normalisation())
    compressed = np.arcsinh(body / 2)
    assert mean == pytest.approx(compressed.mean())
    assert deviation == pytest.approx(compressed.std())
    assert body_spread(np.full(10, 4.0), Normalisation()) == (pytest.approx(math.asinh(2)), LEAST_SPREAD)


def test_every_tracer_has_a_code() -> None:
    codes = {name: tracer_code(name) for name in TracerName}
    assert all(sum(code) == (name is not TracerName.UNKNOWN) for name, code in codes.items())
    assert codes[TracerName.F18_PSMA1007] != codes[TracerName.GA68_PSMA11] == codes[TracerName.F18_DCFPYL]
