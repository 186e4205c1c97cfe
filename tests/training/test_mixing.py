from __future__ import annotations

import numpy as np
import pytest
import torch

from omniconv.errors import InputError
from omniconv.surfaces import surface
from omniconv.tasks import get_task
from omniconv.tasks.losses import LabelLoss
from omniconv.training.mixing import BatchMixing

GRIDS = {"plane": (24, 24), "equirectangular": (16, 32), "icosphere:3": (642,), "cubemap:8": (6, 8, 8)}
LOSS = LabelLoss("ce")


def mixing(name, surface_name, dense):
    return BatchMixing((name,), 3, surface(surface_name), dense)


def constant_images(surface_name, batch=4):
    """Return images whose value is their number."""
    ones = torch.ones(batch, 1, *GRIDS[surface_name])
    return ones * torch.arange(batch).reshape(batch, *[1] * (ones.ndim - 1))


@pytest.mark.parametrize("name", GRIDS)
def test_cutmix_pastes_pixels_with_their_labels(name):
    x = constant_images(name)
    loss, mixed, target = mixing("cutmix", name, True).mix(LOSS, x, x[:, 0].long(), 0, 1)
    assert loss is LOSS
    assert torch.equal(mixed[:, 0].long(), target)
    assert not torch.equal(mixed, x)
    assert all(len(image.unique()) == 2 for image in mixed)


@pytest.mark.parametrize("name", GRIDS)
def test_cutmix_weighs_labels_of_images_by_area(name):
    x, labels, mean = constant_images(name), torch.arange(4), []
    areas = (
        surface(name).areas(GRIDS[name] if surface(name).any_size else None) if name != "plane" else np.ones((24, 24))
    )
    for batch in range(60):
        loss, mixed, target = mixing("cutmix", name, False).mix(LOSS, x, labels, 2, batch)
        assert torch.equal(target, labels)
        pasted = (mixed != x)[:, 0].numpy()
        shown = (pasted * areas).sum() / areas.sum() / max(1, pasted.reshape(4, -1).any(1).sum())
        if pasted.any():
            assert 1 - loss.weight == pytest.approx(shown, abs=1e-6)
        mean.append(1 - loss.weight)
    assert 0.2 < np.mean(mean) < 0.6


def test_mixup_is_the_mean_of_images_and_of_their_losses():
    x, labels, logits = torch.rand(4, 3, 8, 8), torch.arange(4), torch.randn(4, 4)
    loss, mixed, target = mixing("mixup", "plane", False).mix(LOSS, x, labels, 0, 0)
    one_hot = loss.weight * torch.eye(4)[target] + (1 - loss.weight) * torch.eye(4)[loss.other]
    assert float(loss(logits, target)) == pytest.approx(
        float(-(one_hot * logits.log_softmax(1)).sum(1).mean()), rel=1e-5
    )
    assert torch.allclose(mixed, loss.weight * x + (1 - loss.weight) * x[loss.other], atol=1e-6)


def test_draws_depend_on_seed_epoch_and_batch_only():
    x, labels = torch.rand(6, 3, 8, 8), torch.arange(6)
    both = BatchMixing(("cutmix", "mixup"), 3, surface("plane"), False)

    def mixed(*keys):
        torch.rand(3), np.random.default_rng().random()
        return both.mix(LOSS, x, labels, *keys)[1]

    assert torch.equal(mixed(1, 2), mixed(1, 2))
    assert not any(torch.equal(mixed(1, 2), mixed(*other)) for other in ((2, 2), (1, 3)))


@pytest.mark.parametrize("task", ["inpaint", "generate"])
def test_other_targets_are_refused(task):
    with pytest.raises(
        InputError, match=f"augment='cutmix': needs class labels as targets, which the task {task} does"
    ):
        get_task(task, "").check_mixing(["cutmix"])


def test_mixup_is_refused_for_losses_of_regions():
    get_task("segment", "").check_mixing(["cutmix"], loss="dice")
    with pytest.raises(
        InputError, match="augment='mixup': has no meaning for the loss dice, which measures regions; use"
    ):
        get_task("segment", "").check_mixing(["cutmix", "mixup"], loss="ce+dice", label_smoothing=0.0)
