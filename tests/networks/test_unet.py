from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch (pip install petlesion[network])")

from petlesion.networks.inputs import channel_count  # noqa: E402
from petlesion.networks.model_config import ArchitectureConfig, InputChannel, ModelConfig, Norm  # noqa: E402
from petlesion.networks.unet import build_unet, grown, network_cost, outputs, own_weights, perturbed  # noqa: E402

TINY = ModelConfig(architecture=ArchitectureConfig(filters=(4, 8, 16), deep_supervision=1), patch=(16, 16, 16))


def test_shapes_in_training_and_evaluation() -> None:
    network = build_unet(TINY)
    window = torch.zeros(2, channel_count(TINY), *TINY.patch)
    assert network.eval()(window).shape == (2, len(TINY.classes), 16, 16, 16)
    results = outputs(network.train()(window), training=True, config=TINY)
    assert [tuple(result.shape) for result in results] == [(2, len(TINY.classes), side, side, side) for side in (16, 8)]


def test_coarse_outputs_are_those_of_their_level() -> None:
    torch.manual_seed(0)
    strides = ((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2))
    architecture = ArchitectureConfig(filters=(2, 4, 4, 4), strides=strides, deep_supervision=2)
    config = TINY.model_copy(update={"architecture": architecture})
    network = build_unet(config).train()
    stacked = network(torch.randn(1, channel_count(config), *config.patch))
    coarse = outputs(stacked, training=True, config=config)[1:]
    assert [tuple(found.shape[2:]) for found in coarse] == [(16, 8, 8), (8, 4, 4)]
    assert all(torch.equal(found, head) for found, head in zip(coarse, network.heads, strict=True))


@pytest.mark.parametrize(("norm", "seen"), [(Norm.GROUP, True), (Norm.INSTANCE, False)])
def test_a_constant_plane_is_seen_through_group_normalisation_only(norm: Norm, seen: bool) -> None:
    # Kernels of one voxel: with larger ones the padding at the border gives a constant away.
    torch.manual_seed(0)
    architecture = ArchitectureConfig(filters=(4, 8, 16), kernels=((1, 1, 1),) * 3, norm=norm)
    network = build_unet(TINY.model_copy(update={"architecture": architecture})).eval()
    planes = torch.randn(1, channel_count(TINY), *TINY.patch)
    planes[:, 4:] = 0
    with_tracer = planes.clone()
    with_tracer[:, 4] = 1
    with torch.no_grad():
        change = (network(with_tracer) - network(planes)).abs().max()
    assert (float(change) > 1e-3) is seen


def test_a_network_with_more_channels_begins_with_what_it_computed_before() -> None:
    torch.manual_seed(0)
    suv, ratio, ct, soft_tissue, tracer, _ = InputChannel
    before = TINY.model_copy(update={"channels": (suv, ct, tracer)})
    after = TINY.model_copy(update={"channels": (tracer, soft_tissue, suv, ct, ratio)})
    trained = build_unet(before).eval()
    new = grown(trained, before, after).eval()
    window = torch.randn(1, 8, *TINY.patch)
    with torch.no_grad():
        torch.testing.assert_close(new(window), trained(window[:, [5, 6, 0, 1, 2, 3]]), atol=1e-4, rtol=0)
        new.input_block.conv1.conv.weight[:, 4] += 1
        assert not torch.allclose(new(window), trained(window[:, [5, 6, 0, 1, 2, 3]]), atol=1e-2)


def test_a_share_of_the_weights_stays_and_the_others_are_random() -> None:
    torch.manual_seed(0)
    trained = build_unet(TINY)
    torch.manual_seed(1)
    new = own_weights(perturbed(trained, TINY, 0.7))
    torch.manual_seed(1)
    random = own_weights(build_unet(TINY))
    for name, value in own_weights(trained).items():
        torch.testing.assert_close(new[name], 0.7 * value + 0.3 * random[name])


def test_cost_of_one_convolution_can_be_counted_by_hand() -> None:
    kernels = ((1, 1, 1),) * 3
    small = TINY.model_copy(update={"architecture": ArchitectureConfig(filters=(4, 8, 16), kernels=kernels)})
    planes, classes = channel_count(small), len(small.classes)
    cost = network_cost(small)
    fine = planes * 4 + 4 * 4 + (4 + 4) * 4 + 4 * 4 + 4 * classes  # down, up, output
    middle = 4 * 8 + 8 * 8 + (8 + 8) * 8 + 8 * 8 + 8 * classes  # with the output of deep supervision
    deep = 8 * 16 + 16 * 16
    transposed = (8 * 4 * 8, 16 * 8 * 8)  # kernels of 2 x 2 x 2 from each coarse voxel
    expected = fine + middle / 8 + deep / 64 + transposed[0] / 8 + transposed[1] / 64
    assert cost.multiply_adds_per_voxel == pytest.approx(expected)
    norms_and_biases = 2 * 2 * (4 + 8 + 16 + 8 + 4) + 2 * classes
    assert cost.parameters == fine + middle + deep + sum(transposed) + norms_and_biases


def test_the_default_network_is_small_enough_for_a_cpu_and_for_shipping() -> None:
    cost = network_cost(ModelConfig())
    assert cost.parameters * 2 < 20e6  # bytes at 16 bits
    assert cost.multiply_adds_per_voxel < 65_000  # 200 x 200 x 300 voxels: 1.6 Tflop
