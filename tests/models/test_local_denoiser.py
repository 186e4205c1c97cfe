from __future__ import annotations

import re

import pytest
import torch
from model_battery import SHAPES, ModelBattery

from omniconv.errors import InputError
from omniconv.models import LocalDenoiser, load, save
from omniconv.summaries import summary
from omniconv.surfaces import Equirectangular, Icosphere, Plane


@pytest.mark.slow
class TestLocalDenoiser(ModelBattery):
    @staticmethod
    def build(surface):
        return LocalDenoiser(3, surface, classes=2, width=4, blocks=2)

    def output_shape(self, surface, inputs):
        return inputs[0].shape


def test_published_network_has_its_number_of_parameters():
    with torch.device("meta"):
        model = LocalDenoiser(3, classes=5)
    assert sum(parameter.numel() for parameter in model.parameters()) == 1_106_772


@pytest.mark.parametrize("surface", SHAPES, ids=str)
def test_output_is_of_the_size_of_the_image_on_every_surface(surface, tmp_path):
    torch.manual_seed(0)
    model = LocalDenoiser(3, surface, classes=2, width=4)
    inputs = model.example_inputs(SHAPES[surface], 2)
    y = model(*inputs)
    assert y.shape == inputs[0].shape
    y.square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    save(model, tmp_path / "model.safetensors")
    torch.testing.assert_close(load(tmp_path / "model.safetensors")(*inputs), y)
    assert model.total_stride == 1


def test_a_sample_depends_on_33_rows_and_columns():
    torch.manual_seed(0)
    model = LocalDenoiser(1, width=4).double()
    x = torch.randn(1, 1, 45, 45, dtype=torch.float64, requires_grad=True)
    model(x, torch.ones(1).double())[0, 0, 22, 22].backward()
    assert summary(model, (1, 45, 45)).receptive_field == (33, 33)
    reached = x.grad[0, 0] != 0
    assert reached.any(0).nonzero().flatten().tolist() == reached.any(1).nonzero().flatten().tolist()
    assert reached.any(0).nonzero().flatten().tolist() == list(range(6, 39))


def test_network_commutes_with_every_roll_of_the_panorama():
    torch.manual_seed(0)
    model = LocalDenoiser(2, Equirectangular(), width=4, blocks=2).double()
    x, sigma = torch.randn(2, 2, 8, 16).double(), torch.tensor([0.2, 3.0]).double()
    for shift in (1, 5):
        torch.testing.assert_close(model(x.roll(shift, -1), sigma), model(x, sigma).roll(shift, -1), rtol=0, atol=1e-9)


def test_scale_and_noise_level_matter_and_samples_depend_on_their_seed():
    torch.manual_seed(0)
    model = LocalDenoiser(1, classes=3, width=8)
    x, one = torch.randn(1, 1, 8, 8), torch.ones(1)
    outputs = [model(x, sigma * one, torch.tensor([scale])) for sigma, scale in ((1, 0), (1, 2), (3, 0))]
    assert all((outputs[0] - other).abs().max() > 1e-5 for other in outputs[1:])
    three = model.sample(3, label=1, steps=2, grid=8, generator=torch.Generator().manual_seed(0))
    again = model.sample(1, label=1, steps=2, grid=8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(three[:1], again, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"width": 5}, "width=5: must be even; use width=6"),
        ({"blocks": 1}, "blocks=1: must be a whole number from 2"),
        ({"sigma_data": 0}, "sigma_data=0: must be a number above 0"),
        ({"surface": "plane"}, "must be a surface"),
    ],
)
def test_wrong_arguments_raise(arguments, text):
    with pytest.raises(InputError, match=re.escape(text)):
        LocalDenoiser(**{"in_channels": 1, "surface": Plane(), **arguments})


def test_meshes_have_kernels_of_their_own():
    assert LocalDenoiser(1, Icosphere(1), width=4).network.blocks[0].depthwise.kernel_size == 3
