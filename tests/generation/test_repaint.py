"""Inpainting by a denoiser, on a Gaussian field of which the conditional distribution is known."""

from __future__ import annotations

import pytest
import torch

from omniconv.errors import InputError
from omniconv.generation.edm import karras_schedule
from omniconv.generation.noise import SampleNoise
from omniconv.generation.repaint import _visits, repaint

POSITIONS = torch.arange(8, dtype=torch.float64)
COVARIANCE = torch.exp(-((POSITIONS[:, None] - POSITIONS).abs()) / 4)
HOLE = torch.tensor([0, 0, 1, 1, 1, 0, 0, 1], dtype=torch.float64)
KNOWN = torch.tensor([0.5, 0.8, 0, 0, 0, -1.0, -0.6, 0], dtype=torch.float64)


def denoise(x, sigma):
    """Return the posterior mean of a Gaussian vector with noise; one level for all samples."""
    gain = torch.linalg.solve(COVARIANCE + sigma[0] ** 2 * torch.eye(8, dtype=torch.float64), COVARIANCE)
    return x @ gain


def conditional():
    """Return mean and covariance of the samples in the hole given the others."""
    hole, known = HOLE.bool(), ~HOLE.bool()
    gain = torch.linalg.solve(COVARIANCE[known][:, known], COVARIANCE[known][:, hole]).T
    return gain @ KNOWN[known], COVARIANCE[hole][:, hole] - gain @ COVARIANCE[known][:, hole]


def fill(count=500, steps=36, **options):
    noise = SampleNoise(range(count), (1, 8), dtype=torch.float64)
    image = KNOWN.expand(count, 1, 8)
    return repaint(denoise, image, HOLE, karras_schedule(steps, sigma_data=1.0), noise.draw, **options)


def test_filled_samples_have_the_conditional_distribution():
    mean, covariance = conditional()
    filled = fill(resamplings=10)[:, 0, HOLE.bool()]
    torch.testing.assert_close(filled.mean(0), mean, rtol=0, atol=0.1)
    torch.testing.assert_close(filled.T.cov(), covariance, rtol=0, atol=0.1)


def test_repetitions_bring_the_distribution_nearer():
    mean, _ = conditional()
    errors = [(fill(resamplings=count)[:, 0, HOLE.bool()].mean(0) - mean).abs().max() for count in (1, 10)]
    assert errors[1] < errors[0] / 3


@pytest.mark.parametrize("jump", [1, 4])
def test_known_samples_are_returned_bit_for_bit(jump):
    result = fill(3, resamplings=2, jump=jump)
    assert torch.equal(result[..., ~HOLE.bool()], KNOWN[~HOLE.bool()].expand(3, 1, -1))
    assert torch.isfinite(result).all()


def test_order_of_the_noise_levels():
    assert _visits(4, 1, 1) == [0, 1, 2, 3, 4]
    assert _visits(3, 2, 1) == [0, 1, 0, 1, 2, 1, 2, 3, 2, 3]
    assert _visits(5, 2, 3) == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 3, 4, 5]


def test_callback_counts_the_evaluations():
    calls = []
    fill(2, steps=4, resamplings=3, step=lambda done, total, denoised: calls.append((done, total, denoised.shape)))
    assert calls == [(done, 12, (2, 1, 8)) for done in range(1, 13)]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"resamplings": 0}, "resamplings=0: must be a whole number from 1"),
        ({"jump": 0}, "jump=0: must be a whole number from 1"),
    ],
)
def test_wrong_arguments_raise(options, text):
    with pytest.raises(InputError, match=text):
        fill(1, **options)
