from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from omniconv.errors import InputError
from omniconv.exporting.program import with_standard_ops
from omniconv.models import Classifier, UNet
from omniconv.nn import (
    ASPP,
    AvgPool,
    Conv,
    ConvTranspose,
    CoordConv,
    Downsample,
    GatedConv,
    LpPool,
    MaxPool,
    MaxUnpool,
    SeparableConv,
    Upsample,
)
from omniconv.nn.rows import tiles
from omniconv.nn.rows.modules import RowConvolution
from omniconv.summaries import summary
from omniconv.surfaces import Equirectangular, RowStencil, surface
from omniconv.surfaces.neighbours.row_stencil import split_by_row


def rows(height):
    return Equirectangular(height=height, kernels="rows")


SURFACE = rows(8)


def signal(channels=4, batch=2, place=SURFACE):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, channels, *place.shape, generator=generator, dtype=torch.float64)


def definition(stencil, x, weight, bias, groups):
    """Compute output and gradients of the sum of its sines in NumPy, pixel by pixel."""
    x, weight, bias = (tensor.detach().numpy() for tensor in (x, weight, bias))
    flat = x.reshape(*x.shape[:2], -1)
    seen = [flat[:, :, stencil.pixels(row)] for row in range(len(stencil.shapes))]
    kernels = split_by_row(weight, stencil.shapes)
    y = np.zeros((len(x), len(weight), *stencil.output_shape))
    size, wide = weight.shape[1], len(weight) // groups
    parts = [(slice(g * wide, (g + 1) * wide), slice(g * size, (g + 1) * size)) for g in range(groups)]
    for row, (window, kernel) in enumerate(zip(seen, kernels, strict=True)):
        for out, into in parts:
            y[:, out, row] = np.einsum("bcwij,ocij->bow", window[:, into], kernel[out]) + bias[out, row, None]
    gradient = np.cos(y)
    by_input, by_weight = np.zeros_like(flat), []
    for row, (window, kernel) in enumerate(zip(seen, kernels, strict=True)):
        by_weight.append(np.zeros_like(kernel))
        for out, into in parts:
            own = gradient[:, out, row]
            by_weight[-1][out] = np.einsum("bow,bcwij->ocij", own, window[:, into])
            spread = np.einsum("bow,ocij->bcwij", own, kernel[out])
            np.add.at(by_input, (slice(None), into, stencil.pixels(row)), spread)
    return y, by_input.reshape(x.shape), np.concatenate([part.reshape(*part.shape[:2], -1) for part in by_weight], 2)


def gradients(layer, x):
    y = layer(x)
    return y, *torch.autograd.grad(y.sin().sum(), (x, layer.weight))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("kernel_size", "stride", "dilation"),
    [(3, 1, 1), (3, 2, 1), ((3, 5), 1, (1, 2)), (1, 2, 1), (1, 1, 1), (3, 1, 6), (5, 2, 3)],
)
def test_conv_and_its_gradients_equal_the_definition(kernel_size, stride, dilation, groups):
    layer = Conv(4, 6, kernel_size, stride, dilation=dilation, groups=groups, surface=SURFACE).double()
    x = signal().requires_grad_()
    wanted = definition(layer.op.stencil, x, layer.weight, layer.bias, groups)
    for found, known in zip(gradients(layer, x), wanted, strict=True):
        np.testing.assert_allclose(found.detach().numpy(), known, atol=1e-11)


@settings(deadline=None, max_examples=25)
@given(
    data=st.data(), height=st.integers(1, 5), stride=st.sampled_from([1, 2]), batch=st.integers(1, 3),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    tile_bytes=st.sampled_from([1, 2000, tiles.TILE_BYTES]), min_outputs=st.sampled_from([1, tiles.MIN_OUTPUTS]),
)  # fmt: skip
def test_any_shapes_in_any_tiles_equal_the_reference(data, height, stride, batch, dilation, tile_bytes, min_outputs):
    odd = st.sampled_from([1, 3, 5, 7])
    shapes = data.draw(st.lists(st.tuples(odd, odd), min_size=height, max_size=height))
    stencil = RowStencil(stride * height, tuple(shapes), stride, dilation)
    layer = nn.Module()
    generator = torch.Generator().manual_seed(height)
    layer.weight = nn.Parameter(torch.randn(3, 2, stencil.taps, generator=generator, dtype=torch.float64))
    bias = torch.randn(3, height, generator=generator, dtype=torch.float64)
    product = RowConvolution(stencil, 1)
    layer.forward = lambda x: product(x, layer.weight, bias)
    x = torch.randn(batch, 2, *stencil.input_shape, generator=generator, dtype=torch.float64, requires_grad=True)
    defaults = tiles.TILE_BYTES, tiles.MIN_OUTPUTS
    tiles.TILE_BYTES, tiles.MIN_OUTPUTS = tile_bytes, min_outputs
    try:
        found = gradients(layer, x)
    finally:
        tiles.TILE_BYTES, tiles.MIN_OUTPUTS = defaults
    for one, known in zip(found, definition(stencil, x, layer.weight, bias, 1), strict=True):
        np.testing.assert_allclose(one.detach().numpy(), known, atol=1e-11)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    ("kernel_size", "stride", "dilation"), [(1, 1, 1), (3, 1, 2), ((3, 5), 1, 1), (1, 2, 1), (3, 2, 1)]
)
def test_transposed_convolution_is_the_adjoint(kernel_size, stride, dilation, groups):
    fine = SURFACE if stride == 1 else SURFACE.finer()
    kinds = {"dilation": dilation, "groups": groups, "bias": False}
    there = Conv(6, 4, kernel_size, stride, surface=fine, **kinds).double()
    back = ConvTranspose(4, 6, kernel_size, stride, surface=SURFACE, **kinds).double()
    back.load_state_dict(there.state_dict())
    x, y = signal(6, place=fine), signal(4)
    assert back.output_surface == fine
    torch.testing.assert_close((there(x) * y).sum(), (x * back(y)).sum())


@pytest.mark.parametrize("build", [
    lambda place: Conv(1, 2, surface=place), lambda place: Conv(2, 2, stride=2, groups=2, surface=place),
    lambda place: ConvTranspose(1, 2, surface=place), lambda place: ConvTranspose(2, 2, groups=2, surface=place),
])  # fmt: skip
def test_gradcheck(build):
    place = rows(2)
    layer = build(place).double()
    x = signal(layer.in_channels, 1, place).requires_grad_()
    weights = tuple(layer.parameters())

    def work(x, *_):
        return layer(x)

    assert torch.autograd.gradcheck(work, (x, *weights))
    assert torch.autograd.gradgradcheck(work, (x, *weights))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    "build",
    [lambda: Conv(4, 3, bias=False, surface=SURFACE), lambda: ConvTranspose(4, 3, bias=False, surface=SURFACE)],
)
def test_forward_mode_and_vmap(build):
    layer, x = build().double(), signal()
    value, change = torch.func.jvp(layer, (x,), (x,))
    torch.testing.assert_close(value, layer(x))
    torch.testing.assert_close(change, layer(x))
    torch.testing.assert_close(torch.func.vmap(layer)(x[:, None])[:, 0], layer(x))


@pytest.mark.parametrize("turn", [1, 5])
@pytest.mark.parametrize("build", [
    lambda: Conv(4, 3, surface=SURFACE), lambda: Conv(4, 3, 5, dilation=2, surface=SURFACE),
    lambda: Conv(4, 4, groups=4, surface=SURFACE), lambda: ConvTranspose(4, 3, stride=1, surface=SURFACE),
])  # fmt: skip
def test_layers_commute_with_rolls_of_columns(build, turn):
    layer = build().double()
    torch.testing.assert_close(layer(signal().roll(turn, 3)), layer(signal()).roll(turn, 3), rtol=0, atol=1e-12)


def test_network_commutes_with_rolls_by_its_total_stride():
    network = UNet(4, 2, width=4, depth=2, surface=SURFACE).double().eval()
    torch.testing.assert_close(network(signal().roll(4, 3)), network(signal()).roll(4, 3), rtol=0, atol=1e-12)


def test_rows_beyond_the_pole_are_mirrored_and_rolled_by_half_the_width():
    layer = Conv(1, 1, bias=False, surface=rows(4)).double()
    stencil = layer.op.stencil
    with torch.no_grad():
        layer.weight.zero_()
        up, across = stencil.shapes[0]
        layer.weight[0, 0, (up // 2 - 1) * across + across // 2] = 1  # the tap north of the middle one, in row 0
    x = signal(1, 1, rows(4))
    torch.testing.assert_close(layer(x)[0, 0, 0], x[0, 0, 0].roll(4))


def test_each_row_has_its_own_kernel_and_bias():
    layer = Conv(4, 6, surface=SURFACE).double()
    stencil, x, before = layer.op.stencil, signal(), None
    before = layer(x)
    tap = sum(run.taps for run in stencil.bands if run.first_row + run.rows <= 3)
    run = next(run for run in stencil.bands if run.first_row <= 3 < run.first_row + run.rows)
    tap = run.first_tap + (3 - run.first_row) * run.kernel_shape[0] * run.kernel_shape[1]
    with torch.no_grad():
        layer.weight[:, :, tap : tap + run.kernel_shape[0] * run.kernel_shape[1]] += 1
        layer.bias[:, 5] += 1
    changed = (layer(x) - before).abs().amax((0, 1, 3)) > 1e-9
    assert changed.nonzero().flatten().tolist() == [3, 5]


def test_initial_weights_are_bounded_by_the_taps_of_each_row():
    layer = Conv(16, 16, surface=SURFACE)
    for kernel, (up, across) in zip(split_by_row(layer.weight.detach().numpy(), layer.op.stencil.shapes),
                                    layer.op.stencil.shapes, strict=True):  # fmt: skip
        bound = 1 / np.sqrt(16 * up * across)
        assert 0.95 * bound < np.abs(kernel).max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize("kind", [Conv, ConvTranspose])
def test_reference_equals_the_custom_op_in_output_and_gradients(kind):
    layer, x = kind(4, 6, groups=2, surface=SURFACE).double(), signal().requires_grad_()
    op = next(module for module in layer.modules() if isinstance(module, RowConvolution))
    inputs = x, layer.weight, layer.bias
    results = [compute(*inputs) for compute in (op.custom_op, op.reference)]
    torch.testing.assert_close(*results)
    torch.testing.assert_close(*(torch.autograd.grad(y.sin().sum(), inputs) for y in results))


LAYERS = {
    "conv": lambda: Conv(4, 6, surface=SURFACE),
    "strided": lambda: Conv(4, 6, stride=2, surface=SURFACE),
    "grouped": lambda: Conv(4, 6, (3, 5), dilation=(2, 1), groups=2, surface=SURFACE),
    "pointwise": lambda: Conv(4, 6, 1, surface=SURFACE),
    "transposed": lambda: ConvTranspose(4, 6, surface=SURFACE),
    "gated": lambda: GatedConv(4, 6, surface=SURFACE),
    "separable": lambda: SeparableConv(4, 6, surface=SURFACE),
    "coordinates": lambda: CoordConv(4, 6, stride=2, radius=True, surface=SURFACE),
    "pyramid": lambda: ASPP(4, 6, rates=(1, 2, 18), surface=SURFACE),
    "max": lambda: MaxPool(surface=SURFACE),
    "mean": lambda: AvgPool(surface=SURFACE),
    "norm": lambda: LpPool(p=3.0, surface=SURFACE),
    "grow": lambda: Upsample(surface=SURFACE),
    "shrink": lambda: Downsample(surface=SURFACE),
    "shrink nearest": lambda: Downsample(mode="nearest", surface=SURFACE),
    "unet": lambda: UNet(4, 2, width=4, depth=2, up="transposed", down="max", surface=SURFACE),
    "unet to one row": lambda: UNet(4, 2, width=4, depth=3, surface=SURFACE),
    "classifier": lambda: Classifier(4, 5, width=4, depth=2, down="average", surface=SURFACE),
}


@pytest.mark.parametrize("build", LAYERS.values(), ids=LAYERS)
def test_every_layer_runs_forward_backward_and_with_standard_ops(build):
    layer, x = build(), signal().float().requires_grad_()
    y = layer(x)
    lies = getattr(layer, "output_surface", SURFACE)
    assert y.shape == ((2, 5) if isinstance(layer, Classifier) else (2, y.shape[1], *lies.shape))
    y.square().sum().backward()
    for gradient in (x.grad, *(parameter.grad for parameter in layer.parameters())):
        assert torch.isfinite(gradient).all()
    assert x.grad.abs().sum() > 0
    torch.testing.assert_close(with_standard_ops(layer)(x), layer.eval()(x), rtol=1e-4, atol=1e-5)


class Namespaces(TorchDispatchMode):
    """Records the namespaces of the operators that are called."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.seen.add(function.namespace)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("kind", [Conv, ConvTranspose])
def test_standard_ops_are_torchs_own(kind, groups):
    layer = kind(4, 6, groups=groups, surface=SURFACE)
    for network, others in ((layer, {"omniconv"}), (with_standard_ops(layer), set())):
        with torch.no_grad(), Namespaces() as called:
            network(signal().float())
        assert called.seen - {"aten", "prim"} == others


def test_unpooling_restores_the_positions_of_maxima():
    values, switches = MaxPool(return_switches=True, surface=SURFACE)(signal())
    y = MaxUnpool(surface=SURFACE.coarser())(values, switches)
    torch.testing.assert_close(MaxPool(surface=SURFACE)(y.abs()), values.abs())


@pytest.mark.parametrize("groups", [1, 2])
def test_autocast_computes_in_float32(groups):
    layer, x = Conv(4, 6, groups=groups, surface=SURFACE), signal().float().requires_grad_()
    wanted = torch.autograd.grad(layer(x).square().sum(), (x, layer.weight))
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
        found = torch.autograd.grad(y.square().sum(), (x, layer.weight))
    assert y.dtype == torch.float32
    torch.testing.assert_close(found, wanted)  # bfloat16 would differ by far more than its tolerance


def test_empty_batch():
    x = torch.zeros(0, 4, 8, 16, requires_grad=True)
    layer = Conv(4, 6, surface=SURFACE)
    layer(x).sum().backward()
    assert x.grad.shape == x.shape
    assert not layer.weight.grad.any()


def test_summary_counts_the_taps_of_every_row():
    layer = Conv(4, 6, surface=SURFACE)
    taps = sum(up * across for up, across in layer.op.stencil.shapes)
    table = summary(nn.Sequential(layer), (4, 8, 16))
    assert table.parameters == 6 * 4 * taps + 6 * 8
    assert table.rows[0].multiply_adds == 6 * 4 * taps * 16
    assert table.receptive_field == layer.op.stencil.max_kernel_shape


def test_short_name():
    assert surface("equirectangular:height=8,kernels=rows") == SURFACE
    assert surface(str(SURFACE)) == SURFACE


def test_panoramas_are_resized():
    image = np.random.default_rng(0).random((3, 16, 32))
    assert SURFACE.from_equirectangular(image).shape == (3, 8, 16)
    assert SURFACE.to_equirectangular(image[:, :8, :16], 16).shape == (3, 16, 32)


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda: Conv(1, 1, padding=1, surface=SURFACE), "padding=1: must be 'same'"),
        (lambda: Conv(1, 1, 4, surface=SURFACE), "kernel_size=(4, 4): must be odd"),
        (lambda: Conv(1, 1, stride=(1, 2), surface=SURFACE), "stride=(1, 2): must be 1 or 2"),
        (lambda: Conv(1, 1, stride=2, surface=rows(5)), "height=5: must be even to be halved"),
        (lambda: MaxPool(3, surface=SURFACE), "stride=3: must be 1 or 2 with kernels='rows'"),
        (lambda: Upsample(3, surface=SURFACE), "scale_factor=3: must be 2 with kernels='rows'"),
        (lambda: UNet(1, 1, width=4, depth=4, surface=SURFACE), "depth=4: must be at most 3"),
        (
            lambda: Conv(1, 1, surface=SURFACE)(torch.zeros(1, 1, 8, 15)),
            "must be (batch, channels, 8, 16)",
        ),
        (
            lambda: ConvTranspose(1, 1, surface=SURFACE)(torch.zeros(1, 1, 8, 16), output_size=(15, 32)),
            "must be (16, 32)",
        ),
    ],
)
def test_arguments_without_meaning_are_refused(ask, text):
    with pytest.raises(InputError, match=re.escape(text)):
        ask()
