from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from model_battery import SHAPES

from omniconv.errors import InputError
from omniconv.generation.diff_augment import DiffAugment
from omniconv.surfaces import Cubemap, Equirectangular, Healpix, Icosahedron, Icosphere, Plane

every_surface = pytest.mark.parametrize("surface", SHAPES, ids=str)
SPHERES = [surface for surface in SHAPES if surface.spherical]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(surface, batch=3):
    return torch.randn(batch, 3, *SHAPES[surface], generator=seeded(), dtype=torch.float64)


@every_surface
def test_transform_is_reproducible_and_differentiable(surface):
    augment = DiffAugment(surface)
    x = images(surface).requires_grad_()
    y = augment(x, seeded(1))
    assert y.shape == x.shape
    torch.testing.assert_close(y, augment(x, seeded(1)))
    assert (y - augment(x, seeded(2))).abs().max() > 0.1
    y.square().sum().backward()
    assert x.grad.isfinite().all()
    assert x.grad.abs().max() > 0


@pytest.mark.parametrize("surface", SPHERES, ids=str)
def test_translation_of_a_sphere_permutes_samples_of_equal_latitude(surface):
    latitude = torch.from_numpy(surface.directions(SHAPES[surface])[..., 2]).expand(8, 1, *SHAPES[surface])
    turn = DiffAugment(surface, ["translation"])
    torch.testing.assert_close(turn(latitude, seeded()), latitude, rtol=0, atol=1e-9)
    x = images(surface, 8)
    y = turn(x, seeded())
    torch.testing.assert_close(y.flatten(2).sort(2).values, x.flatten(2).sort(2).values)
    assert (y != x).any()


@pytest.mark.parametrize(
    ("surface", "rotations"), [(Cubemap(4), 4), (Healpix(4), 4), (Icosahedron(1), 5), (Icosphere(1), 2)], ids=str
)
def test_translation_draws_each_symmetry_about_the_axis(surface, rotations):
    x = torch.arange(float(np.prod(surface.shape))).expand(100, 1, -1).reshape(100, 1, *surface.shape)
    found = DiffAugment(surface, ["translation"])(x, seeded())
    assert len(found.flatten(1).unique(dim=0)) == rotations


def test_panoramas_are_rolled():
    x = images(Equirectangular(), 1)
    y = DiffAugment(Equirectangular(), ["translation"])(x, seeded())
    assert any(torch.equal(y, x.roll(shift, -1)) for shift in range(x.shape[-1]))


def test_translation_of_a_plane_is_a_shift_filled_with_zeros():
    x = torch.ones(200, 1, 16, 24)
    filled = DiffAugment(policy=["translation"])(x, seeded()) == 0
    rows, columns = filled.all(3).sum(2), filled.all(2).sum(2)
    assert sorted(rows.unique().tolist()) == [0, 1, 2]
    assert sorted(columns.unique().tolist()) == [0, 1, 2, 3]
    circular = DiffAugment(Plane(border="circular"), ["translation"])(x, seeded())
    torch.testing.assert_close(circular, x)


@every_surface
def test_cutout_sets_about_a_quarter_to_zero(surface):
    shape = SHAPES[surface]
    x = torch.ones(400, 1, *shape)
    kept = DiffAugment(surface, ["cutout"])(x, seeded())
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    weights = torch.from_numpy(surface.areas(shape)).float()
    cut = ((1 - kept) * weights).flatten(1).sum(1) / weights.sum()
    if surface.spherical:
        assert cut.mean().item() == pytest.approx(0.25, abs=0.02)
        assert cut.std() < 0.05
    else:  # windows that cross the edge are smaller
        assert cut.max().item() == pytest.approx(0.5**surface.ndim)
        assert cut.mean().item() == pytest.approx((7 / 16) ** surface.ndim, rel=0.1)


@every_surface
def test_colour_is_a_linear_map_of_each_image(surface):
    colour = DiffAugment(surface, ["colour"], std=0.5)
    x, y = images(surface), images(surface).flip(0)
    added = colour(x + y, seeded()) - colour(x, seeded()) - colour(y, seeded()) + colour(0 * x, seeded())
    torch.testing.assert_close(added, torch.zeros_like(x), rtol=0, atol=1e-9)
    constants = colour(torch.zeros(500, 3, *SHAPES[surface]), seeded()).flatten(1)
    torch.testing.assert_close(constants.std(1), torch.zeros(500), rtol=0, atol=1e-5)
    assert constants.abs().max().item() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"policy": ["color"]}, "policy='color': must be one of colour, translation, cutout; did you mean colour?"),
        ({"std": 0}, "std=0: must be above 0"),
    ],
)
def test_wrong_arguments_raise(arguments, text):
    with pytest.raises(InputError, match=re.escape(text)):
        DiffAugment(**arguments)
