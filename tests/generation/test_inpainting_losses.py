from __future__ import annotations

import pytest
import torch

from omniconv.generation.inpainting import (
    PartialConvLoss,
    TotalVariation,
    l1_loss,
    patch_discriminator_loss,
    patch_generator_loss,
    perceptual_loss,
    style_loss,
)
from omniconv.models import PatchDiscriminator
from omniconv.surfaces import Cubemap, Equirectangular, Healpix, Icosahedron, Icosphere, Plane

SHAPES = {
    Plane(1): (12,),
    Plane(): (8, 12),
    Equirectangular(): (8, 16),
    Equirectangular(height=8, kernels="rows"): (8, 16),
    Equirectangular(height=8, kernels="tangent"): (8, 16),
    Icosphere(1): (42,),
    Icosahedron(1): (80,),
    Healpix(2): (48,),
    Cubemap(4): (6, 4, 4),
}
every_surface = pytest.mark.parametrize("surface", SHAPES, ids=str)


def case(grid, seed=0):
    generator = torch.Generator().manual_seed(seed)
    prediction, true = torch.randn(2, 2, 3, *grid, generator=generator, dtype=torch.float64)
    mask = torch.zeros(2, 1, *grid, dtype=torch.float64)
    mask.flatten(2)[..., : mask[0].numel() // 4] = 1
    return prediction, true, mask


def features(image):
    return [image, image.square()[:, :2]]


def test_l1_is_the_sum_of_the_published_terms():
    prediction, true, mask = case((8, 12))
    error = (prediction.float() - true).abs()
    expected = ((1 - mask) * error).mean() + 6 * (mask * error).mean()
    torch.testing.assert_close(l1_loss(prediction, true, mask, hole=6.0), expected)
    torch.testing.assert_close(l1_loss(prediction, true, mask), error.mean())
    areas = torch.rand(8, 1) + 0.5
    torch.testing.assert_close(l1_loss(prediction, true, mask, areas=areas), (error * areas).mean())


def test_objective_is_the_published_one_on_a_plane():
    prediction, true, mask = case((8, 12))
    completed = torch.where(mask == 1, prediction, true)

    def gram(image):
        flat = image.flatten(2).float()
        return torch.einsum("bcn,bdn->bcd", flat, flat) / flat[0].numel()

    expected = l1_loss(prediction, true, mask, hole=6.0)
    for image in (prediction, completed):
        for one, other in zip(features(image), features(true), strict=True):
            expected = expected + 0.05 * (one - other).abs().mean() + 120 * (gram(one) - gram(other)).abs().mean()
    region = torch.nn.functional.max_pool2d(mask, 3, 1, 1)
    for one, other in ((completed[..., 1:], completed[..., :-1]), (completed[..., 1:, :], completed[..., :-1, :])):
        inside = region[..., 1:] * region[..., :-1] if one.shape[-1] < 12 else region[..., 1:, :] * region[..., :-1, :]
        expected = expected + 0.1 * ((one - other).abs() * inside).sum() / completed.numel()
    torch.testing.assert_close(PartialConvLoss(Plane(), features)(prediction, true, mask), expected)


@every_surface
def test_variation_is_zero_for_constants_and_without_a_hole_and_has_gradients(surface):
    x, _, mask = case(SHAPES[surface])
    variation = TotalVariation(surface).double()
    torch.testing.assert_close(variation(torch.full_like(x, 0.3), mask), torch.zeros(()).double(), atol=1e-12, rtol=0)
    assert variation(x, torch.zeros_like(mask)) == 0
    x.requires_grad_()
    variation(x, mask).backward()
    assert x.grad.isfinite().all()
    assert x.grad.count_nonzero() > 0


def test_variation_does_not_change_with_a_turn():
    x, _, mask = case((8, 16))
    variation = TotalVariation(Equirectangular())
    torch.testing.assert_close(variation(x.roll(5, -1), mask.roll(5, -1)), variation(x, mask))


def test_equal_images_have_no_loss_of_features():
    image = case((8, 12))[0]
    assert perceptual_loss(features(image), features(image)) == 0
    assert style_loss(features(image), features(image)) == 0


def test_hinge_losses_of_patches():
    torch.manual_seed(0)
    image, completed, mask = case((16, 16))
    network = PatchDiscriminator(3, width=4, depth=2).double().eval()
    completed.requires_grad_()
    real, fake = network(image, mask).float(), network(completed, mask).float()
    loss = patch_discriminator_loss(network, image, completed, mask)
    torch.testing.assert_close(loss, 0.5 * (1 - real).relu().mean() + 0.5 * (1 + fake).relu().mean())
    loss.backward()
    assert completed.grad is None
    torch.testing.assert_close(patch_generator_loss(network, image, completed, mask), -fake.mean())
