"""Losses of labels agree with those of segmentation_models.pytorch where every class occurs."""

from __future__ import annotations

import pytest
import torch

from omniconv.tasks.losses import dice_loss, lovasz_loss, tversky_loss

pytestmark = pytest.mark.zoo
IGNORED = 255
PAIRS = {
    "DiceLoss": (dice_loss, {}),
    "TverskyLoss": (tversky_loss, {"alpha": 0.3, "beta": 0.7}),
    "LovaszLoss": (lovasz_loss, {}),
}


@pytest.mark.parametrize("name", PAIRS)
def test_losses_and_gradients_are_those_of_segmentation_models_pytorch(name):
    from segmentation_models_pytorch import losses  # late: it imports torchvision, see conftest.py

    ours, options = PAIRS[name]
    theirs = getattr(losses, name)("multiclass", ignore_index=IGNORED, **options)
    torch.manual_seed(0)
    labels = torch.randint(4, (2, 8, 8))
    labels[0, 0] = IGNORED
    logits = torch.randn(2, 4, 8, 8)
    found, wanted = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    one, other = ours(found, labels, ignore_index=IGNORED), theirs(wanted, labels)
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    one.backward()
    other.backward()
    torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-4, atol=1e-7)
