from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from model_battery import SHAPES, every_surface

from omniconv.errors import InputError
from omniconv.nn import AvgPool, DepthToSpace, Patchify, SpaceToDepth, Unpatchify
from omniconv.nn.resampling.space_to_depth import has_space_to_depth
from omniconv.surfaces import Cubemap, Equirectangular, Healpix, Icosahedron, Icosphere, Plane

WITH_BLOCKS = [surface for surface in SHAPES if has_space_to_depth(surface)]
with_blocks = pytest.mark.parametrize("surface", WITH_BLOCKS, ids=str)


def test_only_the_icosphere_has_no_blocks():
    assert [type(surface) for surface in SHAPES if surface not in WITH_BLOCKS] == [Icosphere]


@with_blocks
def test_depth_to_space_is_the_inverse(surface):
    forward, x = SpaceToDepth(surface), torch.randn(2, 3, *SHAPES[surface])
    backward, y = DepthToSpace(surface.coarser()), forward(x)
    assert forward.output_surface == backward.surface == surface.coarser()
    assert backward.output_surface == surface
    assert y.shape[1] == 3 * forward.factor
    assert torch.equal(backward(y), x)
    assert torch.equal(forward(backward(y)), y)


@with_blocks
def test_channels_of_a_sample_are_those_that_pooling_averages(surface):
    x = torch.randn(2, 1, *SHAPES[surface], dtype=torch.float64)
    areas = torch.from_numpy(surface.areas(SHAPES[surface])).expand_as(x)
    forward = SpaceToDepth(surface)
    means = (forward(x) * forward(areas)).sum(1) / forward(areas).sum(1)
    torch.testing.assert_close(means, AvgPool(surface=surface).double()(x)[:, 0])


def test_images_are_rearranged_as_by_torch():
    x = torch.randn(2, 3, 4, 6)
    assert torch.equal(SpaceToDepth()(x), F.pixel_unshuffle(x, 2))
    faces = torch.randn(2, 3, 6, 4, 4)
    wanted = torch.stack([F.pixel_unshuffle(faces[:, :, face], 2) for face in range(6)], 2)
    assert torch.equal(SpaceToDepth(Cubemap(4))(faces), wanted)


@pytest.mark.parametrize("surface", [Healpix(4), Icosahedron(2)], ids=str)
def test_channels_last_signals_of_a_mesh_are_not_copied(surface):
    x = torch.randn(2, *SHAPES[surface], 3).transpose(1, 2)
    y = SpaceToDepth(surface)(x)
    assert y.data_ptr() == x.data_ptr()
    assert DepthToSpace(surface.coarser())(y).data_ptr() == x.data_ptr()


@every_surface
def test_patchify_and_unpatchify(surface):
    forward = Patchify(3, 5, surface=surface)
    coarse, x = forward.output_surface, torch.randn(2, 3, *SHAPES[surface])
    backward = Unpatchify(5, 3, surface=coarse)
    assert coarse == surface.coarser()
    assert backward.output_surface == surface
    y = backward(forward(x))
    assert y.shape == x.shape
    y.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for layer in (forward, backward) for p in layer.parameters())


def test_commutes_with_rolls_of_a_panorama_by_two():
    forward, x = Patchify(3, 5, surface=Equirectangular()), torch.randn(2, 3, 4, 8)
    torch.testing.assert_close(forward(x.roll(2, 3)), forward(x).roll(1, 3))
    backward, y = Unpatchify(5, 3, surface=Equirectangular()), forward(x)
    torch.testing.assert_close(backward(y.roll(1, 3)), backward(y).roll(2, 3))


def test_exports_every_even_size():
    layer = torch.nn.Sequential(SpaceToDepth(Equirectangular()), DepthToSpace(Equirectangular()))
    sizes = {axis: 2 * torch.export.Dim(name, min=2, max=64) for axis, name in ((2, "rows"), (3, "columns"))}
    program = torch.export.export(layer, (torch.randn(2, 3, 8, 16),), dynamic_shapes=(sizes,)).module()
    x = torch.randn(2, 3, 4, 10)
    assert torch.equal(program(x), x)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: SpaceToDepth()(torch.zeros(1, 1, 4, 5)), "must have an even size on every axis"),
        (lambda: SpaceToDepth(Icosphere(2)), "surface='icosphere:2,laplacian=mass': has no blocks of samples"),
        (lambda: DepthToSpace(Icosphere(1)), "has no blocks of samples"),
        (lambda: SpaceToDepth(Healpix(1)), "nside=1: has no coarser level"),
        (lambda: SpaceToDepth(Cubemap(3)), "size=3: must be even to be halved"),
        (lambda: DepthToSpace(Plane())(torch.zeros(1, 6, 2, 2)), "must have a multiple of 4 channels"),
    ],
)
def test_wrong_arguments_are_refused(build, text):
    with pytest.raises(InputError, match=text):
        build()
