"""Differences that are noise are graded none; border effects are still found with one panorama and two rotations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from panoramas import Constant, convolution, waves
from torch import nn

import omniconv as oc
from omniconv.audit import audit
from omniconv.audit.difference import confidence
from omniconv.audit.shift import column_noise
from omniconv.errors import InputError

WITHOUT_SEAM = {
    "icosphere": lambda classes: oc.models.UNet(3, classes, surface=oc.Icosphere(2), width=4, depth=1),
    "healpix": lambda classes: oc.models.UNet(3, classes, surface=oc.Healpix(4), width=4, depth=1),
    "cubemap": lambda classes: oc.models.UNet(3, classes, surface=oc.Cubemap(8), width=4, depth=1),
    "circular": lambda classes: convolution("circular", outputs=classes),
}


def grades(network, count=1, rotations=2):
    found = audit(network, waves(count, height=32, width=64), rotations=rotations)
    return {grade.subject: grade for grade in found.verdict}


@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize("make", WITHOUT_SEAM.values(), ids=list(WITHOUT_SEAM))
def test_no_seam_is_named_on_surfaces_without_one(make, classes):
    for seed in range(2):
        torch.manual_seed(seed)
        assert grades(make(classes).eval())["seam"].level == "none"


@pytest.mark.parametrize(("count", "rotations"), [(1, 2), (2, 3)])
@pytest.mark.parametrize("classes", [1, 4])
def test_seam_of_zero_padding_is_found_in_any_case(classes, count, rotations):
    assert grades(convolution(outputs=classes), count, rotations)["seam"].level == "strong"


def test_one_output_per_image_on_a_mesh_has_no_grade_of_the_seam():
    network = oc.models.Classifier(3, 4, surface=oc.Icosphere(2), width=4, depth=1)
    grade = grades(network)["seam"]
    assert grade.level is None
    assert "a seam cannot be told from that with one output per image" in grade.text


def test_seam_in_the_noise_is_said_with_numbers():
    class Speckled(nn.Module):
        """Changes a tenth of the samples at random."""

        def forward(self, x):
            return x[:, :1] + 3 * (torch.rand_like(x[:, :1]) < 0.1)

    torch.manual_seed(1)
    found = audit(Speckled(), waves(1, height=32, width=64), rotations=2)
    seam, rotation = (next(grade for grade in found.verdict if grade.subject == name) for name in ("seam", "rotation"))
    assert seam.level == rotation.level == "none"


def test_noise_is_the_spread_of_columns_far_from_the_cuts():
    random = np.random.default_rng(0)
    column = np.arange(64)
    cuts = [8, 16, 24, 40, 48]
    moved = np.stack([(column + cut) % 64 for cut in cuts])
    distances = np.minimum.reduce([np.broadcast_to(column, moved.shape), 63 - column + 0 * moved, moved, 63 - moved])
    even = column_noise(np.full((5, 64), 0.2), distances, 2)
    assert even == pytest.approx(0, abs=1e-12)
    rates = random.uniform(0.1, 0.3, (5, 64))
    noise = column_noise(rates, distances, 2)
    assert 0.02 < noise < 0.5
    assert column_noise(rates + 10 * (distances < 2), distances, 2) == pytest.approx(noise)
    assert column_noise(rates[:, :8], distances[:, :8], 2) is None


def test_confidence_of_a_mean():
    assert confidence([0.5]) == 0
    assert confidence([0.1, np.nan, 0.1]) == 0
    assert confidence([0.0, 1.0]) == pytest.approx(12.706 * 0.5, rel=1e-3)


def test_constant_outputs_are_noted():
    assert audit(Constant(), waves(1), rotations=1).notes[0].startswith("The output is the same everywhere")
    assert audit(convolution(), waves(1), rotations=1).notes == []


def test_panoramas_of_several_sizes_are_refused():
    with pytest.raises(InputError, match="must all have one size; resize them"):
        audit(convolution(), [waves(1)[0], waves(1, height=32, width=64)[0]], rotations=1)
