from __future__ import annotations

import copy
import re

import pytest
import torch
import torch.nn.functional as F

from omniconv.errors import InputError
from omniconv.nn import Conv, PartialConv
from omniconv.summaries import summary
from omniconv.surfaces import (
    Cubemap,
    Equirectangular,
    Healpix,
    Icosahedron,
    Icosphere,
    Plane,
    RowStencil,
    Stencil,
)

SHAPES = {
    Plane(1): (11,),
    Plane(): (7, 9),
    Plane(border="reflect"): (7, 9),
    Plane(3): (4, 5, 6),
    Equirectangular(): (6, 8),
    Equirectangular("zeros"): (6, 8),
    Equirectangular(height=8, kernels="rows"): (8, 16),
    Equirectangular(height=8, kernels="tangent"): (8, 16),
    Icosphere(1): (42,),
    Icosahedron(1): (80,),
    Healpix(2): (48,),
    Cubemap(4): (6, 4, 4),
}
every_surface = pytest.mark.parametrize("surface", SHAPES, ids=str)


def random_case(surface, channels=3, share=0.4, seed=0, dtype=torch.float64):
    """A signal and a mask with holes of single samples and one large hole."""
    generator = torch.Generator().manual_seed(seed)
    grid = SHAPES[surface]
    x = torch.randn(2, channels, *grid, generator=generator, dtype=dtype)
    valid = (torch.rand(2, 1, *grid, generator=generator) > share).to(dtype)
    valid.flatten(2)[..., : valid[0].numel() // 2] = 0
    return x, valid


def known_share(layer, valid):
    """The definition, by dense matrices: the weights of every output's window, with zeros beyond a border of zeros."""
    neighbours = layer.surface.conv_neighbours(layer.kernel_size, layer.stride, layer.dilation)
    if isinstance(neighbours, Stencil):
        weights = torch.from_numpy(sum(abs(operator.toarray()) for operator in neighbours.operators))
        share = valid.flatten(2) @ weights.T / weights.sum(1)
        return share.unflatten(2, neighbours.output_shape)
    taps = layer.weight[0, 0].numel()
    if isinstance(neighbours, RowStencil):
        flat = valid.flatten(2)
        rows = [flat[..., neighbours.pixels(row)].mean((-1, -2)) for row in range(len(neighbours.shapes))]
        return torch.stack(rows, 2)
    ones = torch.ones_like(layer.weight[:1, :1])
    return layer.op(valid, ones, None) / taps


@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"kernel_size": 1}, {"bias": False}], ids=str)
@every_surface
def test_layer_is_its_definition(surface, options):
    torch.manual_seed(1)
    layer = PartialConv(3, 4, surface=surface, **options).double()
    x, valid = random_case(surface)
    y, seen = layer(x, valid)
    plain = Conv(3, 4, surface=surface, **options).double()
    plain.load_state_dict(layer.state_dict())
    share = known_share(layer, valid)
    bias = plain(torch.zeros_like(x))
    expected = torch.where(share > 0, (plain(x * valid) - bias) / share + bias, 0)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(seen, (share > 0).double())


@pytest.mark.parametrize("kernel_size", [3, 5, (3, 5)])
@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": (1, 2)}, {"dilation": 2}, {"padding": "valid"}])
def test_plane_equals_the_published_formula_also_at_the_border(kernel_size, options):
    layer = PartialConv(3, 4, kernel_size, **options).double()
    x, valid = random_case(Plane())
    y, seen = layer(x, valid)
    taps = layer.weight[0, 0].numel()
    counts = torch.ones(1, 1, *layer.weight.shape[2:], dtype=torch.float64)
    kernel = layer.weight.shape[2:]
    dilation = options.get("dilation", 1)
    padding = options.get("padding", tuple(dilation * (size - 1) // 2 for size in kernel))
    window = {"stride": options.get("stride", 1), "padding": 0 if padding == "valid" else padding, "dilation": dilation}
    count = F.conv2d(valid, counts, **window)
    expected = F.conv2d(x * valid, layer.weight, **window) * (taps / count.clamp_min(1)) + layer.bias.view(-1, 1, 1)
    torch.testing.assert_close(y, expected * (count > 0))
    torch.testing.assert_close(seen, (count > 0).double())


@every_surface
def test_gradients_are_those_of_the_definition_and_zero_in_the_hole(surface):
    layer = PartialConv(2, 3, surface=surface).double()
    x, valid = random_case(surface, channels=2)
    x.requires_grad_()
    layer(x, valid)[0].square().sum().backward()
    assert x.grad[(valid == 0).expand_as(x)].count_nonzero() == 0
    found = x.grad, layer.weight.grad, layer.bias.grad
    slow = copy.deepcopy(layer)
    slow.zero_grad()
    z = x.detach().requires_grad_()
    share = known_share(layer, valid)
    plain = layer.op(z * valid, slow.weight, None) / share.clamp_min(1e-9)
    bias = slow.bias.view(*slow.bias.shape, *[1] * (plain.ndim - 1 - slow.bias.ndim))
    torch.where(share > 0, plain + bias, 0).square().sum().backward()
    for one, other in zip(found, (z.grad, slow.weight.grad, slow.bias.grad), strict=True):
        torch.testing.assert_close(one, other)


@every_surface
def test_values_in_the_hole_have_no_effect(surface):
    layer = PartialConv(3, 4, surface=surface)
    x, valid = random_case(surface, dtype=torch.float32)
    poisoned = torch.where(valid == 0, torch.nan, x)
    for one, other in zip(layer(poisoned, valid), layer(x, valid), strict=True):
        assert torch.equal(one, other)


@every_surface
def test_full_mask_gives_the_convolution_where_no_border_of_zeros_is_near(surface):
    layer = PartialConv(3, 4, surface=surface).double()
    x, valid = random_case(surface)
    y, seen = layer(x, torch.ones_like(valid))
    plain = Conv(3, 4, surface=surface).double()
    plain.load_state_dict(layer.state_dict())
    inside = known_share(layer, torch.ones_like(valid)) > 1 - 1e-9
    torch.testing.assert_close(torch.where(inside, y, 0), torch.where(inside, plain(x), 0))
    assert (seen == 1).all()


@every_surface
def test_empty_mask_gives_zeros(surface):
    y, seen = PartialConv(3, 4, surface=surface)(*random_case(surface, share=2, dtype=torch.float32))
    assert not y.any()
    assert not seen.any()


@pytest.mark.parametrize("surface", [s for s in SHAPES if not isinstance(s, Icosphere)], ids=str)
def test_equal_weights_keep_constants_whatever_the_hole(surface):
    layer = PartialConv(1, 1, bias=False, surface=surface).double()
    neighbours = surface.conv_neighbours()
    if isinstance(neighbours, RowStencil):
        taps = torch.from_numpy(neighbours.taps_by_row)
        layer.weight.data[0, 0] = (1 / taps.double()).repeat_interleave(taps)
    else:
        layer.weight.data.fill_(1 / layer.weight[0, 0].numel())
    x, valid = random_case(surface, channels=1)
    y, seen = layer(torch.full_like(x, 0.7), valid)
    torch.testing.assert_close(y, 0.7 * seen)


def test_response_on_a_mesh_of_differences_stays_within_its_bound():
    surface = Icosphere(1)
    layer = PartialConv(1, 4, bias=False, surface=surface).double()
    x, valid = random_case(surface, channels=1)
    bound = layer.weight.abs().max() * sum(abs(s).sum(1) for s in surface.conv_neighbours().operators).max()
    assert (layer(x.sign(), valid)[0].abs() <= bound).all()


def test_mask_of_every_channel_counts_all_channels():
    layer = PartialConv(3, 4).double()
    x, _ = random_case(Plane())
    valid = (torch.rand(2, 3, 7, 9, generator=torch.Generator().manual_seed(3)) > 0.6).double()
    y, seen = layer(x, valid)
    count = F.conv2d(valid, torch.ones(1, 3, 3, 3, dtype=torch.float64), padding=1)
    expected = F.conv2d(x * valid, layer.weight, padding=1) * (27 / count.clamp_min(1)) + layer.bias.view(-1, 1, 1)
    torch.testing.assert_close(y, expected * (count > 0))
    torch.testing.assert_close(seen, (count > 0).double())


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float32])
def test_mask_of_any_dtype_and_one_mask_for_the_batch(dtype):
    layer = PartialConv(3, 4).double()
    x, valid = random_case(Plane())
    y, seen = layer(x, valid[:1].to(dtype))
    expected = layer(x, valid[:1].expand(2, -1, -1, -1))
    torch.testing.assert_close(y, expected[0])
    assert seen.shape == (1, 1, 7, 9)


def test_layer_commutes_with_rolls_and_a_hole_across_the_seam_is_the_rolled_hole():
    layer = PartialConv(3, 4, surface=Equirectangular()).double()
    x, valid = random_case(Equirectangular())
    y, seen = layer(x, valid)
    for shift in (1, 4, -3):
        rolled = layer(x.roll(shift, -1), valid.roll(shift, -1))
        torch.testing.assert_close(rolled[0], y.roll(shift, -1))
        torch.testing.assert_close(rolled[1], seen.roll(shift, -1))


def test_hole_closes_by_one_ring_at_each_layer():
    layer = PartialConv(1, 1)
    valid = torch.ones(1, 1, 15, 15)
    valid[..., 4:11, 4:11] = 0
    sizes = [49]
    for _ in range(4):
        valid = layer(torch.zeros(1, 1, 15, 15), valid)[1]
        sizes.append(int((valid == 0).sum()))
    assert sizes == [49, 25, 9, 1, 0]


def test_half_precision_compile_and_export():
    for surface in (Equirectangular(), Icosphere(1)):
        layer = PartialConv(3, 4, surface=surface)
        x, valid = random_case(surface, dtype=torch.float32)
        y, seen = layer(x, valid)
        half = layer.bfloat16()(x.bfloat16(), valid)
        assert half[0].dtype == half[1].dtype == torch.bfloat16
        assert (half[0].float() - y).abs().max() < 0.05 * y.abs().max()
        torch.testing.assert_close(half[1].float(), seen)
        layer = layer.float()
        y = layer(x, valid)[0]
        torch._dynamo.reset()
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x, valid)[0], y)
        torch.testing.assert_close(torch.export.export(layer, (x, valid)).module()(x, valid)[0], y)


def test_state_has_the_names_of_the_published_layer():
    assert set(PartialConv(3, 4).state_dict()) == {"weight", "bias"}


@pytest.mark.parametrize(
    ("valid", "text"),
    [
        (torch.ones(1, 1, 7, 8), "valid=(1, 1, 7, 8): must have the grid (7, 9) of the signal; resize it"),
        (torch.ones(7, 9), "valid=(7, 9): must be (2, 1, 7, 9), one value for each sample of the signal"),
        (torch.ones(3, 1, 7, 9), "valid=(3, 1, 7, 9): must be (2, 1, 7, 9)"),
        (torch.ones(2, 2, 7, 9), "valid=(2, 2, 7, 9): must be (2, 1, 7, 9)"),
        (None, "valid=<class 'NoneType'>: must be a tensor"),
    ],
)
def test_wrong_masks_are_refused(valid, text):
    with pytest.raises(InputError, match=re.escape(text)):
        PartialConv(3, 4)(torch.zeros(2, 3, 7, 9), valid)


def test_summary_counts_the_convolution():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = PartialConv(3, 4)

        def forward(self, x):
            return self.conv(x, x[:, :1] > 0)[0]

    (row, *_) = [row for row in summary(Net(), (3, 8, 8)).rows if row.kind == "PartialConv"]
    assert row.output == (4, 8, 8)
    assert row.parameters == 3 * 4 * 9 + 4
    assert row.receptive_field == (3, 3)
