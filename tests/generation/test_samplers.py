"""Samplers on Gaussian data, of which the denoiser and the solution of the ODE are known."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from omniconv.errors import InputError
from omniconv.generation.edm import karras_schedule, preconditioning
from omniconv.generation.edm import loss_weight as edm_weight
from omniconv.generation.edm import training_noise_levels as edm_levels
from omniconv.generation.flow import flow_schedule, flow_variables, time_to_noise_level
from omniconv.generation.flow import loss_weight as flow_weight
from omniconv.generation.flow import training_noise_levels as flow_levels
from omniconv.generation.noise import SampleNoise, sample_seeds
from omniconv.generation.samplers import euler, heun

STD = torch.tensor([0.5, 2.0, 0.01], dtype=torch.float64).view(1, 3, 1)
MEAN = torch.tensor([0.0, -1.0, 0.3], dtype=torch.float64).view(1, 3, 1)


def denoise(x, sigma):
    """Return the posterior mean of normal samples of ``MEAN`` and ``STD``, which differ between channels."""
    variance = sigma.view(-1, 1, 1).square()
    return (STD**2 * x + variance * MEAN) / (STD**2 + variance)


def exact(x, first, last):
    """Return the solution of the probability-flow ODE from noise level ``first`` to ``last``."""
    return MEAN + (x - MEAN) * torch.sqrt((STD**2 + last**2) / (STD**2 + first**2))


def start(sigma):
    return sigma * torch.randn(4, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("sampler", "order"), [(euler, 1), (heun, 2)])
def test_error_falls_by_the_order_of_the_sampler(sampler, order):
    errors = []
    for steps in (40, 80, 160):
        sigmas = karras_schedule(steps, sigma_max=8.0)[:-1]  # without the step to 0, which is Euler's
        x = start(sigmas[0])
        errors.append((sampler(denoise, x, sigmas) - exact(x, sigmas[0], sigmas[-1])).abs().max().item())
    rates = [math.log2(one / other) for one, other in pairwise(errors)]
    assert all(rate == pytest.approx(order, abs=0.25) for rate in rates), rates


def test_eighteen_steps_of_heun_give_the_distribution_of_the_data():
    x = start(80.0)
    y = heun(denoise, x, karras_schedule(18))
    torch.testing.assert_close(y[:, :1], exact(x, 80.0, 0.0)[:, :1], rtol=0.07, atol=0.01)


def test_flow_goes_the_same_way_as_the_denoiser():
    """An Euler step of the velocity in t is one of the denoiser in sigma; both need not be of small size."""
    sigmas = flow_schedule(7)
    x = start(sigmas[0])
    t = torch.linspace(160 / 161, 0, 8, dtype=torch.float64)
    z = x * (1 - t[0])
    for one, other in pairwise(t):
        estimate = denoise(z / (1 - one), time_to_noise_level(one).expand(len(z)))
        z = z + (other - one) * (z - estimate) / one
    torch.testing.assert_close(euler(denoise, x, sigmas), z, rtol=1e-12, atol=1e-12)


def test_flow_and_edm_schedules_end_in_the_same_samples():
    x = start(80.0)
    fine = heun(denoise, x, karras_schedule(400))
    levels = flow_schedule(400, sigma_data=0.5)
    torch.testing.assert_close(heun(denoise, x, levels), fine, rtol=2e-3, atol=2e-3)


def test_callback_gets_every_step_and_estimate():
    calls = []
    sigmas = karras_schedule(3)
    y = heun(denoise, start(80.0), sigmas, step=lambda done, total, denoised: calls.append((done, total, denoised)))
    assert [call[:2] for call in calls] == [(1, 3), (2, 3), (3, 3)]
    assert calls[-1][2] is y


@pytest.mark.parametrize("sigmas", [[1.0], [1.0, 1.0], [0.5, 1.0], [1.0, -1.0], [math.inf, 1.0], [math.nan, 0.0]])
def test_levels_that_do_not_decrease_raise(sigmas):
    with pytest.raises(InputError, match="must be at least 2 finite numbers that decrease"):
        heun(denoise, start(1.0), sigmas)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"steps": 1}, "steps=1: must be a whole number from 2"),
        ({"steps": 20_000}, "steps=20000: must be at most 10,000"),
        ({"sigma_min": 0}, "sigma_min=0: must be above 0"),
        ({"sigma_max": 0.001}, "sigma_max=0.001: must be above sigma_min=0.002"),
        ({"rho": 0}, "rho=0: must be above 0"),
    ],
)
def test_wrong_arguments_of_the_schedule_raise(arguments, text):
    with pytest.raises(InputError, match=text):
        karras_schedule(**arguments)


def test_schedule_is_the_published_one():
    sigmas = karras_schedule(18)
    expected = [(80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(18)]
    torch.testing.assert_close(sigmas, torch.tensor([*expected, 0.0], dtype=torch.float64))


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_everything_scales_with_the_standard_deviation_of_the_data(scale):
    sigma = torch.tensor([0.01, 0.5, 7.0], dtype=torch.float64)
    one, other = preconditioning(sigma), preconditioning(scale * sigma, 0.5 * scale)
    for own, factor, unit in zip(one, other, (1, scale, 1 / scale, 1), strict=True):
        torch.testing.assert_close(factor, unit * own)
    torch.testing.assert_close(scale**2 * edm_weight(scale * sigma, 0.5 * scale), edm_weight(sigma))
    torch.testing.assert_close(scale**2 * flow_weight(scale * sigma, scale), flow_weight(sigma))
    torch.testing.assert_close(karras_schedule(5, 0.5 * scale), scale * karras_schedule(5))
    torch.testing.assert_close(flow_schedule(5, scale), scale * flow_schedule(5))
    for draw, own_std in ((edm_levels, 0.5), (flow_levels, 1.0)):
        levels = [draw(3, torch.Generator().manual_seed(0), sigma_data=std) for std in (own_std, scale * own_std)]
        torch.testing.assert_close(levels[1], scale * levels[0])


def test_preconditioning_keeps_unit_variance():
    """Inputs and targets of the network have variance 1 at every noise level (EDM, appendix B.6)."""
    sigma = torch.logspace(-2, 2, 7, dtype=torch.float64)
    skip, out, scale, _ = preconditioning(sigma, 0.7)
    torch.testing.assert_close(scale**2 * (0.7**2 + sigma**2), torch.ones_like(sigma))
    target = ((1 - skip) ** 2 * 0.7**2 + skip**2 * sigma**2) / out**2
    torch.testing.assert_close(target, torch.ones_like(sigma))
    torch.testing.assert_close(edm_weight(sigma, 0.7), 1 / out**2)


def test_weighted_error_of_the_image_is_that_of_the_velocity():
    sigma = torch.tensor([0.1, 1.0, 9.0], dtype=torch.float64)
    t, scale, _ = flow_variables(sigma)
    image, noise, velocity = torch.randn(3, 3, dtype=torch.float64)
    z = scale * (image + sigma * noise)
    error = (z - t * velocity) - image
    torch.testing.assert_close(flow_weight(sigma) * error**2, (velocity - (noise - image)) ** 2)
    torch.testing.assert_close(time_to_noise_level(t), sigma)


def test_training_levels_have_the_published_distribution():
    levels = edm_levels(20_000, torch.Generator().manual_seed(0)).log()
    assert levels.mean() == pytest.approx(-1.2, abs=0.05)
    assert levels.std() == pytest.approx(1.2, abs=0.05)
    t = flow_variables(flow_levels(20_000, torch.Generator().manual_seed(0))).t
    assert torch.logit(t).std() == pytest.approx(1, abs=0.05)


def test_noise_of_a_sample_depends_on_its_seed_only():
    seeds = sample_seeds(5, torch.Generator().manual_seed(3))
    whole, part = SampleNoise(seeds, (2, 4)), SampleNoise(seeds[3:], (2, 4))
    for _ in range(2):
        assert torch.equal(whole.draw()[3:], part.draw())
    assert SampleNoise(seeds, (2, 4), dtype=torch.float64).draw().dtype == torch.float64


def test_more_samples_start_with_the_same_ones():
    assert sample_seeds(2, torch.Generator().manual_seed(0)) == sample_seeds(4, torch.Generator().manual_seed(0))[:2]
    assert len(set(sample_seeds(100, torch.Generator().manual_seed(0)))) == 100
