from __future__ import annotations

import copy

import pytest
import torch
from model_battery import SHAPES, every_surface
from torch import nn

from omniconv.errors import InputError
from omniconv.nn import SelfAttention
from omniconv.surfaces import Cubemap, Equirectangular, Healpix, Icosphere, Plane

GRIDS = {Plane(2): (3, 4), Equirectangular(): (4, 8), Healpix(1): (12,), Icosphere(1): (42,), Cubemap(2): (6, 2, 2)}
quick_surfaces = pytest.mark.parametrize("surface", GRIDS, ids=str)


def attention(surface, channels=8, heads=2, **options):
    layer = SelfAttention(channels, heads, surface, **options)
    nn.init.normal_(layer.projection.weight, std=channels**-0.5)
    return layer


def reference(layer, x, areas):
    """Attention head by head, whose softmax counts every sample by its area."""
    samples = layer.norm(x).flatten(2).transpose(1, 2)
    q, k, v = layer.to_qkv(samples).chunk(3, 2)
    parts = []
    for one, other, value in zip(*(part.chunk(layer.heads, 2) for part in (q, k, v)), strict=True):
        weights = (one @ other.mT / one.shape[2] ** 0.5).exp() * areas.flatten()
        parts.append(weights / weights.sum(2, keepdim=True) @ value)
    return x + layer.projection(torch.cat(parts, 2)).transpose(1, 2).reshape(x.shape)


@every_surface
def test_starts_as_the_identity(surface):
    x = torch.randn(2, 8, *SHAPES[surface])
    torch.testing.assert_close(SelfAttention(8, 2, surface)(x), x)


@quick_surfaces
def test_samples_count_by_their_area(surface):
    layer, x = attention(surface), torch.randn(2, 8, *GRIDS[surface])
    areas = torch.from_numpy(surface.areas(GRIDS[surface])).float()
    torch.testing.assert_close(layer(x), reference(layer, x, areas))


@quick_surfaces
def test_fused_attention_of_inference_gives_the_same(surface):
    layer, x = attention(surface), torch.randn(2, 8, *GRIDS[surface])
    with torch.no_grad():
        with torch.enable_grad():
            wanted = layer(x)
        torch.testing.assert_close(layer(x), wanted.detach())


def test_commutes_with_rolls_of_a_panorama():
    layer, x = attention(Equirectangular()), torch.randn(1, 8, 4, 8)
    torch.testing.assert_close(layer(x.roll(3, 3)), layer(x).roll(3, 3))
    torch.testing.assert_close(layer(x.flip(2)), layer(x).flip(2))


def test_commutes_with_permutations_of_equal_cells():
    layer, x, order = attention(Healpix(1)), torch.randn(1, 8, 12), torch.randperm(12)
    torch.testing.assert_close(layer(x[..., order]), layer(x)[..., order])


def test_parameters_are_those_of_ddpm():
    found = sum(parameter.numel() for parameter in SelfAttention(256).parameters())
    assert found == 2 * 256 + 4 * 256 * 256 + 4 * 256


@quick_surfaces
def test_gradients_and_second_gradients(surface):
    layer = attention(surface, 4, 1, normalization="none").double()
    x = torch.randn(1, 4, *GRIDS[surface], dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(layer, x, fast_mode=True)
    torch.autograd.gradgradcheck(layer, x, fast_mode=True)


@quick_surfaces
def test_half_precision(surface):
    layer, x = attention(surface), torch.randn(2, 8, *GRIDS[surface])
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(x)
    torch.testing.assert_close(half.float(), layer(x), atol=0.05, rtol=0.05)
    assert copy.deepcopy(layer).bfloat16()(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.slow
@pytest.mark.parametrize("surface", [Equirectangular(), Icosphere(1)], ids=str)
def test_compiled_and_exported_layers_give_the_same(surface):
    torch._dynamo.reset()
    layer, x = attention(surface).eval(), torch.randn(2, 8, *GRIDS[surface])
    torch.testing.assert_close(torch.compile(layer, fullgraph=True, backend="aot_eager")(x), layer(x))
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(layer, (x,), dynamic_shapes=({0: batch},)).module()
    torch.testing.assert_close(program(x[:1]), layer(x[:1]))


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: SelfAttention(8, 3), "heads=3: must divide channels=8; use heads=1"),
        (lambda: SelfAttention(8)(torch.zeros(1, 4, 2, 2)), "must have 8 channels on axis 1"),
    ],
)
def test_wrong_arguments_are_refused(build, text):
    with pytest.raises(InputError, match=text):
        build()
