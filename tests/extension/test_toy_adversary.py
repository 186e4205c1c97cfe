"""Training with an adversary, with averaged weights and with pictures of progress, by a toy task."""

from __future__ import annotations

import io
import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_toy_task import Brightness
from tiny import rows_without_seconds, save
from torch import nn

import omniconv as oc
from omniconv.errors import FileError, InputError
from omniconv.models import UNet
from omniconv.run_folder import RunFolder, read_metrics
from omniconv.runs.resume import resume_run
from omniconv.runs.start import start_run
from omniconv.tasks import TASKS, register_task
from omniconv.training.checkpoints import AtomicCheckpointIO
from omniconv.training.module import TrainingModule, ema_decay, update_average

SETTINGS = {
    "task": "glow", "epochs": 4, "batch_size": 2, "repeat": 2, "width": 3, "depth": 1, "device": "cpu",
    "learning_rate": 0.02, "validation": 0.25, "ema": 0.01, "sample_every": 2,
}  # fmt: skip


class Judge(nn.Module):
    """Scores of an image and a map of brightness; it has a buffer, and draws random numbers."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(4, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.Dropout(0.3), nn.ReLU())
        self.head = nn.Linear(4, 1)

    def forward(self, x, y):
        return self.head(self.layers(torch.cat([x, y], 1)).mean((2, 3)))


class Plain(Brightness):
    name, method = "glow", "plain"
    settings = ("sample_every",)

    def progress(self, network, preprocessing, classes, samples):
        x = torch.from_numpy(preprocessing.on_surface(preprocessing.image(samples[0].image)))[None]
        torch.rand(3)  # must not change the training
        shown = network(x)[0, 0].clamp(0, 1)
        return [((255 * shown).byte().numpy(), "brightness")]


class Adversarial(Plain):
    method = "adversarial"
    betas = (0.0, 0.9)

    def adversary(self, network):
        return Judge()

    def adversary_loss(self, network, adversary, criterion, batch):
        x, target = batch
        with torch.no_grad():
            fake = network(x + 0.1 * torch.randn_like(x))
        return F.softplus(-adversary(x, target)).mean() + F.softplus(adversary(x, fake)).mean()

    def training_loss(self, network, criterion, batch, adversary=None):
        x, target = batch
        fake = network(x + 0.1 * torch.randn_like(x))
        return criterion(fake, target) + 0.1 * F.softplus(-adversary(x, fake)).mean()

    def training_notes(self, rows):
        return [f"The adversary has lost {len(rows) > 1}."] if len(rows) > 1 else []


@pytest.fixture(scope="module", autouse=True)
def registered():
    for task in (Plain(), Adversarial()):
        register_task(task, "images/ and values/")
    yield
    TASKS.pop("glow")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root, random = tmp_path_factory.mktemp("glow") / "data", np.random.default_rng(0)
    (root / "values").mkdir(parents=True)
    for index in range(6):
        pixels = random.integers(0, 256, (8, 16, 3), np.uint8)
        save(root / f"images/{index}.png", pixels)
        np.save(root / f"values/{index}.npy", (pixels.mean(-1) / 255).astype(np.float32))
    return root


def start(data, root, log=lambda text: None, **settings):
    return start_run(SETTINGS | {"data": str(data)} | settings, log, out=str(root))


@pytest.fixture(scope="module", params=["plain", "adversarial"])
def whole(request, data, tmp_path_factory):
    return request.param, start(data, tmp_path_factory.mktemp("whole") / "run", method=request.param)


def state(run):
    """Return all state of the training without its times."""
    checkpoint = AtomicCheckpointIO().load_checkpoint(run.checkpoint)
    for row in checkpoint["callbacks"]["MetricsFile"]["rows"]:
        del row["seconds"]
    parts = ("callbacks", "epoch", "global_step", "images_seen", "lr_schedulers", "optimizer_states", "state_dict")
    return {part: checkpoint[part] for part in parts}


def flat(value):
    """Return the numbers and tensors of nested containers in one list."""
    if isinstance(value, dict):
        return [part for key in value for part in (key, *flat(value[key]))]
    if isinstance(value, list | tuple):
        return [part for one in value for part in flat(one)]
    return [value.numpy().tobytes() if isinstance(value, torch.Tensor) else value]


def assert_equal_runs(first, second):
    assert flat(state(first)) == flat(state(second))
    assert rows_without_seconds(first.metrics) == rows_without_seconds(second.metrics)
    best, other = (oc.load(run.model).state_dict() for run in (first, second))
    assert all(torch.equal(best[name], other[name]) for name in best)
    for path in first.progress_pictures.iterdir():
        assert path.read_bytes() == (second.progress_pictures / path.name).read_bytes()


@pytest.mark.parametrize("step", [2, 9])
def test_a_run_that_was_interrupted_within_an_epoch_equals_an_uninterrupted_one(
    whole, data, tmp_path, monkeypatch, step
):
    method, uninterrupted = whole
    original, count = TrainingModule.on_train_batch_end, iter(range(1000))

    def stop(self, *arguments):
        original(self, *arguments)
        if next(count) == step:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(TrainingModule, "on_train_batch_end", stop)
        with pytest.raises(KeyboardInterrupt):
            start(data, tmp_path / "run", method=method)
    run = resume_run(tmp_path / "run", {}, lambda text: None, False)
    assert_equal_runs(uninterrupted, run)


def test_the_average_is_evaluated_and_saved(whole):
    _, run = whole
    tensors, saved = state(run)["state_dict"], oc.load(run.model).state_dict()
    assert any(not torch.equal(tensors[f"network.{name}"], tensors[f"average.{name}"]) for name in saved)
    rows = read_metrics(run.metrics)
    if min(rows, key=lambda row: row["val_mean_error"])["epoch"] == len(rows) - 1:
        assert all(torch.equal(saved[name], tensors[f"average.{name}"]) for name in saved)


def test_both_losses_are_in_the_metrics(whole):
    method, run = whole
    row = read_metrics(run.metrics)[-1]
    assert ("adversary_loss" in row) == (method == "adversarial")
    assert len(state(run)["optimizer_states"]) == len(state(run)["lr_schedulers"]) == 1 + (method == "adversarial")


def test_the_adversary_learns_and_both_schedules_end(whole):
    method, run = whole
    steps = 4 * 2 * 4 // 2  # epochs, repeat, training images, batch size
    for schedule in state(run)["lr_schedulers"]:
        assert schedule["last_epoch"] == steps
    for optimizer in state(run)["optimizer_states"]:
        assert all(float(moments["step"]) == steps for moments in optimizer["state"].values())
    assert state(run)["global_step"] == steps * (1 + (method == "adversarial"))


def test_pictures_are_written_every_few_epochs_and_at_the_end(data, tmp_path):
    run = start(data, tmp_path / "run", method="plain", epochs=3)
    assert sorted(path.name for path in run.progress_pictures.iterdir()) == ["epoch_0002.png", "epoch_0003.png"]
    resume_run(run.path, {"epochs": 5}, lambda text: None, False)
    page = run.progress.read_text()
    assert list(dict.fromkeys(re.findall(r"epoch \d", page))) == ["epoch 5", "epoch 4", "epoch 3", "epoch 2"]
    assert "glow plain in training" in page


def test_pictures_do_not_change_the_training(whole, data, tmp_path):
    method, with_pictures = whole
    without = start(data, tmp_path / "run", method=method, sample_every=0)
    assert not without.progress_pictures.exists()
    assert not without.progress.exists()
    assert flat(state(with_pictures)["state_dict"]) == flat(state(without)["state_dict"])


def test_notes_are_logged_once(data, tmp_path):
    lines = []
    run = start(data, tmp_path / "run", lines.append, method="adversarial", epochs=3)
    assert lines.count("The adversary has lost True.") == 1
    assert "The adversary has lost True." in run.report.read_text()


def test_the_rate_of_the_average_is_that_of_its_half_life():
    network, average = UNet(1, 1, width=1, depth=1), UNet(1, 1, width=1, depth=1)
    before = {name: value.clone() for name, value in average.named_parameters()}
    for buffer in network.buffers():
        buffer.add_(1)
    for _ in range(10):  # 10 steps of 20 images: two half-lives of 100 images
        update_average(average, network, ema_decay(20, 10**6, 100))
    for name, parameter in average.named_parameters():
        expected = 0.25 * before[name] + 0.75 * dict(network.named_parameters())[name]
        torch.testing.assert_close(parameter, expected)
    for one, other in zip(average.buffers(), network.buffers(), strict=True):
        assert torch.equal(one, other)
    assert ema_decay(8, 0, 500) == 0
    assert ema_decay(8, 160, 500) == pytest.approx(0.5)  # 5 % of 160 images are one half-life


@pytest.mark.parametrize("name", ["train_loss", "adversary_loss"])
def test_a_loss_that_becomes_nan_stops_at_its_step(data, tmp_path, monkeypatch, name):
    method = "training_loss" if name == "train_loss" else "adversary_loss"
    original, count = getattr(Adversarial, method), iter(range(1000))

    def loss(self, *arguments):
        return original(self, *arguments) * (math.nan if next(count) == 7 else 1)

    monkeypatch.setattr(Adversarial, method, loss)
    rule = (
        rf"learning_rate=0.02: let {name} become nan in step 4 of epoch 2 \(at the learning rate 0\.0\d+; the last "
        r"complete epoch stays\); use a smaller one: learning_rate=0.002"
    )
    with pytest.raises(InputError, match=rule):
        start(data, tmp_path / "run", method="adversarial")
    run = RunFolder(tmp_path / "run")
    assert AtomicCheckpointIO().load_checkpoint(run.checkpoint)["epoch"] == 0
    assert all(value.isfinite().all() for value in oc.load(run.model).state_dict().values())


def test_a_loss_that_is_nan_in_the_first_epoch(data, tmp_path, monkeypatch):
    loss = Adversarial.training_loss
    monkeypatch.setattr(Adversarial, "training_loss", lambda *given: loss(*given) * math.nan)
    with pytest.raises(
        InputError, match=r"nan in step 1 of epoch 1 \(at the learning rate 0\.\d+; no epoch is complete\)"
    ):
        start(data, tmp_path / "run", method="adversarial")
    assert not RunFolder(tmp_path / "run").checkpoint.exists()


def _no_average(checkpoint):
    del checkpoint["state_dict"]["average.head.0.bias"]


def _nan_in_the_adversary(checkpoint):
    checkpoint["state_dict"]["adversary.head.bias"][0] = math.nan


def _shape_of_the_adversary(checkpoint):
    checkpoint["state_dict"]["adversary.head.bias"] = torch.zeros(2)


def _one_optimizer(checkpoint):
    checkpoint["optimizer_states"].pop()


def _one_schedule(checkpoint):
    checkpoint["lr_schedulers"].pop()


def _moment_of_the_adversary(checkpoint):
    checkpoint["optimizer_states"][1]["state"][0]["exp_avg"] = torch.zeros(7)


def _no_images(checkpoint):
    checkpoint["images_seen"] = "many"


@pytest.fixture(scope="module")
def adversarial_run(data, tmp_path_factory):
    return start(data, tmp_path_factory.mktemp("damaged") / "run", method="adversarial", epochs=1)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_no_average, r"does not belong to the network that config.yaml describes \(average.head.0.bias differs\)"),
        (_nan_in_the_adversary, r"is damaged \(adversary.head.bias has 1 of 1 values NaN or infinite\)"),
        (_shape_of_the_adversary, r"does not belong to the network .*\(adversary.head.bias differs\)"),
        (_one_optimizer, "is damaged"),
        (_one_schedule, r"is damaged \(it has 1 schedules for 2 optimizers\)"),
        (_moment_of_the_adversary, r"is damaged \(exp_avg of parameter 0 has the shape \(7,\)\)"),
        (_no_images, r"is damaged \(its number of images is not a whole number\)"),
    ],
)
def test_a_damaged_checkpoint_is_refused_in_one_line(adversarial_run, change, text):
    content = adversarial_run.checkpoint.read_bytes()
    checkpoint = torch.load(io.BytesIO(content), weights_only=True)
    change(checkpoint)
    try:
        torch.save(checkpoint, adversarial_run.checkpoint)
        with pytest.raises(FileError, match=f"last.ckpt: {text}"):
            resume_run(adversarial_run.path, {"epochs": 2}, lambda text: None, False)
    finally:
        adversarial_run.checkpoint.write_bytes(content)


@pytest.mark.parametrize("method", ["plain", "adversarial"])
def test_bf16_trains(data, tmp_path, method):
    run = start(data, tmp_path / "run", method=method, epochs=1, precision="bf16")
    tensors = state(run)["state_dict"]
    assert all(value.dtype == torch.float32 for value in tensors.values() if value.is_floating_point())
