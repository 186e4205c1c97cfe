from __future__ import annotations

import re

import pytest
import torch
from model_battery import ModelBattery

from omniconv.errors import InputError
from omniconv.models import Inpainter, PatchDiscriminator
from omniconv.nn.arguments import fitting_kernel, fitting_rate
from omniconv.surfaces import Cubemap, Equirectangular, Healpix, Icosahedron, Icosphere, Plane


@pytest.mark.slow
class TestPatchDiscriminator(ModelBattery):
    @staticmethod
    def build(surface):
        return PatchDiscriminator(3, surface, width=4, depth=2)

    def output_shape(self, surface, inputs):
        with torch.no_grad():
            return self.model(surface)(*inputs).shape


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_published_numbers_of_parameters():
    with torch.device("meta"):
        network = Inpainter(3, kind="deepfill").network
        assert count(network) == 4_052_478
        assert count(network.coarse) + count(network.coarse_middle) + count(network.coarse_decoder) == 1_631_151
        assert count(PatchDiscriminator(3)) == 5_946_816


def test_published_shapes():
    with torch.device("meta"):
        image, mask = torch.zeros(2, 3, 256, 256), torch.zeros(2, 1, 256, 256)
        discriminator = PatchDiscriminator(3)
        assert discriminator(image, mask).shape == (2, 4 * 4 * 256)
        assert discriminator.total_stride == 64


def test_second_stage_sees_the_completed_first_stage_and_trains_both():
    torch.manual_seed(0)
    network = Inpainter(3, kind="deepfill", width=4, rates=(2,))
    image, mask = network.example_inputs((16, 16))
    coarse, fine = network.stages(image, mask)
    assert not torch.equal(coarse, fine)
    fine.square().mean().backward()
    assert all(parameter.grad.count_nonzero() for parameter in network.network.coarse_decoder.head.parameters())


def test_scores_commute_with_rolls_and_depend_on_the_mask():
    torch.manual_seed(0)
    network = PatchDiscriminator(3, Equirectangular(), width=4, depth=2).double().eval()
    image, mask = network.double().example_inputs((8, 16))
    image, mask = image.double(), mask.double()
    scores = network(image, mask).view(1, 8, 2, 4)
    rolled = network(image.roll(4, -1), mask.roll(4, -1)).view(1, 8, 2, 4)
    torch.testing.assert_close(rolled, scores.roll(1, -1))
    assert not torch.equal(network(image, 1 - mask).view(1, 8, 2, 4), scores)


@pytest.mark.parametrize(
    ("surface", "rate", "kernel"),
    [
        (Plane(), 16, 5), (Equirectangular(), 16, 5), (Icosphere(3), 1, 3), (Icosahedron(3), 1, 3),
        (Healpix(8), 8, 5), (Healpix(1), 1, 3), (Cubemap(6), 4, 5),
        (Equirectangular(height=8, kernels="tangent"), 16, 5), (Equirectangular(height=8, kernels="rows"), 16, 5),
    ],
    ids=str,
)  # fmt: skip
def test_kernels_and_dilations_are_what_the_surface_allows(surface, rate, kernel):
    assert fitting_rate(surface, 16) == rate
    assert fitting_kernel(surface, 5) == kernel


def test_discriminator_has_as_many_layers_as_the_surface_allows():
    assert PatchDiscriminator(3, Icosphere(2), width=4).total_stride == 4


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"depth": 0}, "depth=0: must be a whole number from 1"),
        ({"width": 0}, "width=0: must be a whole number from 1"),
        ({"in_channels": 0}, "in_channels=0: must be a whole number from 1"),
        ({"surface": Icosphere(0)}, "depth=0: must be a whole number from 1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, text):
    with pytest.raises(InputError, match=re.escape(text)):
        PatchDiscriminator(**{"in_channels": 3, **arguments})


def test_wrong_masks_are_refused():
    with pytest.raises(InputError, match=re.escape("mask=(1, 1, 8, 9): must have the grid (8, 8)")):
        PatchDiscriminator(3, width=4, depth=2)(torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 9))
