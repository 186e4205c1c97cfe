"""All parts of an audit: measures, JSON data, verdicts, notes and the plot."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from panoramas import Constant, convolution, waves
from PIL import Image
from torch import nn

import omniconv as oc
from omniconv.audit import audit, border_effects, by_latitude, rotation_consistency, shift_error
from omniconv.audit.plot import draw
from omniconv.audit.verdict import level, percent


def levels(found):
    return {grade.subject: grade.level for grade in found.verdict}


def text_of(found, subject):
    return next(grade.text for grade in found.verdict if grade.subject == subject)


@pytest.fixture(scope="module")
def flat():
    truth = np.random.default_rng(0).integers(4, size=(2, 16, 32))
    return audit(convolution(), waves(), truth, rotations=4)


def test_parts_are_those_of_the_functions(flat):
    images = waves()
    assert repr(flat.shift) == repr(shift_error(convolution(), images))
    assert flat.rotation == rotation_consistency(convolution(), images, 4)
    assert flat.rotation_by_latitude == by_latitude(convolution(), panoramas=images, rotations=4)
    assert flat.position.poles == border_effects(convolution(), images, 4).poles


def test_data_is_json(flat):
    data = flat.as_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == json.loads(json.dumps(data))
    assert data["shift"]["exact"]["changed"]["at_seam"] == flat.shift.exact.changed.at_seam
    assert data["shift"]["exact"]["changed"]["by_distance"][-1] is None
    assert len(data["position"]["columns"]) == 32
    assert data["quality"]["measures"]["iou"] == list(flat.quality.measures["iou"])
    assert [grade["subject"] for grade in data["verdict"]] == ["seam", "poles", "rotation", "latitude"]


class Random(nn.Module):
    """Returns random numbers."""

    def forward(self, x):
        return torch.rand_like(x)


def test_random_outputs_are_noted(flat):
    assert flat.repeat_error == 0
    assert not any("Two runs" in note for note in flat.notes)
    found = audit(Random(), waves(), rotations=1)
    assert found.repeat_error > 0.5
    assert any("the network draws random numbers, which count as changes here" in note for note in found.notes)


def test_networks_that_return_images_are_compared_by_values():
    torch.manual_seed(0)
    network = oc.models.Autoencoder(3, 2, oc.Equirectangular(), width=2, depth=1).eval()
    found = audit(network, waves(height=8, width=16), rotations=1)
    assert found.shift.exact.changed is None
    assert found.shift.exact.difference.everywhere < 1e-4
    assert levels(found)["seam"] == "none"
    assert audit(network, waves(height=8, width=16), rotations=1, classes=True).shift.exact.changed is not None


def test_verdict_on_a_flat_network(flat):
    curve = flat.shift.exact.changed
    text = text_of(flat, "seam")
    assert f"{percent(curve.at_seam)} of the area changes class within 1 column (11°) of the seam" in text
    assert f"{percent(curve.elsewhere)} farther away: 90 % of all changes lie within" in text
    assert levels(flat)["seam"] == level(curve.at_seam - curve.elsewhere, has_class_scores=True) != "none"
    assert "Area-weighted mean IoU is lowest: " in text_of(flat, "latitude")
    assert str(flat.verdict[0]).startswith(f"Seam: {levels(flat)['seam']}. When the seam is moved, ")


def test_verdict_on_pointwise_networks():
    for network in (Constant(), nn.Sequential(nn.Conv2d(3, 1, 1))):
        found = audit(network, waves(height=32, width=64), rotations=4)
        assert levels(found)["seam"] == "none"
        assert levels(found)["rotation"] in ("none", "slight")
        assert text_of(found, "seam") == "Rolling the panorama by any number of columns does not change the output."


def test_verdict_on_the_stride():
    torch.manual_seed(0)
    network = oc.models.UNet(3, 1, surface=oc.Equirectangular(), width=4, depth=2)
    found = audit(network, waves(), rotations=2)
    assert levels(found)["seam"] == "none"
    assert "by multiples of 4 columns" in text_of(found, "seam")
    assert "that is not a multiple of the total stride (4), the output changes by" in text_of(found, "stride")


def test_verdict_on_one_output_per_image():
    found = audit(oc.models.Classifier(3, 4, width=4, depth=1), waves(), rotations=2)
    assert [*levels(found)] == ["seam", "stride", "rotation"]
    assert "of the panoramas change class, and scores change by" in text_of(found, "rotation")
    assert found.position is found.rotation_by_latitude is None


@pytest.mark.parametrize(("excess", "classes", "word"), [
    (-1.0, True, "none"), (0.0019, True, "none"), (0.002, True, "slight"), (0.01, True, "clear"),
    (0.05, True, "strong"),
    (0.0099, False, "none"), (0.01, False, "slight"), (0.05, False, "clear"), (0.2, False, "strong"),
])  # fmt: skip
def test_levels(excess, classes, word):
    assert level(excess, classes) == word


def test_notes_on_assumptions():
    network = nn.Sequential(convolution(stride=2), nn.ReLU(), nn.Upsample(scale_factor=2))
    found = audit(network, waves(height=20, width=30), rotations=1, stride=4)
    assert "The panoramas, 20 × 30, are not twice as wide as high: they are treated as full spheres" in found.notes[0]
    assert "total stride of 4 columns does not divide the width of 30" in found.notes[1]
    assert audit(convolution(), waves(), rotations=1).notes == []


def test_progress_is_reported():
    steps = []
    audit(nn.Identity(), waves(), rotations=3, step=lambda: steps.append(1))
    assert len(steps) == 2 * 3


@pytest.mark.parametrize(
    "network", [convolution(), convolution(outputs=1), oc.models.Classifier(3, 2, width=2, depth=1), Constant()]
)
def test_plot(network):
    found = audit(network, waves(), rotations=2)
    with Image.open(io.BytesIO(draw(found, waves()[0]))) as image:
        assert image.width == 1210
        assert len(image.convert("RGB").getcolors(2**20)) > 20
    assert draw(found) == draw(found)
