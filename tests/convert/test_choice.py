"""Conversions measured against perspective views: figures, recommendation, and refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import omniconv as oc
from omniconv.convert import ConversionFigures
from omniconv.convert.choice import recommend
from omniconv.errors import InputError
from omniconv.surfaces import panorama

HEIGHT = 48


@pytest.fixture(scope="module")
def panoramas():
    """Two smooth signals of directions, three channels each."""
    directions = panorama.pixel_directions(HEIGHT, 2 * HEIGHT)
    axes = np.random.default_rng(0).normal(0, 3, (2, 3, 3))
    return np.sin(np.einsum("hwd,ncd->nchw", directions, axes)).astype(np.float32)


class Calls(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def figures(function, panoramas, *names, **options):
    choice = oc.convert.choose(Calls(function), panoramas, names, **options)
    return choice, {entry.name: entry for entry in choice.figures}


BLUR = torch.ones(3, 1, 9, 9) / 81


def blur(x):
    return F.conv2d(x, BLUR, padding=4, groups=3)


@pytest.mark.parametrize("network", [lambda x: x, lambda x: x[..., 2:-2, 2:-2], lambda x: F.avg_pool2d(x, 2)])
def test_pointwise_outputs_agree_with_those_of_views_wherever_they_are(network, panoramas):
    """Bilinear interpolation is off by at most spacing² / 8 times the second derivative, of which there are two."""
    _, found = figures(network, panoramas, "poles=flat", "poles=over", classes=False)
    spacing, frequency = 2 * np.pi / panoramas.shape[-1], 9.0  # |axis| of the signals is below
    for entry in found.values():
        assert entry.middle < 2 * 2 * (2 * spacing * frequency) ** 2 / 8
        assert entry.sphere < 2 * 2 * (2 * spacing * frequency) ** 2 / 8
        assert entry.middle_change == 0


def test_closing_the_circle_mends_the_cut_and_leaves_the_middle(panoramas):
    choice, found = figures(blur, panoramas, "poles=flat", "poles=over", classes=False)
    flat, circular = found["flat"], found["poles=flat"]
    assert circular.cut < flat.cut / 3
    assert circular.middle == pytest.approx(flat.middle)
    assert circular.middle_change == 0
    assert choice.recommended == "poles=over"  # to a blur, zeros mean nothing: they only darken the poles
    assert found["poles=over"].bands[2] < circular.bands[2]


def test_a_network_that_reads_the_zeros_above_is_not_continued_over_the_pole(panoramas):
    """Its output is the distance from the first row, which zeros of the padding tell: everything changes otherwise."""

    def distance(x):
        inside = F.pad(torch.zeros_like(x[:, :1, :1]), (0, 0, 0, x.shape[2] - 1)) + 1
        below = F.max_pool2d(inside, (2 * x.shape[2] + 1, 3), 1, (x.shape[2], 1)) * 0
        edge = F.conv2d(inside, torch.ones(1, 1, 3, 1), padding=(1, 0))  # 2 at the first row, 3 inside
        return blur(x) + below + (edge.amin((2, 3), keepdim=True) - 2) * 5

    choice, found = figures(distance, panoramas, "poles=over", "poles=flat", classes=False)
    assert found["poles=over"].middle_change > 1 > found["poles=flat"].middle_change == 0
    assert found["poles=over"].middle > 1
    assert choice.recommended == "poles=flat"


def test_labels_are_compared_as_shares(panoramas):
    choice, found = figures(blur, panoramas, "poles=flat")
    assert choice.classes
    assert 0 < found["poles=flat"].cut < found["flat"].cut < 1
    (low, middle, high), areas = found["flat"].bands, [0.5, np.sqrt(0.75) - 0.5, 1 - np.sqrt(0.75)]
    assert found["flat"].sphere == pytest.approx(np.dot([low, middle, high], areas))


def test_recommendation_needs_an_unharmed_middle_and_a_better_sphere():
    def entry(name, sphere, middle, change=0.0):
        return ConversionFigures(name, sphere=sphere, middle=middle, middle_change=change)

    flat = entry("flat", 0.5, 0.4)
    assert recommend([flat, entry("a", 0.3, 0.45), entry("b", 0.31, 0.4)]) == "b"  # the middle of a is 12 % worse
    assert recommend([flat, entry("a", 0.3, 0.43), entry("b", 0.2, 0.6)]) == "a"
    assert recommend([flat, entry("a", 0.3, 0.4, 0.02), entry("b", 0.302, 0.4, 0.01)]) == "b"
    change = [
        entry("poles=over", 0.3, 0.4, 0.05),
        entry("poles=zeros", 0.4, 0.4, 0.004),
        entry("tangent", 0.35, 0.4, 0.3),
    ]
    assert recommend([flat, *change]) == "tangent"
    assert recommend([flat, *change[:2]]) == "poles=zeros"
    assert recommend([flat, entry("a", 0.6, 0.4), ConversionFigures("b", failure="no")]) == "flat"


def test_choice_is_printed_stored_and_applied(panoramas):
    network = nn.Conv2d(3, 2, 3, padding=1)
    steps = []
    choice = oc.convert.choose(network, panoramas, ["poles=over", "tangent"], step=lambda: steps.append(0))
    assert len(steps) == len(panoramas) * 3
    lines = str(choice).splitlines()
    assert lines[0] == ("2 panoramas of 48x96: share of labels that differ from the flat network on perspective views")
    names = ["conversion", "flat", "poles=over", "tangent", "recommended:", "rule:"]
    assert [line.split()[0] for line in lines[1:]] == names
    stored = json.loads(json.dumps(choice.as_dict(), allow_nan=False))
    assert stored["figures"][1]["name"] == "poles=over"
    converted = choice.convert(network, copy=True)
    assert type(network) is nn.Conv2d
    assert converted(torch.zeros(1, 3, HEIGHT, 2 * HEIGHT)).shape == (1, 2, HEIGHT, 2 * HEIGHT)


def test_candidates_that_fail_are_shown_with_the_reason(panoramas):
    odd = nn.Sequential(nn.Conv2d(3, 3, 3, 2, 1), nn.Conv2d(3, 3, 3, 2, 1), nn.Upsample(scale_factor=4))
    choice = oc.convert.choose(odd, panoramas[..., 1:-1, 2:-2], ["tangent", "poles=flat"])
    assert "height=46: becomes 23 rows" in choice.figures[1].failure
    assert "–" in str(choice)
    assert choice.as_dict()["figures"][1]["sphere"] is None


def test_wrong_arguments_are_refused(panoramas):
    network = nn.Conv2d(3, 2, 3, padding=1)
    with pytest.raises(InputError, match=r"panoramas=.*: must be twice as wide as high; give"):
        oc.convert.choose(network, panoramas[..., :50])
    with pytest.raises(InputError, match="candidates='pole=over': must be one of flat, poles=flat"):
        oc.convert.choose(network, panoramas, ["pole=over"])
    with pytest.raises(InputError, match="model='Conv2d': is converted already"):
        oc.convert.choose(oc.convert.to_equirectangular(network, copy=True), panoramas)
    pooled = nn.Sequential(network, nn.AdaptiveAvgPool2d(1))
    with pytest.raises(InputError, match=r"returns \(1, 2, 1, 1\) for one image, which is not a map"):
        oc.convert.choose(pooled, panoramas)
    with pytest.raises(InputError, match=r"output=.*: returns 4x4 for inputs of 48x96 and 31x31; choose"):
        oc.convert.choose(nn.Sequential(network, nn.AdaptiveAvgPool2d(4)), panoramas)
    with pytest.raises(InputError, match="cannot take an image of 31x31"):
        oc.convert.choose(nn.Conv2d(5, 2, 3), panoramas)
