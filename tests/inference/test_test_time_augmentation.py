from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from omniconv import surface
from omniconv.cli import main
from omniconv.data.preprocessing import Preprocessing
from omniconv.errors import InputError
from omniconv.inference.predictor import Predictor
from omniconv.inference.test_time_augmentation import transforms
from omniconv.models import Classifier, UNet
from omniconv.surfaces.resampling.rotation import rotate
from omniconv.tasks import get_task

SIZE = (16, 32)
BY_QUARTER = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])


def image(size=SIZE):
    return np.random.default_rng(0).random((3, *size), np.float32)


def quarter(x):
    return np.ascontiguousarray(np.rot90(x, 1, (-2, -1)))


def mirror(x):
    return np.ascontiguousarray(x[..., ::-1])


def averaging(name="plane", size=SIZE, model=UNet, task="segment"):
    """Return a predictor with random weights."""
    torch.manual_seed(1)
    network = model(3, 2, surface=surface(name), width=4, depth=1 if name[-1].isdigit() else 2)
    preparation = Preprocessing(network.surface, size).to_json()
    network.preprocessing = {"task": task, "classes": ["sea", "land"], "preparation": preparation}
    return Predictor(network, "cpu", tta=True)


def probabilities(predictor, x):
    return predictor.run_network(x).softmax(0).numpy()


def largest_error(predictor, move, x):
    return float(np.abs(probabilities(predictor, move(x)) - move(probabilities(predictor, x))).max())


@pytest.mark.parametrize("name", ["plane", "equirectangular", "healpix:4", "cubemap:4", "icosphere:2", "icosahedron:2"])
def test_transforms_are_undone(name):
    on, (rows, columns) = surface(name), np.mgrid[:32, :64]
    smooth = (np.sin(2 * np.pi * columns / 64) * np.cos(np.pi * (rows - 15.5) / 32))[None].astype(np.float32)
    take = (lambda x: x) if on.any_size else on.from_equirectangular
    copies = list(transforms(on, (32, 64), 4))
    for copy in copies:
        back = copy.backward(torch.from_numpy(np.ascontiguousarray(take(copy.forward(smooth)))))
        assert np.allclose(back.numpy(), take(smooth), atol=1e-6 if on.any_size else 0.05)
    assert len({take(copy.forward(image((32, 64)))).tobytes() for copy in copies}) == 8


def test_a_symmetric_network_gives_the_same_answer():
    predictor, kernel = averaging(), torch.rand(2, 3, 3, 3)
    kernel = sum(k.rot90(turns, (2, 3)) for k in (kernel, kernel.flip(3)) for turns in range(4)) / 8
    predictor.model = nn.Conv2d(3, 2, 3, padding=1).requires_grad_(False)
    predictor.model.weight.copy_(kernel)
    predictor.model.total_stride = 1
    averaged = probabilities(predictor, image())
    predictor.tta = False
    assert np.allclose(averaged, probabilities(predictor, image()), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "size", "move"),
    [
        ("plane", (16, 16), quarter),
        ("plane", (16, 32), mirror),
        ("equirectangular", SIZE, mirror),
        ("equirectangular", SIZE, lambda x: np.roll(x, 1, -1)),
        ("equirectangular", SIZE, lambda x: np.roll(x, 3, -1)),
    ],
)
def test_answers_commute_with_the_group(name, size, move):
    predictor, x = averaging(name, size), image(size)
    assert largest_error(predictor, move, x) < 1e-5
    predictor.tta = False
    assert largest_error(predictor, move, x) > 1e-4


@pytest.mark.parametrize("name", ["cubemap:8"])
def test_answers_on_a_mesh_commute_with_the_group(name):
    predictor = averaging(name)
    before, after = (probabilities(predictor, x) for x in (image(), np.roll(image(), 8, -1)))
    assert np.allclose(rotate(before, surface(name), BY_QUARTER), after, atol=1e-5)


def test_probabilities_of_a_mirrored_image_are_the_same():
    predictor = averaging(model=Classifier, task="classify")
    before, after = (probabilities(predictor, x) for x in (image(), mirror(image())))
    assert np.allclose(before, after, atol=1e-6)
    assert predictor.predict(np.moveaxis(image(), 0, -1)).sum() == pytest.approx(1, abs=1e-6)


def test_commands_average(segment_run, segment_data, tmp_path):
    assert (
        main(["evaluate", str(segment_run.path), str(segment_data), "--tta", "--json", str(tmp_path / "a.json")]) == 0
    )
    assert '"tta": true' in (tmp_path / "a.json").read_text()
    given = ["predict", str(segment_run.path), str(segment_data / "images"), "--out", str(tmp_path / "out"), "--tta"]
    assert main(given) == 0
    assert len(list((tmp_path / "out/labels").iterdir())) == 5


@pytest.mark.parametrize("task", ["generate", "inpaint"])
def test_other_tasks_are_refused(task):
    with pytest.raises(
        InputError, match=f"tta=True: needs probabilities, which the task {task} does not predict; leave"
    ):
        get_task(task, "").to_probabilities(torch.zeros(3))
