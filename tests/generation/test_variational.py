from __future__ import annotations

import math
import re

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from omniconv.errors import InputError
from omniconv.generation import variational
from omniconv.generation.variational import draw_latent, gaussian_log_likelihood, kl_loss, latent_units


def moments(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator).double(), torch.randn(shape, generator=generator).double()


def test_divergence_is_that_of_normal_distributions():
    mean, log_variance = moments(4, 3, 2)
    wanted = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(variational.kl_divergence(mean, log_variance), wanted)
    torch.testing.assert_close(kl_loss(mean, log_variance, beta=2), 2 * wanted.mean(0).sum())


def test_free_bits_cost_a_constant_without_gradient():
    mean = torch.tensor([[0.1, 3.0], [-0.1, 3.0]], requires_grad=True)
    loss = kl_loss(mean, torch.zeros(2, 2), free_bits=0.5)
    loss.backward()
    torch.testing.assert_close(loss.detach(), torch.tensor(0.5 + 4.5))
    torch.testing.assert_close(mean.grad, torch.tensor([[0.0, 1.5], [0.0, 1.5]]))


def test_drawn_latents_have_the_moments_and_carry_gradients():
    mean, log_variance = torch.full((20_000, 1), 2.0), torch.full((20_000, 1), math.log(0.25), requires_grad=True)
    drawn = draw_latent(mean, log_variance, torch.Generator().manual_seed(0))
    assert drawn.mean().item() == pytest.approx(2, abs=0.02)
    assert drawn.std().item() == pytest.approx(0.5, abs=0.01)
    drawn.sum().backward()
    torch.testing.assert_close(log_variance.grad, (drawn.detach() - mean) / 2)


def test_gaussian_likelihood_is_that_of_normal_distributions():
    image, reconstruction = moments(3, 2, 4)
    wanted = Normal(reconstruction, 0.7).log_prob(image).flatten(1).sum(1).mean()
    torch.testing.assert_close(gaussian_log_likelihood(image, reconstruction, 0.7), wanted)


def test_unknown_sigma_is_the_most_likely_one():
    image, reconstruction = moments(3, 2, 4)
    best = gaussian_log_likelihood(image, reconstruction)
    sigma = (image - reconstruction).square().mean().sqrt().item()
    torch.testing.assert_close(best, gaussian_log_likelihood(image, reconstruction, sigma))
    assert all(best > gaussian_log_likelihood(image, reconstruction, factor * sigma) for factor in (0.9, 1.1))


def test_bernoulli_likelihood_is_that_of_bernoulli_distributions():
    _, logits = moments(3, 2, 4)
    image = torch.rand(3, 2, 4).double().round()
    wanted = torch.distributions.Bernoulli(logits=logits).log_prob(image).flatten(1).sum(1).mean()
    torch.testing.assert_close(variational.bernoulli_log_likelihood(image, logits), wanted)


@pytest.mark.parametrize(
    "likelihood",
    [lambda *x: gaussian_log_likelihood(*x[:2], 1.0, x[2]), lambda *x: variational.bernoulli_log_likelihood(*x)],
)
def test_samples_count_by_their_weights(likelihood):
    image, other = torch.rand(3, 2, 4).double(), torch.rand(3, 2, 4).double()
    weights = torch.tensor([2.0, 2.0, 0.0, 0.0]).double()
    changed = other.clone()
    changed[..., 2:] += 1
    torch.testing.assert_close(likelihood(image, other, weights), likelihood(image, changed, weights))
    uniform = torch.ones(4).double()
    torch.testing.assert_close(likelihood(image, other, uniform), likelihood(image, other, None))


@pytest.mark.parametrize("extra", [(), (5,), (2, 3)])
def test_active_units_are_those_that_depend_on_the_image(extra):
    means = 0.01 * torch.randn(64, 4, *extra, generator=torch.Generator().manual_seed(0))
    assert latent_units(means).collapsed
    means[:, 1] += torch.linspace(-1, 1, 64).view(-1, *[1] * len(extra))
    units = latent_units(means)
    assert (units.active, units.total, units.collapsed) == (1, 4, False)
    assert units.variance.argmax() == 1


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x: kl_loss(x, x, beta=-1), "beta=-1: must be 0 or above"),
        (lambda x: kl_loss(x, x, free_bits=math.nan), "free_bits=nan: must be 0 or above"),
        (lambda x: gaussian_log_likelihood(x, x, 0), "sigma=0: must be above 0"),
    ],
)
def test_wrong_arguments_raise(call, text):
    with pytest.raises(InputError, match=re.escape(text)):
        call(torch.zeros(2, 3))
