"""Summaries against measured fields (from gradients), torch's operation counter and published numbers."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.sparse.csgraph import shortest_path
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import omniconv as oc
from omniconv.errors import InputError
from omniconv.summaries.receptive_field import (
    AxisField,
    adaptive_pool_map,
    interpolation_map,
    regrid_map,
    transposed_map,
    union,
    window_map,
)
from omniconv.summaries.tracing import traced_stride

RING = oc.Equirectangular()


class Scaled(oc.models.Model):
    """Network of an image and a number per image."""

    output = "denoiser"
    total_stride = 1

    def __init__(self, in_channels, surface=RING):
        super().__init__(surface)
        self.conv = oc.nn.Conv(in_channels, 2, 3, padding=1, surface=surface)
        self.scale = nn.Linear(1, 2)

    def forward(self, x, sigma):
        scale = self.scale(sigma[:, None])
        return self.conv(x) * scale.view(*scale.shape, *[1] * (x.ndim - 2))

    def example_inputs(self, grid=(), batch=1):
        return (*super().example_inputs(grid, batch), torch.ones(batch))


def test_models_of_several_inputs_are_given_their_example_inputs():
    table = oc.summary(Scaled(3), (3, 8, 16))
    assert table.parameters == 3 * 2 * 9 + 2 + 4
    assert table.receptive_field == (3, 3)
    assert [row.name for row in table.rows] == ["scale", "conv"]
    with pytest.raises(InputError, match=r"shape=\(4, 8, 16\): must start with 3 channels"):
        oc.summary(Scaled(3), (4, 8, 16))


def positive(model: nn.Module) -> nn.Module:
    """Set weights to 1 and biases to 0, so that gradients cannot cancel."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(float(parameter.ndim > 1))
    return model.double()


def extent(model: nn.Module, shape: tuple[int, ...], axis: int = 0, reach: int = 8) -> int:
    """Samples along an axis from the first to the last on which an output in the middle depends; the largest."""
    x = torch.ones(1, *shape, dtype=torch.float64, requires_grad=True)
    y = model(x).sum(1)
    index = [0, *(size // 2 for size in y.shape[1:])]
    longest = 0
    for output in range(max(0, index[axis + 1] - reach), min(y.shape[axis + 1], index[axis + 1] + reach)):
        index[axis + 1] = output
        (gradient,) = torch.autograd.grad(y[tuple(index)], x, retain_graph=True)
        seen = gradient.transpose(2 + axis, 0).flatten(1).abs().sum(1).nonzero()
        longest = max(longest, int(seen.max() - seen.min()) + 1) if len(seen) else longest
    return longest


def random_chain(seed: int, ndim: int) -> nn.Sequential:
    """A few layers of random kernels, strides, dilations and paddings."""
    draw, surface, layers = np.random.default_rng(seed), oc.Plane(ndim), []
    for _ in range(draw.integers(1, 5)):
        kernel, stride, dilation = (int(draw.integers(1, most)) for most in (5, 3, 3))
        padding = [0, 1, "same", "same_upper", "same_lower", "valid"][draw.integers(6)]
        match draw.integers(6):
            case 0:
                layers.append(oc.nn.ConvTranspose(1, 1, kernel + stride - 1, stride, "same", surface=surface))
            case 1:
                layers.append(oc.nn.Upsample(2, mode=("linear", "nearest")[seed % 2], surface=surface))
            case 2:
                layers.append(oc.nn.AvgPool(2, padding="same_upper", surface=surface))
            case _:
                layers.append(oc.nn.Conv(1, 1, kernel, stride, padding, dilation, surface=surface))
    return nn.Sequential(*layers)


@pytest.mark.parametrize("seed", range(24))
def test_field_of_a_chain_equals_the_support_of_its_gradient(seed):
    model = positive(random_chain(seed, 1))
    assert oc.summary(model, (1, 192)).receptive_field == (extent(model, (1, 192)),)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("axis", [0, 1])
def test_fields_are_computed_for_each_axis(ndim, axis):
    surface, size = oc.Plane(ndim), (24, 32, 16)[:ndim]
    kernel, stride = (3, 2, 1)[:ndim], (1, 2, 1)[:ndim]
    model = positive(
        nn.Sequential(oc.nn.Conv(1, 1, kernel, stride, surface=surface), oc.nn.Conv(1, 1, surface=surface))
    )
    assert oc.summary(model, (1, *size)).receptive_field[axis] == extent(model, (1, *size), axis, reach=4)


@pytest.mark.parametrize("down", ["stride", "average"])
@pytest.mark.parametrize("up", ["linear", "transposed"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_field_of_a_unet_is_that_of_its_output_with_the_largest_field(down, up, depth):
    shape = {"width": 2, "depth": depth, "normalization": "none", "activation": "none"}
    model = positive(oc.models.UNet(1, 1, oc.Plane(1), down=down, up=up, **shape))
    assert oc.summary(model, (1, 256)).receptive_field == (extent(model, (1, 256), reach=2 ** (depth - 1)),)


def test_field_at_odd_sizes_is_too_small_by_at_most_one_coarse_sample():
    model = positive(oc.models.UNet(1, 1, oc.Plane(1), width=2, depth=2, normalization="none", activation="none"))
    (field,) = oc.summary(model, (1, 203)).receptive_field
    assert field <= extent(model, (1, 203), reach=100) <= field + 4


class Skips(nn.Module):
    """Two branches of different fields that meet, with crops, and functions outside of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.near, self.far = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 5, dilation=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        far = F.avg_pool2d(self.far(x), 2)
        near = F.interpolate(self.near(x)[..., 4:-4, 4:-4], scale_factor=0.5, mode="bilinear", antialias=True)
        return torch.cat([near, F.pad(far, (1, 1, 1, 1))[:, :, 1:-1, 1:-1]], 1)


def test_torch_functions_are_traced():
    table = oc.summary(positive(Skips()), (1, 40, 40))
    assert table.receptive_field == (extent(positive(Skips()), (1, 40, 40)),) * 2
    assert [row.receptive_field for row in table.rows] == [(9, 9), (3, 3)]


class Squeeze(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * x.mean((2, 3), keepdim=True)


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)),
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2)),
        nn.Sequential(oc.nn.Conv(1, 4), oc.nn.GlobalAvgPool()),
        oc.models.Classifier(1, 2, width=2, depth=2),
        Squeeze(),
    ],
)
def test_global_layers_have_infinite_fields(model):
    table = oc.summary(model, (1, 8, 8))
    assert table.receptive_field == (inf, inf)
    assert str(table).splitlines()[-1].split()[1] == "all"


@pytest.mark.parametrize(
    ("layer", "field"),
    [
        (nn.MaxPool2d(3, 2), 3), (nn.LPPool2d(2, 3), 3), (nn.AdaptiveMaxPool2d(4), 4), (nn.PixelShuffle(2), 1),
        (nn.PixelUnshuffle(2), 1), (nn.Upsample(scale_factor=2), 1), (nn.Upsample(scale_factor=2, mode="bicubic"), 4),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"), 3), (nn.ChannelShuffle(2), 1), (nn.BatchNorm2d(4), 1),
    ],
)  # fmt: skip
def test_fields_of_torch_layers(layer, field):
    assert oc.summary(layer, (4, 16, 16)).receptive_field == (field, field)


def test_published_fields_of_vgg16_and_the_resnet_stem():
    vgg, channels = nn.Sequential(), 3
    for block, (width, count) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)], 1):
        for at in range(1, count + 1):
            vgg.add_module(f"conv{block}_{at}", nn.Conv2d(channels, width, 3, padding=1))
            channels = width
        vgg.add_module(f"pool{block}", nn.MaxPool2d(2))
    table = oc.summary(vgg, (3, 224, 224))
    fields = {row.name: row.receptive_field for row in table.rows}
    assert (fields["conv5_3"], fields["pool5"]) == ((196, 196), (212, 212))
    assert table.multiply_adds == 15_346_630_656  # "15.3 billion", without its three linear layers
    stem = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3), nn.MaxPool2d(3, 2, 1))
    assert oc.summary(stem, (3, 224, 224)).receptive_field == (11, 11)


def seen_on_mesh(model: nn.Module, surface: oc.Icosphere) -> int:
    """Vertices on the longest line through what an output depends on."""
    samples = surface.shape[0]
    sides = surface.mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).T
    links = np.zeros((samples, samples), dtype=np.int8)
    links[sides[0], sides[1]] = links[sides[1], sides[0]] = 1
    steps = shortest_path(links, unweighted=True)
    x = torch.zeros(1, 1, samples, dtype=torch.float64, requires_grad=True)
    y = model(x).sum(1)[0]
    outputs = range(20, len(y), len(y) // 20)
    gradients = (torch.autograd.grad(y[output], x, retain_graph=True)[0][0, 0] for output in outputs)
    seen = [gradient.abs().numpy() > 1e-9 * float(gradient.abs().max()) for gradient in gradients]
    return max(int(steps[np.ix_(support, support)].max()) + 1 for support in seen)


@pytest.mark.parametrize(
    ("layers", "field"),
    [
        (lambda s: [oc.nn.Conv(1, 2, surface=s)], 3),
        (lambda s: [oc.nn.Conv(1, 2, surface=s), oc.nn.Conv(2, 1, surface=s)], 5),
        (lambda s: [oc.nn.Conv(1, 2, stride=2, surface=s), oc.nn.Conv(2, 1, surface=s.coarser())], 7),
        (lambda s: [oc.nn.AvgPool(surface=s), oc.nn.Conv(1, 1, surface=s.coarser())], 7),
        (lambda s: [oc.nn.Conv(1, 1, 1, surface=s), oc.nn.Upsample(surface=s)], 2),
        (lambda s: [oc.nn.ConvTranspose(1, 1, surface=s)], 2),
    ],
)
def test_field_on_a_mesh_counts_rings(layers, field):
    torch.manual_seed(0)
    surface = oc.Icosphere(3)
    model = nn.Sequential(*layers(surface)).double()
    assert oc.summary(model, (1,)).receptive_field == (field,)
    assert seen_on_mesh(model, surface) == field


def test_union_of_fields():
    identity = AxisField.identity()
    up = identity.through(window_map(2, 2)).through(transposed_map(2, 2))
    assert union([up, identity.through(window_map(3, 1, 1))]).size == 3
    assert union([identity.through(interpolation_map(7, 11)), identity.through(window_map(9))]).size == 9
    assert identity.through(adaptive_pool_map(10, 4)).size == 3
    assert identity.through(regrid_map(4, 8)).step == 1


def test_global_signals_have_no_stride_and_keep_that_of_others():
    coarse, everything = AxisField.identity().through(window_map(2, 4)), AxisField.infinite()
    assert everything.through(window_map(3, 2)).stride == 0
    scaled = union([coarse, everything])
    assert (scaled.size, scaled.stride) == (inf, 4)
    assert union([scaled, everything]).through(window_map(2, 2)).stride == 8


class Squeezed(nn.Module):
    """Squeeze-and-excitation between two strided convolutions."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 3, 1)

    def forward(self, x):
        x = self.first(x)
        return self.second(x * x.mean((2, 3), keepdim=True).sigmoid())


class Caching(nn.Module):
    """Caches a grid of the image's size on itself."""

    def __init__(self):
        super().__init__()
        self.conv, self.grid = nn.Conv2d(3, 4, 3, 2, 1), None

    def forward(self, x):
        if self.grid is None:
            self.grid = torch.linspace(0, 1, x.shape[3], device=x.device)
        return self.conv(x + self.grid)


@pytest.mark.parametrize(
    ("network", "stride"),
    [
        (nn.Conv2d(3, 4, (1, 9), (1, 3), (0, 4)), 3),
        (Squeezed(), 6),
        (nn.Sequential(nn.Upsample(scale_factor=0.75), nn.Conv2d(3, 4, 3)), 4),
        (nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.AdaptiveAvgPool2d(3), nn.Conv2d(4, 4, 1)), 2),
        (nn.Sequential(nn.Conv2d(3, 4, 2, 2), nn.Flatten(2), nn.Unflatten(2, (4, 2, 8, 2))), None),
        (nn.Linear(7, 2), None),
        (Caching(), 2),
    ],
)
def test_traced_stride(network, stride):
    assert traced_stride(network, (3, 16, 32)) == stride


def test_tracing_a_stride_leaves_no_meta_tensor_behind():
    network = Caching()
    traced_stride(network, (3, 16, 32))
    assert network.grid is None
    assert network(torch.zeros(1, 3, 16, 32)).device.type == "cpu"


GRID_MODELS = [
    (oc.models.UNet(3, 2, width=4, depth=2), (3, 45, 33)),
    (oc.models.UNet(3, 2, width=4, depth=2, down="max", up="transposed", surface=RING), (3, 32, 64)),
    (oc.models.UNet(1, 2, oc.Plane(1), width=4, depth=2), (1, 50)),
    (oc.models.UNet(1, 2, oc.Plane(3), width=2, depth=1, up="transposed"), (1, 8, 10, 12)),
    (oc.models.Classifier(3, 10, RING, width=4, depth=2, down="average"), (3, 16, 32)),
    (nn.Sequential(oc.nn.Conv(4, 8, 3, groups=2, dilation=2), nn.Conv2d(8, 4, 3, groups=4)), (4, 16, 16)),
]


@pytest.mark.parametrize(("model", "shape"), GRID_MODELS)
def test_multiply_adds_and_sizes_equal_those_of_a_run(model, shape):
    table = oc.summary(model, shape)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        result = model(torch.zeros(2, *shape))
    assert table.multiply_adds == counter.get_total_flops() // 4  # two images, two operations each
    assert table.rows[-1].output == tuple(result.shape[1:])
    assert table.parameters == sum(p.numel() for p in model.parameters()) == sum(row.parameters for row in table.rows)


def test_multiply_adds_of_a_stencil_include_its_entries():
    surface = oc.Icosphere(2)
    table = oc.summary(oc.nn.Conv(3, 8, surface=surface), (3, 162))
    entries = surface.conv_neighbours().fused.nnz
    assert table.multiply_adds == 162 * 4 * 3 * 8 + entries * 3
    up = oc.summary(oc.nn.ConvTranspose(3, 8, surface=surface), (3,))
    assert up.multiply_adds == 642 * 4 * 3 * 8 + surface.transposed_neighbours().fused.nnz * 3
    assert oc.summary(oc.nn.Conv(3, 8, 1, surface=surface), (3,)).multiply_adds == 162 * 3 * 8


def test_published_parameters_of_the_original_unet():
    model = oc.models.UNet(1, 2, width=64, depth=4, down="max", up="transposed", normalization="none")
    table = oc.summary(model, (1, 572, 572))
    assert table.parameters == sum(row.parameters for row in table.rows) == 31_030_658
    assert [row.kind for row in table.rows].count("ConvTranspose") == 4
    assert "31,030,658" in str(table).splitlines()[-1]


@pytest.mark.parametrize("training", [True, False])
def test_model_is_not_changed(training):
    model = oc.models.UNet(3, 2, oc.Icosphere(2), width=4, depth=2).train(training)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    held = {name: id(tensor) for name, tensor in [*model.named_parameters(), *model.named_buffers()]}
    oc.summary(model, (3,))
    with pytest.raises(InputError):
        oc.summary(model, (4,))
    assert model.training is training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert {name: id(tensor) for name, tensor in [*model.named_parameters(), *model.named_buffers()]} == held
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_large_panoramas_allocate_nothing():
    model = oc.models.UNet(3, 20, RING, width=32, depth=5)
    table = oc.summary(model, (3, 4096, 8192))
    assert table.rows[-1].output == (20, 4096, 8192)
    assert not any(parameter.is_meta for parameter in model.parameters())


def test_parameters_of_a_layer_called_twice_count_once():
    layer = nn.Conv2d(2, 2, 3, padding=1)
    table = oc.summary(nn.Sequential(layer, nn.ReLU(), layer), (2, 8, 8))
    assert [row.parameters for row in table.rows] == [38, 0, 0]
    assert table.parameters == 38
    assert table.multiply_adds == 2 * 8 * 8 * 36
    assert table.receptive_field == (5, 5)


def test_table_is_aligned_text():
    lines = str(oc.summary(nn.Sequential(oc.nn.Conv(3, 8, (3, 5))), (3, 64, 128))).splitlines()
    assert lines[0].split() == ["layer", "kind", "output", "receptive", "field", "parameters", "multiply-adds"]
    assert lines[2] == "0      Conv  8 × 64 × 128            3 × 5         368      2,949,120"
    assert len({len(lines[0]), len(lines[2]), len(lines[-1])}) == 1


@pytest.mark.parametrize(
    ("model", "shape", "text"),
    [
        (oc.models.UNet(3, 2, width=2, depth=1), (4, 8, 8), r"shape=\(4, 8, 8\): must start with 3 channels"),
        (oc.models.UNet(3, 2, width=2, depth=1), (3, 8), r"must have 3 numbers, channels and 2 for the grid of plane"),
        (oc.models.UNet(3, 2, width=2, depth=1), (1, 3, 8, 8), r"must have 3 numbers.*leave out the batch"),
        (oc.models.UNet(3, 2, oc.Icosphere(2), width=2, depth=1), (3, 100), r"grid \(162,\).*give \(3,\) alone"),
        (oc.models.UNet(3, 2, width=2, depth=1), (3, 0, 8), r"must be \(channels, \*grid\) in whole numbers from 1"),
        (oc.models.UNet(3, 2, width=2, depth=1), 3, r"shape=3: must be \(channels"),
        (nn.Conv2d(3, 2, 3), (4, 8, 8), r"must start with 3 channels, as layer 'Conv2d' takes"),
        (nn.Conv2d(3, 2, 3), (3, 2, 2), r"is not taken by the network \(.*Kernel size"),
        (nn.Linear(3, 2), (4,), r"shape=\(4,\): is not taken by the network"),
    ],
)  # fmt: skip
def test_wrong_shapes_are_refused(model, shape, text):
    with pytest.raises(InputError, match=text):
        oc.summary(model, shape)


def everyday_network():
    """Layers and functions that a conversion replaces."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.ZeroPad2d(1), nn.Conv2d(8, 8, 3),
        nn.ConvTranspose2d(8, 4, 4, 2, 1), nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(4, 4, 3, 2, 1),
        nn.AvgPool2d(3, 1, 1), nn.Conv2d(4, 2, 1),
    ).eval()  # fmt: skip


def test_converted_network_has_the_table_of_the_flat_one():
    flat = oc.summary(everyday_network(), (3, 32, 64))
    assert flat.receptive_field == (14, 14)
    assert oc.summary(oc.convert.to_equirectangular(everyday_network()), (3, 32, 64)) == flat


def test_tangent_network_has_the_fields_of_the_flat_one_and_counts_its_stencils():
    network, x = oc.convert.to_tangent(everyday_network(), 32), torch.rand(1, 3, 32, 64)
    y, flat, table = network(x), oc.summary(everyday_network(), (3, 32, 64)), oc.summary(network, (3, 32, 64))
    assert [row.receptive_field for row in table.rows] == [row.receptive_field for row in flat.rows]
    on_tangents = oc.summary(oc.nn.Conv(3, 8, surface=oc.Equirectangular(height=32, kernels="tangent")), (3, 32, 64))
    assert table.rows[0].multiply_adds == on_tangents.multiply_adds
    torch.testing.assert_close(network(x), y)  # its tables are still there


def test_parametrized_layers_are_one_row_each():
    layers = everyday_network()[:3]
    layers.append(nn.BatchNorm2d(8).eval())
    flat = oc.summary(layers, (3, 32, 64))
    torch.nn.utils.parametrizations.weight_norm(layers[0])
    for name in ("weight", "bias"):
        torch.nn.utils.parametrize.register_parametrization(layers[3], name, nn.Softplus(), unsafe=True)
    for network in (layers, oc.convert.to_equirectangular(layers)):
        table = oc.summary(network, (3, 32, 64))
        assert [row.name for row in table.rows] == ["0", "1", "2", "3"]
        assert table.parameters == sum(row.parameters for row in table.rows) == flat.parameters + 8
        assert (table.multiply_adds, table.receptive_field) == (flat.multiply_adds, flat.receptive_field)


def test_outputs_in_a_dictionary_have_a_receptive_field():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.near, self.far = nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(3, 2, 5, padding=2)

        def forward(self, x):
            return {"near": self.near(x), "aux": [self.far(x), None]}

    assert oc.summary(Named(), (3, 16, 32)).receptive_field == (5, 5)
    assert oc.summary(oc.convert.to_equirectangular(Named()), (3, 16, 32)).receptive_field == (5, 5)
