"""Denoiser on every surface: size, symmetries of network and samples, sampling, inpainting."""

from __future__ import annotations

import math

import pytest
import torch
from model_battery import SHAPES, ModelBattery, every_surface
from torch import nn

import omniconv as oc
from omniconv.errors import InputError
from omniconv.generation.edm import karras_schedule
from omniconv.generation.samplers import heun
from omniconv.metrics.seams import seam_score
from omniconv.models import Denoiser
from omniconv.surfaces import Equirectangular, Healpix, Icosahedron, Icosphere, Plane

DDPM = {
    "patch": 1,
    "width": 128, "depth": 3, "blocks": 2, "attention": (1,), "middle_attention": True, "modulation": "add",
    "interpolation": "nearest", "dropout": 0.1,
}  # fmt: skip
PARAMETRIZATIONS = ("edm", "flow")
slow_surfaces = pytest.mark.parametrize(
    "surface", [pytest.param(surface, marks=pytest.mark.slow) for surface in SHAPES], ids=str
)
SIGMAS = karras_schedule(4)


def started(network, std=0.1):
    """Draw the weights that start at zero, so that every layer has an effect."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=std, generator=generator)
    return network


def build(surface=Plane(), channels=2, **options):  # noqa: B008
    torch.manual_seed(0)
    return started(Denoiser(channels, surface, **{"width": 4, **options})).double().eval()


def draw(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class DenoiserBattery(ModelBattery):
    def output_shape(self, surface, inputs):
        return inputs[0].shape


class TestDenoiser(DenoiserBattery):
    @staticmethod
    def build(surface):
        return started(Denoiser(3, surface, width=4))

    @slow_surfaces  # compilation of its 60 layers takes seconds
    def test_compiled_model_gives_the_same(self, surface):
        super().test_compiled_model_gives_the_same(surface)

    @slow_surfaces
    def test_exported_model_takes_any_batch_size(self, surface):
        super().test_exported_model_takes_any_batch_size(surface)


@pytest.mark.slow
class TestClassConditionalFlow(DenoiserBattery):
    @staticmethod
    def build(surface):
        options = {"parametrization": "flow", "modulation": "add", "multipliers": (1, 1)}
        return started(Denoiser(3, surface, classes=4, width=4, **options))


@pytest.mark.slow
class TestMagnitudePreservingDenoiser(DenoiserBattery):
    @staticmethod
    def build(surface):
        options = {"normalization": "weight", "middle_attention": True, "patch": 1}
        return started(Denoiser(3, surface, classes=4, width=4, **options))


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_published_network_has_its_number_of_parameters():
    with torch.device("meta"):
        assert count(Denoiser(3, **DDPM)) == 35_746_307


def test_small_network_has_a_bounded_cost():
    table = oc.summary(Denoiser(1), (1, 28, 28))
    assert table.parameters == 689_668
    assert 45e6 < table.multiply_adds < 50e6


def test_estimate_of_a_new_network_is_that_of_unit_noise_without_structure():
    """The last layer starts at zero, so that the estimate is the linear one of EDM, and 0 at t = 1 of a flow."""
    x, sigma = draw(2, 1, 6, 6), torch.tensor([0.5, 2.0], dtype=torch.float64)
    y = Denoiser(1, width=4).double()(x, sigma)
    torch.testing.assert_close(y, x * (0.25 / (0.25 + sigma**2)).view(-1, 1, 1, 1))
    y = Denoiser(1, width=4, parametrization="flow").double()(x, sigma)
    torch.testing.assert_close(y, x * (0.5 / (0.5 + sigma)).view(-1, 1, 1, 1))


@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
@pytest.mark.parametrize("scale", [0.1, 20.0])
def test_network_scales_with_the_standard_deviation_of_the_data(parametrization, scale):
    one, other = (build(parametrization=parametrization, sigma_data=std) for std in (0.5, 0.5 * scale))
    x, sigma = draw(2, 2, 8, 8), torch.tensor([0.1, 3.0], dtype=torch.float64)
    torch.testing.assert_close(other(scale * x, scale * sigma), scale * one(x, sigma))


@pytest.mark.parametrize("modulation", ["scale_shift", "add"])
def test_noise_level_and_class_change_the_estimate(modulation):
    network, x = build(classes=3, modulation=modulation), draw(1, 2, 8, 8).expand(4, -1, -1, -1)
    sigma, label = torch.tensor([0.5, 0.5, 0.6, 0.5], dtype=torch.float64), torch.tensor([0, 1, 0, 3])
    y = network(x, sigma, label)
    assert min((one - other).abs().max() for one, other in zip(y, y.roll(1, 0), strict=True)) > 1e-6


def through_sampler(network, x):
    with torch.no_grad():
        return heun(network, SIGMAS[0] * x, SIGMAS)


@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
@pytest.mark.parametrize("poles", ["over", "zeros", "reflect"])
def test_turned_noise_gives_the_turned_sample(poles, parametrization):
    network = build(Equirectangular(poles), parametrization=parametrization)
    x = draw(2, 2, 9, 16)
    y = through_sampler(network, x)
    for shift in (network.total_stride, 8, -network.total_stride):
        torch.testing.assert_close(through_sampler(network, x.roll(shift, -1)), y.roll(shift, -1), rtol=0, atol=1e-9)


@pytest.mark.parametrize("kernels", ["rows", "tangent"])
def test_turned_noise_gives_the_turned_sample_with_other_kernels(kernels):
    network, x = build(Equirectangular(height=8, kernels=kernels)), draw(1, 2, 8, 16)
    expected = through_sampler(network, x).roll(4, -1)
    torch.testing.assert_close(through_sampler(network, x.roll(4, -1)), expected, rtol=0, atol=1e-9)


def test_flat_convolutions_leave_a_seam():
    """With padding by zeros, turned noise gives another sample, so that the test above is no triviality."""
    network, x = build(Plane()), draw(1, 2, 8, 16)
    assert (through_sampler(network, x.roll(8, -1)) - through_sampler(network, x).roll(8, -1)).abs().max() > 1e-3


@pytest.mark.slow
def test_discontinuity_score_of_the_seam_is_that_of_other_columns():
    """Samples of networks with random weights: zero padding leaves a seam, a ratio of 1.5 with these weights."""
    ratios = []
    for surface in (Equirectangular(), Plane()):
        torch.manual_seed(0)
        network = started(Denoiser(1, surface, patch=1, width=8), std=0.3)
        found = seam_score(network.sample(48, steps=6, grid=(16, 32), generator=torch.Generator().manual_seed(0)))
        ratios.append((found.ratio - 1) * found.elsewhere / found.spread)
    assert abs(ratios[0]) < 2, ratios
    assert ratios[1] > 4, ratios


@pytest.mark.parametrize(
    ("surface", "turned"),
    [
        (Healpix(4), lambda x: x.unflatten(2, (3, 4, -1)).roll(1, dims=3).flatten(2)),
        (Icosahedron(2), lambda x: x.unflatten(-1, (4, 5, -1)).roll(1, -2).flatten(-3)),
    ],
    ids=["healpix by 90 degrees", "icosahedron by 72 degrees"],
)
@pytest.mark.parametrize("attention", [False, True])
def test_symmetry_of_a_surface_turns_the_sample(surface, turned, attention):
    """A cube map has no such law: the kernels of its upper and lower faces do not turn with a quarter turn."""
    network, x = build(surface, middle_attention=attention), draw(1, 2, *surface.shape)
    torch.testing.assert_close(
        through_sampler(network, turned(x)), turned(through_sampler(network, x)), rtol=0, atol=1e-9
    )


@every_surface
def test_sample_does_not_depend_on_the_batch(surface):
    network, calls = build(surface, 1, width=2, middle_attention=True), []
    options = {"steps": 2, "grid": SHAPES[surface] if surface.any_size else None}
    whole = network.sample(3, generator=torch.Generator().manual_seed(0), **options)
    parts = network.sample(
        3,
        generator=torch.Generator().manual_seed(0),
        batch_size=2,
        step=lambda *call: calls.append(call[:2]),
        **options,
    )
    first = network.sample(1, generator=torch.Generator().manual_seed(0), **options)
    assert whole.shape == (3, 1, *SHAPES[surface])
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-9)
    torch.testing.assert_close(first, whole[:1], rtol=0, atol=1e-9)
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (whole[0] - whole[1]).abs().max() > 1e-3


def test_sampling_leaves_mode_and_random_state_of_the_caller():
    network = build(dropout=0.5).train()
    state = torch.get_rng_state()
    generator = [torch.Generator().manual_seed(0) for _ in range(2)]
    one, other = (network.sample(1, steps=2, grid=(4, 4), generator=own) for own in generator)
    assert torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in network.modules())
    assert not one.requires_grad


def test_grid_is_that_of_the_training_unless_given():
    network = build()
    network.preprocessing = {"preparation": {"size": [4, 6]}}
    assert network.sample(1, steps=2).shape == (1, 2, 4, 6)
    assert network.sample(1, steps=2, grid=(5, 8)).shape == (1, 2, 5, 8)


def test_label_selects_the_class_and_guidance_leads_away_from_none():
    network, generator = build(classes=3), torch.Generator

    def sample(**options):
        return network.sample(2, steps=2, grid=(4, 4), generator=generator().manual_seed(0), **options)

    torch.testing.assert_close(sample(label=1), sample(label=[1, 1]))
    torch.testing.assert_close(sample(label=torch.tensor([1, 2]))[:1], sample(label=1)[:1])
    assert (sample(label=1) - sample(label=2)).abs().max() > 1e-6
    assert (sample(label=1, guidance=3) - sample(label=1)).abs().max() > 1e-6
    torch.testing.assert_close(sample(label=1, sampler="euler").shape, (2, 2, 4, 4))


@every_surface
def test_known_samples_are_returned_bit_for_bit(surface):
    network = build(surface, 1, width=2).float()
    x = torch.randn(3, 1, *SHAPES[surface], generator=torch.Generator().manual_seed(0))
    mask = torch.rand(3, 1, *SHAPES[surface], generator=torch.Generator().manual_seed(1)) < 0.4
    calls = []
    options = {"steps": 2, "resamplings": 2}
    with_nan = x.masked_fill(mask, math.nan)
    filled = network.inpaint(with_nan, mask, generator=torch.Generator().manual_seed(0), **options)
    assert torch.equal(filled[~mask], x[~mask])
    assert torch.isfinite(filled).all()
    parts = network.inpaint(
        x, mask.float(), generator=torch.Generator().manual_seed(0), batch_size=2, **options,
        step=lambda *call: calls.append(call[:2]),
    )  # fmt: skip
    torch.testing.assert_close(parts, filled, rtol=1e-4, atol=1e-4)
    assert calls == [(done, 8) for done in range(1, 9)]


@pytest.mark.parametrize(("value", "same"), [(0.0, True), (1.0, False)])
def test_masks_without_and_with_everything_to_fill(value, same):
    network, x = build(), draw(2, 2, 6, 6)
    filled = network.inpaint(x, torch.full((1, 1, 6, 6), value), steps=2, resamplings=1)
    assert torch.equal(filled, x) == same
    assert torch.isfinite(filled).all()


def test_autocast_computes_in_bfloat16():
    network, x, sigma = build().float(), draw(2, 2, 8, 8).float(), torch.tensor([0.1, 2.0])
    with torch.autocast("cpu", torch.bfloat16):
        y = network(x, sigma)
        drawn = network.sample(1, steps=2, grid=(4, 4))
    assert y.dtype == torch.float32
    assert torch.isfinite(drawn).all()
    assert (y - network(x, sigma)).square().mean() < 1e-3 * y.square().mean()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"in_channels": 0}, "in_channels=0: must be a whole number from 1"),
        ({"classes": -1}, "classes=-1: must be a whole number from 0"),
        ({"depth": 0}, "depth=0: must be a whole number from 1 to 10"),
        ({"depth": 3, "surface": Icosphere(2)}, "depth=3: must be at most"),
        ({"blocks": 0}, "blocks=0: must be a whole number from 1"),
        ({"multipliers": (1, 2, 2)}, "multipliers=.*: must have 2 numbers, one for each level of depth=1"),
        ({"multipliers": (1, 0)}, "multipliers=0: must be a whole number from 1"),
        ({"attention": (2,)}, "attention=.*: must be levels from 0, the finest, to depth=1, the coarsest"),
        ({"modulation": "film"}, "modulation='film': must be one of scale_shift, add"),
        ({"interpolation": "cubic"}, "mode='cubic': must be one of linear, nearest"),
        ({"dropout": 1}, "dropout=1: must be a number from 0 to below 1"),
        ({"parametrization": "ddpm"}, "parametrization='ddpm': must be one of edm, flow"),
        ({"sigma_data": 0}, "sigma_data=0: must be a number above 0"),
    ],
)
def test_wrong_arguments_raise(arguments, text):
    with pytest.raises(InputError, match=text):
        Denoiser(**{"in_channels": 3, "width": 4, **arguments})


X, SIGMA = torch.zeros(2, 2, 4, 4), torch.ones(2)


@pytest.mark.parametrize(
    ("classes", "arguments", "text"),
    [
        (0, (torch.zeros(2, 3, 4, 4), SIGMA), "must have 2 channels"),
        (0, (X, torch.ones(3)), "sigma=.*: must be floats .batch,., one noise level for each image"),
        (0, (X, torch.ones(2, dtype=torch.int64)), "sigma=.*: must be floats"),
        (0, (X, 0.5), "sigma=.*: must be a tensor"),
        (0, (X, SIGMA, torch.tensor([0, 1])), "label=.*: must be left out"),
        (3, (X, SIGMA), "label=None: is required"),
        (3, (X, SIGMA, torch.tensor([0.0, 1.0])), "label=.*: must be a tensor of integers"),
        (3, (X, SIGMA, torch.tensor([0])), "label=.*: must have 2 labels, one for each image"),
        (3, (X, SIGMA, torch.tensor([0, 4])), r"label=\[0, 4\]: must be from 0 to 3"),
    ],
)
def test_wrong_inputs_raise(classes, arguments, text):
    with pytest.raises(InputError, match=text):
        build(classes=classes).float()(*arguments)


@pytest.mark.parametrize(
    ("classes", "arguments", "text"),
    [
        (0, {"n": 0}, "n=0: must be a whole number from 1"),
        (0, {"batch_size": 0}, "batch_size=0: must be a whole number from 1"),
        (0, {"steps": 1}, "steps=1: must be a whole number from 2"),
        (0, {"grid": None}, "grid=None: is required"),
        (0, {"sampler": "ddim"}, "sampler='ddim': must be one of heun, euler"),
        (0, {"label": 1}, "label=.*: must be left out"),
        (0, {"guidance": 2}, "guidance=2.0: needs a network with classes"),
        (3, {"label": 3}, "label=3: must be from 0 to 2"),
        (3, {"label": [0]}, "label=.*: must be one class or 2"),
        (3, {"guidance": math.nan}, "guidance=nan: must be a finite number"),
    ],
)
def test_wrong_arguments_of_sampling_raise(classes, arguments, text):
    with pytest.raises(InputError, match=text):
        build(classes=classes).sample(**{"n": 2, "grid": (4, 4), "steps": 2, **arguments})


@pytest.mark.parametrize("shape", [(2, 4, 4), (2, 2, 4, 4), (3, 1, 4, 4), (2, 1, 4, 5)])
def test_masks_of_another_shape_raise(shape):
    with pytest.raises(InputError, match=r"mask=.*: must (be \(2, 1, 4, 4\), one value for|have the grid \(4, 4\) of)"):
        build().float().inpaint(X, torch.zeros(shape))
