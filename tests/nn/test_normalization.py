from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from model_battery import SHAPES, every_surface

from omniconv.errors import InputError
from omniconv.nn import Conv, ConvBlock, GroupNorm
from omniconv.nn.arguments import is_grid
from omniconv.nn.norm.group_norm_ops import group_norm, reference_group_norm
from omniconv.nn.norm.normalization import default_groups
from omniconv.surfaces import Equirectangular, Healpix, Icosphere, Plane

MESHES = [surface for surface in SHAPES if surface.ndim == 1 and not is_grid(surface)]
QUICK = [Plane(2), Equirectangular(), Healpix(2), Icosphere(1)]
GRIDS = {Plane(2): (4, 6), Equirectangular(): (4, 8), Healpix(2): (48,), Icosphere(1): (42,)}
quick_surfaces = pytest.mark.parametrize("surface", QUICK, ids=str)


def signal(surface, channels=8, dtype=torch.float32, shape=None):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, channels, *(shape or SHAPES[surface]), generator=generator, dtype=dtype)
    return 3 + 2 * x * torch.arange(1, channels + 1).view(-1, *[1] * (x.ndim - 2))


def mean_by_area(surface, x):
    areas = torch.from_numpy(surface.areas(tuple(x.shape[2:]))).to(x.dtype)
    return (x * areas / areas.sum()).flatten(2).sum(2)


def small(surface):
    return signal(surface, shape=GRIDS[surface], dtype=torch.float64)


@every_surface
def test_groups_have_mean_0_and_variance_1_by_area(surface):
    y = GroupNorm(8, 2, surface)(signal(surface))
    means = mean_by_area(surface, y).unflatten(1, (2, 4)).mean(2)
    squares = mean_by_area(surface, y.square()).unflatten(1, (2, 4)).mean(2)
    torch.testing.assert_close(means, torch.zeros(2, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(squares, torch.ones(2, 2), atol=1e-4, rtol=0)


@every_surface
def test_scale_and_shift_come_after_the_affine_map_of_the_channels(surface):
    norm, x = GroupNorm(8, 2, surface), signal(surface)
    plain = norm(x)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
    scale, shift = torch.randn(2, 8), torch.randn(2, 8)
    weight, bias, scaled, shifted = (
        part.reshape(*part.shape, *[1] * surface.ndim) for part in (norm.weight, norm.bias, scale, shift)
    )
    torch.testing.assert_close(norm(x, scale, shift), (plain * weight + bias) * (1 + scaled) + shifted)
    torch.testing.assert_close(norm(x, shift=shift), plain * weight + bias + shifted)


@pytest.mark.parametrize("surface", [Plane(1), Plane(2), Plane(3), Healpix(4)], ids=str)
def test_equal_areas_give_torchs_group_norm(surface):
    norm, x = GroupNorm(8, 4, surface), signal(surface)
    torch.testing.assert_close(norm(x), F.group_norm(x, 4, norm.weight, norm.bias))


@pytest.mark.parametrize("silu", [False, True])
@pytest.mark.parametrize("layout", ["contiguous", "channels last", "strided"])
@every_surface
def test_fast_norm_is_the_reference_in_output_and_gradients(surface, layout, silu):
    x = signal(surface, dtype=torch.float64)
    layouts = {"contiguous": x, "channels last": x.movedim(1, -1).contiguous().movedim(-1, 1), "strided": x[..., ::2]}
    norm, x = GroupNorm(8, 2, surface), layouts[layout].requires_grad_()
    weights = None
    if norm.area_weights is not None:
        weights = norm.area_weights(signal(surface, dtype=torch.float64)).expand(SHAPES[surface])
        weights = weights[..., ::2] / weights[..., ::2].sum() if layout == "strided" else weights
    factor, summand = (torch.randn(2, 8, dtype=torch.float64, requires_grad=True) for _ in range(2))
    gradient = torch.randn_like(x)
    found, wanted = [], []
    for results, function in ((found, group_norm), (wanted, reference_group_norm)):
        y = function(x, 2, factor, summand, weights, silu=silu)
        results.extend([y, *torch.autograd.grad(y, (x, factor, summand), gradient)])
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)
    if layout == "channels last":
        assert found[0].stride() == found[1].stride() == x.stride()


@pytest.mark.parametrize("surface", MESHES, ids=str)
def test_meshes_stay_channels_last(surface):
    norm = GroupNorm(8, 2, surface)
    x = signal(surface).transpose(1, 2).contiguous().transpose(1, 2).requires_grad_()
    for arguments in ((), (torch.randn(2, 8), torch.randn(2, 8))):
        y = norm(x, *arguments)
        assert y.stride() == x.stride()
        (gradient,) = torch.autograd.grad(y.square().sum(), x)
        assert gradient.stride() == x.stride()


def test_statistics_of_a_panorama_do_not_depend_on_its_resolution():
    norm = GroupNorm(4, 1, Equirectangular())
    coarse = norm(signal(Equirectangular(), 4, shape=(32, 64)))
    fine = norm(signal(Equirectangular(), 4, shape=(32, 64)).repeat_interleave(2, 3))
    torch.testing.assert_close(fine[..., ::2], coarse)


def test_norm_commutes_with_rolls_of_a_panorama():
    norm, x = GroupNorm(8, 2, Equirectangular()), signal(Equirectangular())
    torch.testing.assert_close(norm(x.roll(3, 3)), norm(x).roll(3, 3))


@quick_surfaces
def test_gradients_and_second_gradients(surface):
    norm = GroupNorm(8, 2, surface).double()
    x = small(surface)[
        :1,
        :,
        ...,
    ].requires_grad_()
    scale, shift = (torch.randn(1, 8, dtype=torch.float64, requires_grad=True) for _ in range(2))
    torch.autograd.gradcheck(norm, (x, scale, shift), fast_mode=True)
    torch.autograd.gradgradcheck(norm, (x, scale, shift), fast_mode=True)


@quick_surfaces
def test_bfloat16_is_near_single(surface):
    norm, x = GroupNorm(8, 2, surface), signal(surface, shape=GRIDS[surface])
    scale, shift = torch.randn(2, 8), torch.randn(2, 8)
    half = norm.bfloat16()(x.bfloat16(), scale.bfloat16(), shift.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), norm.float()(x, scale, shift), atol=0.1, rtol=0.03)


@quick_surfaces
def test_autocast_takes_bfloat16_signals_with_single_precision_weights(surface):
    block = ConvBlock(8, 8, normalization="group", activation="silu", surface=surface)
    x = signal(surface, shape=GRIDS[surface])
    with torch.autocast("cpu", torch.bfloat16):
        half = block(x)
        half.float().square().mean().backward()
    torch.testing.assert_close(half.float(), block(x), atol=0.1, rtol=0.1)


def test_conv_block_with_group_norm():
    block = ConvBlock(4, 8, normalization="group")
    assert block[0].bias is None
    assert isinstance(block[1], GroupNorm)


def test_ddpm_has_32_groups_at_every_width():
    assert [default_groups(channels) for channels in (128, 256, 512)] == [32, 32, 32]
    assert GroupNorm(64, 32).groups == 32


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: GroupNorm(6, 4), "groups=4: must divide channels=6; use groups=1"),
        (lambda: GroupNorm(0), "channels=0: must be a whole number from 1"),
        (lambda: GroupNorm(4)(torch.zeros(1, 3, 2, 2)), "must have 4 channels on axis 1"),
        (lambda: GroupNorm(4, surface=Icosphere(1))(torch.zeros(1, 4, 12)), "a signal on icosphere:1"),
    ],
)
def test_wrong_arguments_are_refused(build, text):
    with pytest.raises(InputError, match=text):
        build()


def test_many_samples_far_from_zero_keep_their_variance():
    x = 1000 + torch.randn(1, 4, 64, 128, generator=torch.Generator().manual_seed(0))
    y = group_norm(x, 1, torch.ones(4), torch.zeros(4), torch.full((64, 1), 1 / 64 / 128))
    wanted = F.group_norm(x.double(), 1)
    torch.testing.assert_close(y.double(), wanted, atol=2e-3, rtol=0)


@pytest.mark.parametrize("surface", [Icosphere(1), pytest.param(Equirectangular(), marks=pytest.mark.slow)], ids=str)
def test_compiled_block_gives_the_same(surface):
    torch._dynamo.reset()
    layer, x = (
        torch.nn.Sequential(Conv(8, 8, surface=surface), GroupNorm(8, 2, surface)),
        signal(surface, shape=GRIDS[surface]),
    )
    torch.testing.assert_close(torch.compile(layer, fullgraph=True, backend="aot_eager")(x), layer(x))
