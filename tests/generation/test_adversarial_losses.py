from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F

from omniconv.errors import InputError
from omniconv.generation.adversarial import (
    ADVERSARIAL_LOSSES,
    discriminator_loss,
    diversity,
    generator_loss,
    gradient_penalty,
)


def pair():
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(4, 2, 3, generator=generator, dtype=torch.float64) for _ in range(2))


def linear(x):
    return x.flatten(1) @ torch.arange(6.0, dtype=x.dtype)


def test_losses_are_the_published_formulas():
    real, fake = pair()
    one, other = linear(real), linear(fake)
    wanted = {
        "relativistic": (F.softplus(-(one - other)), F.softplus(-(other - one))),
        "hinge": ((1 - one).clamp_min(0) + (1 + other).clamp_min(0), -other),
        "non_saturating": (-F.logsigmoid(one) - F.logsigmoid(-other), -F.logsigmoid(other)),
    }
    assert wanted.keys() == ADVERSARIAL_LOSSES.keys()
    for loss, (of_discriminator, of_generator) in wanted.items():
        torch.testing.assert_close(discriminator_loss(linear, real, fake, loss=loss), of_discriminator.mean())
        torch.testing.assert_close(generator_loss(linear, real, fake, loss=loss), of_generator.mean())


def test_penalty_is_the_squared_gradient_of_real_and_generated_images():
    real, fake = pair()
    norm = torch.arange(6.0).double().square().sum()  # the same for all images, since scores are linear
    without = discriminator_loss(linear, real, fake)
    torch.testing.assert_close(discriminator_loss(linear, real, fake, penalty=0.2) - without, 0.2 / 2 * 2 * norm)
    x = real.requires_grad_()
    torch.testing.assert_close(gradient_penalty(x.square().sum((1, 2)), x), (2 * x).square().sum((1, 2)).mean())


def test_only_the_generators_loss_has_gradients_to_generated_images():
    real, fake = pair()
    fake.requires_grad_()
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    discriminator_loss(lambda x: weight * linear(x), real, fake, penalty=0.1).backward()
    assert fake.grad is None
    assert weight.grad is not None
    generator_loss(linear, real, fake).backward()
    assert fake.grad.abs().max() > 0


def test_labels_and_augmentation_reach_the_discriminator():
    real, fake = pair()
    seen = []

    def discriminator(images, label):
        seen.append(label.tolist())
        return linear(images)

    label = torch.arange(4)
    double = generator_loss(discriminator, real, fake, label, "hinge", augment=lambda x: 2 * x)
    assert seen == [[0, 1, 2, 3, 0, 1, 2, 3]]
    torch.testing.assert_close(double, 2 * generator_loss(linear, real, fake, loss="hinge"))


def test_collapsed_generator_is_detected():
    data = torch.randn(64, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    others = torch.randn(64, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    same = diversity(others, data)
    assert same.variance == pytest.approx(1, abs=0.1)
    assert same.duplicates < 0.1
    assert not same.collapsed
    assert diversity(data[:1] + 0.01 * others, data).collapsed
    two_modes = diversity(data[:2].repeat(32, 1, 1, 1) + 0.01 * others, data)
    assert two_modes.variance > 0.4
    assert two_modes.duplicates == pytest.approx(1)
    assert two_modes.collapsed


def test_diversity_counts_samples_by_area():
    data = torch.randn(16, 1, 4, generator=torch.Generator().manual_seed(0))
    samples, weights = data.clone(), torch.tensor([2.0, 2.0, 0.0, 0.0])
    samples[..., 2:] = 100 * torch.rand(16, 1, 2)
    assert diversity(samples, data, weights).variance == pytest.approx(1)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x: generator_loss(linear, x, x, loss="wgan"), "loss='wgan': must be one of relativistic, hinge"),
        (lambda x: discriminator_loss(linear, x, x, penalty=-1), "penalty=-1: must be 0 or above"),
        (lambda x: discriminator_loss(linear, x, x[:2]), "fake=2: must be as many as real images, 4"),
        (lambda x: diversity(x[:1], x), "samples=1: must be at least 2"),
    ],
)
def test_wrong_arguments_raise(call, text):
    with pytest.raises(InputError, match=re.escape(text)):
        call(pair()[0])
