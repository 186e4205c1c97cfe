from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from model_battery import SHAPES, ModelBattery, every_surface
from test_autoencoder import turn

from omniconv.errors import InputError
from omniconv.generation.adversarial import discriminator_loss, generator_loss, gradient_penalty
from omniconv.models import Discriminator, Generator
from omniconv.surfaces import Cubemap, Equirectangular, Healpix, Icosahedron, Icosphere, Plane


def randomized(model):
    """Draw the weights that start at zero, so that every layer counts."""
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3)
    return model


class TestGenerator(ModelBattery):
    @staticmethod
    def build(surface):
        return randomized(Generator(2, 3, surface, width=4, depth=2, blocks=1))

    def output_shape(self, surface, inputs):
        latent = inputs[0]
        grid = [4 * size for size in latent.shape[2:]] if surface.any_size else surface.shape
        return (latent.shape[0], 2, *grid)

    @every_surface
    def test_total_stride_is_that_of_the_coarsest_layer(self, surface):
        assert self.model(surface).total_stride == 4


class TestDiscriminator(ModelBattery):
    @staticmethod
    def build(surface):
        return randomized(Discriminator(3, surface, width=4, depth=2, blocks=1))

    def output_shape(self, surface, inputs):
        return inputs[0].shape[:1]

    @pytest.mark.slow  # its layers are those of the generator
    @every_surface
    def test_compiled_model_gives_the_same(self, surface):
        self.compare_with_compiled(surface, "aot_eager")


def test_published_networks_have_their_numbers_of_parameters():
    with torch.device("meta"):
        generator = Generator(3, 64, latent="vector", size=32, width=(128,) * 4)
        discriminator = Discriminator(3, head="basis", size=32, width=(128,) * 4)
    count = [sum(parameter.numel() for parameter in model.parameters()) for model in (generator, discriminator)]
    assert count == [833_920, 825_856]


@pytest.mark.parametrize("surface", SHAPES, ids=str)
def test_networks_of_one_size_and_with_classes_on_every_surface(surface):
    size = SHAPES[surface] if surface.any_size else None
    generator = Generator(3, 5, surface, classes=4, latent="vector", size=size, width=4, depth=2)
    discriminator = Discriminator(3, surface, classes=4, head="basis", size=size, width=4, depth=2)
    latent, label = generator.example_inputs(batch=2)
    images = generator(latent, label)
    assert images.shape == (2, 3, *SHAPES[surface])
    assert discriminator(images, label).shape == (2,)
    example = discriminator.example_inputs(SHAPES[surface], 3)
    assert [x.shape for x in example] == [(3, 3, *SHAPES[surface]), (3,)]


@pytest.mark.parametrize("surface", [Equirectangular(), Equirectangular(height=8, kernels="tangent")], ids=str)
def test_networks_commute_with_rolls_of_the_panorama(surface):
    torch.manual_seed(0)
    generator = randomized(Generator(2, 3, surface, width=4, depth=2)).double()
    discriminator = randomized(Discriminator(2, surface, width=4, depth=2)).double()
    latent = torch.randn(2, 3, 2, 4).double()
    images = generator(latent)
    for shift in (1, 3):
        moved = generator(latent.roll(shift, -1))
        torch.testing.assert_close(moved, images.roll(4 * shift, -1), rtol=0, atol=1e-9)
        torch.testing.assert_close(discriminator(moved), discriminator(images), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("surface", "angle"), [(Healpix(4), np.pi / 2), (Icosahedron(2), 2 * np.pi / 5), (Icosphere(2), np.pi)], ids=str
)
def test_networks_commute_with_rotations_that_permute_the_samples(surface, angle):
    torch.manual_seed(0)
    generator = randomized(Generator(2, 3, surface, width=4, depth=2)).double()
    discriminator = randomized(Discriminator(2, surface, width=4, depth=2)).double()
    coarse = surface.coarser().coarser()
    latent = torch.randn(2, 3, *coarse.shape).double()
    images, moved = generator(latent), generator(turn(latent, coarse, angle))
    torch.testing.assert_close(moved, turn(images, surface, angle), rtol=0, atol=1e-9)
    torch.testing.assert_close(discriminator(moved), discriminator(images), rtol=0, atol=1e-9)


SMALL = {
    Plane(): (4, 4), Equirectangular(): (4, 8), Equirectangular(height=4, kernels="tangent"): (4, 8),
    Equirectangular(height=4, kernels="rows"): (4, 8), Icosphere(1): (42,), Icosahedron(1): (80,), Healpix(2): (48,),
    Cubemap(2): (6, 2, 2),
}  # fmt: skip


@pytest.mark.parametrize("surface", SMALL, ids=str)
def test_gradients_of_the_penalty_are_exact(surface):
    torch.manual_seed(0)
    model = randomized(Discriminator(1, surface, width=2, depth=1, blocks=1, expansion=1)).double()
    images = torch.randn(2, 1, *SMALL[surface], dtype=torch.float64)
    weight = model.stages[0][0].conv.weight

    def penalty(value):
        x = images.clone().requires_grad_()
        return gradient_penalty(torch.func.functional_call(model, {"stages.0.0.conv.weight": value}, (x,)), x)

    direction = torch.randn_like(weight)
    value = weight.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(penalty(value), value)
    step = 1e-5
    numeric = (penalty(weight + step * direction) - penalty(weight - step * direction)) / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), numeric.detach(), rtol=1e-4, atol=1e-8)
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("surface", [Plane(), Icosphere(1), Healpix(2)], ids=str)
def test_scores_have_second_derivatives(surface):
    torch.manual_seed(0)
    model = randomized(Discriminator(1, surface, width=1, depth=1, blocks=1, expansion=1)).double()
    x = torch.randn(1, 1, *SMALL[surface], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(model, (x,), fast_mode=True)


def test_samples_depend_on_their_seeds_only():
    torch.manual_seed(0)
    model = randomized(Generator(1, 2, classes=3, width=4, depth=2)).train()

    def sample(n, **options):
        return model.sample(n, generator=torch.Generator().manual_seed(3), grid=(9, 12), **options)

    five = sample(5, batch_size=2)
    assert five.shape == (5, 1, 9, 12)
    torch.testing.assert_close(five[:3], sample(3), rtol=1e-5, atol=1e-6)
    same = sample(2, label=1)
    torch.testing.assert_close(same, sample(2, label=torch.tensor([1, 1])))
    assert (same - sample(2, label=2)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: Generator(1, latent="vector"), "size=None: is required with latent='vector' on plane"),
        (lambda: Generator(1, size=8), "size=(8): is used with latent='vector' only"),
        (lambda: Discriminator(1, size=8), "size=(8): is used with head='basis' only"),
        (lambda: Discriminator(1, head="last"), "head='last': must be one of mean, basis"),
        (lambda: Generator(1, width=(4, 4)), "width=(4, 4): must be one number or 4, one for each size"),
        (lambda: Generator(1, blocks=0), "blocks=0: must be a whole number from 1"),
        (lambda: Generator(1, 2, width=4, depth=1, classes=3).sample(2, 3, grid=8), "label=3: must be from 0 to 2"),
        (lambda: Generator(1, 2, width=4, depth=1).sample(2, 0, grid=8), "must be left out without classes"),
        (
            lambda: Generator(1, 2, latent="vector", size=8, width=4, depth=1).sample(2, grid=9),
            "grid=9: must be (8, 8), the only size of this network",
        ),
        (
            lambda: Discriminator(1, width=4, depth=1, classes=3)(torch.zeros(1, 1, 8, 8)),
            "label=None: is required, one of 3 classes for each image",
        ),
        (
            lambda: Discriminator(1, width=4, depth=1, head="basis", size=8)(torch.zeros(1, 1, 16, 16)),
            "must become a signal (4, 4) on the coarsest surface",
        ),
    ],
)
def test_wrong_arguments_raise(call, text):
    with pytest.raises(InputError, match=re.escape(text).replace(r"\(8\)", r"\(?8\)?")):
        call()


@pytest.mark.parametrize("loss", ["relativistic", "hinge", "non_saturating"])
def test_a_few_steps_move_the_generator_towards_the_data(loss):
    torch.manual_seed(0)
    generator, discriminator = (
        model(1, **options, width=4, depth=1, blocks=1)
        for model, options in ((Generator, {"latent_channels": 4}), (Discriminator, {}))
    )
    optimizers = [torch.optim.Adam(model.parameters(), 5e-3, betas=(0.0, 0.9)) for model in (generator, discriminator)]
    real = 2 + 0.1 * torch.randn(16, 1, 8, 8)

    def distance():
        return float((generator.sample(16, generator=torch.Generator().manual_seed(0), grid=8).mean() - 2).abs())

    before = distance()
    for _ in range(30):
        fake = generator(torch.randn(16, 4, 4, 4))
        optimizers[1].zero_grad()
        discriminator_loss(discriminator, real, fake, loss=loss, penalty=0.1).backward()
        optimizers[1].step()
        optimizers[0].zero_grad()
        generator_loss(discriminator, real, fake, loss=loss).backward()
        optimizers[0].step()
    assert distance() < 0.7 * before
