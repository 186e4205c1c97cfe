"""Nuclei in microscope images: a fixed split, the measures, and the recipe that all networks of a comparison share.

The file has 464 images 128×128 with the labels background, nucleus and boundary (2018 Data Science Bowl, CC0), as
arrays ``image`` (n, 128, 128, 3) and ``label`` (n, 128, 128).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from omniconv.data.augmentation import augment
from omniconv.tasks.losses import LabelLoss

CLASSES = ("background", "nucleus", "boundary")
TEST_IMAGES = 92
AUGMENTATIONS = ("flip", "quarter", "colour")
LOSS, BATCH, WARM_UP = "ce+dice", 8, 0.3


@dataclass(frozen=True, eq=False)
class Images:
    """Images, uint8 ``(n, 3, 128, 128)``, and labels, uint8 ``(n, 128, 128)``."""

    images: np.ndarray
    labels: np.ndarray

    def subset(self, indices: np.ndarray) -> Images:
        """Return some of the images."""
        return Images(self.images[indices], self.labels[indices])


def read_nuclei(path: Path, held_out: int = 0) -> tuple[Images, Images]:
    """Return training and test images, in an order drawn once.

    Args:
        path: the ``.npz`` file.
        held_out: return that many of the training images instead of the test images, to choose settings by.
    """
    with np.load(path) as content:
        whole = Images(np.moveaxis(content["image"], -1, 1), content["label"])
    order = np.random.default_rng(0).permutation(len(whole.labels))
    test, training = np.split(order, [TEST_IMAGES])
    if held_out:
        test, training = np.split(training, [held_out])
    return whole.subset(training), whole.subset(test)


def measure(predict: Callable[[np.ndarray], np.ndarray], test: Images) -> dict[str, Any]:
    """Return IoU and Dice over all pixels of all test images together.

    Args:
        predict: maps an image, uint8 ``(3, 128, 128)``, to its labels ``(128, 128)``.
        test: the images.

    Returns:
        ``miou``, the mean of the IoU of the three classes; ``iou`` of each class; ``dice``, that of the class nucleus
        against the two others; ``dice_object``, that of nucleus and boundary together against the background.
    """
    counts = np.zeros((3, 3), np.int64)
    for image, true in zip(test.images, test.labels, strict=True):
        found = predict(image)
        counts += np.bincount(3 * true.astype(np.int64).ravel() + found.ravel(), minlength=9).reshape(3, 3)
    right, total = np.diag(counts), counts.sum(0) + counts.sum(1)
    iou = right / (total - right)
    both = 2 * counts[1:, 1:].sum() / (counts[1:].sum() + counts[:, 1:].sum())
    return {
        "miou": float(iou.mean()), "iou": iou.round(4).tolist(), "dice": float(2 * right[1] / total[1]),
        "dice_object": float(both),
    }  # fmt: skip


def train_plainly(
    network: nn.Module, training: Images, seconds: float, learning_rate: float, clock: Callable[[], float]
) -> tuple[Callable[[np.ndarray], np.ndarray], dict[str, Any]]:
    """Train a network of another library in a loop without anything but the recipe.

    The recipe: AdamW, one cycle of the learning rate over ``seconds``, cross entropy and Dice, flips, quarter turns and
    colour.

    Args:
        network: maps ``(batch, 3, 128, 128)`` to logits of the same size.
        training: the images.
        seconds: training stops after that time.
        learning_rate: the largest one.
        clock: ``time.perf_counter``, or ``time.process_time`` on a machine that others use, too.

    Returns:
        A function for ``measure``, and numbers on the training.
    """
    pixels = training.images / 255
    mean, std = (np.float32(part((0, 2, 3)))[:, None, None] for part in (pixels.mean, pixels.std))
    criterion, random = LabelLoss(LOSS), np.random.default_rng(0)
    optimizer = torch.optim.AdamW(network.parameters(), learning_rate, weight_decay=1e-4)
    network.train()
    start, inside, seen, steps = clock(), 0.0, 0, 0
    while True:
        order = random.permutation(len(training.labels))
        for indices in np.split(order[: len(order) // BATCH * BATCH], len(order) // BATCH):
            done = (clock() - start) / seconds
            if done >= 1:
                taken = clock() - start
                numbers = {
                    "seconds": taken, "steps": steps, "epochs": seen / len(order), "images_per_second": seen / taken,
                    "seconds_per_step": taken / steps, "share_in_network": inside / taken,
                }  # fmt: skip
                return _predictor(network.eval(), mean, std), numbers
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * _one_cycle(done)
            pairs = [_augmented(training, index, random) for index in indices]
            x = torch.from_numpy((np.stack([image for image, _ in pairs]) - mean) / std)
            labels = torch.from_numpy(np.stack([label for _, label in pairs])).long()
            began = clock()
            loss = criterion(network(x), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            inside += clock() - began
            steps, seen = steps + 1, seen + len(indices)


def _augmented(training: Images, index: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    image, label = augment(
        training.images[index].astype(np.float32) / 255, training.labels[index], AUGMENTATIONS, random
    )
    return image, np.asarray(label)


def _one_cycle(done: float) -> float:
    if done < WARM_UP:
        return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * done / WARM_UP))
    return 0.5 * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP)))


@torch.no_grad()
def _predictor(network: nn.Module, mean: np.ndarray, std: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    def predict(image: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            logits: Tensor = network(torch.from_numpy((image.astype(np.float32) / 255 - mean) / std)[None])
        return logits[0].argmax(0).numpy()

    return predict


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
"""Clocks by name: seconds on the wall, or processor seconds of all threads of this process."""
