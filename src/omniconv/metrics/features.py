"""Features of images by a network that is trained here, for distances between sets of images.

Published distances use features of Inception, trained on ImageNet's photographs: they say little about digits, fields
or panoramas, and need a download. Here a small network is trained on the training images alone: a classifier if they
have classes, else the encoder of an autoencoder (as FAED does for panoramas; Oh et al., BIPS, ECCV 2022). Its features,
at most 64 numbers for an image, are means over the surface by area. They depend on the network: a distance is given
with its hash, and with the distance between two halves of the training images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isqrt, prod
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from omniconv.checks import check_integer, check_number
from omniconv.errors import FileError, InputError
from omniconv.metrics.copies import as_images
from omniconv.models import Autoencoder, Classifier, Model, load, save
from omniconv.models.generative.batched_sampling import evaluation_mode
from omniconv.models.storage import tensor_file
from omniconv.nn import GlobalAvgPool
from omniconv.summaries import summary
from omniconv.surfaces import Plane, Surface

DIMENSIONS = 64
"""Features of an image: ten times as many images are few enough for a Fréchet distance."""
BUDGET = 3e11
"""Multiply-adds of forward passes in training: about 55 CPU seconds, measured with the classifier of MNIST, which reads
99 % of the test digits after them."""
MAX_EPOCHS, MIN_STEPS, MOST_EPOCHS = 30, 300, 100
"""A training ends with the later of the first two, or with the third or the budget: few images need many epochs, but
those of a handful are the same few steps again. Only sets of fewer than 192 images reach the third."""
BATCH_SIZE = 64
LEARNING_RATE = 2e-3
SETTINGS = "features"
"""Key of the settings in ``network.preprocessing``."""


class FeatureNetwork:
    """Trained network that maps images to features.

    Args:
        network: a ``Classifier`` or an ``Autoencoder`` with the settings of its training in ``preprocessing``.

    Attributes:
        network: the network, in evaluation mode.
        kind: ``classifier`` or ``autoencoder``.
        hash: SHA-256 over weights and settings, to be printed beside every distance.
        settings: mean and standard deviation of the training images, and the settings of the training.

    Example:
        >>> images = np.random.default_rng(0).normal(size=(20, 1, 16, 16)).astype("float32")
        >>> network = train_features(images, labels=np.arange(20) % 2, budget=1e7)
        >>> network.kind, network(images).shape, network.hash[:7]
        ('classifier', (20, 64), 'sha256:')
    """

    def __init__(self, network: Model) -> None:
        settings = network.preprocessing.get(SETTINGS)
        if not isinstance(network, Classifier | Autoencoder) or not isinstance(settings, dict):
            rule = "must be a network of train_features"
            raise InputError("network", type(network).__name__, rule, "train one: train_features(images)")
        self.network = network.eval()
        self.settings: dict[str, Any] = settings
        self.kind = "classifier" if isinstance(network, Classifier) else "autoencoder"
        state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
        self.hash = tensor_file.checksum(state, {name: str(value) for name, value in sorted(settings.items())})
        self._pool = GlobalAvgPool(network.surfaces[-1]) if isinstance(network, Autoencoder) else None

    @torch.no_grad()
    def __call__(self, images: Any) -> np.ndarray:
        """Return the features of images ``(n, C, *grid)``, float32, ``(n, d)``."""
        return self._apply(images, self._features)

    def classify(self, images: Any) -> np.ndarray:
        """Return the most probable class of each image, ``(n,)``.

        Raises:
            InputError: the network is an autoencoder.
        """
        if not isinstance(self.network, Classifier):
            raise InputError("network", self.kind, "knows no classes", "train it with labels")
        return self._apply(images, self.network).argmax(1)

    def save(self, path: str | Path) -> None:
        """Write the network to a safetensors file."""
        save(self.network, path)

    @classmethod
    def load(cls, path: str | Path) -> FeatureNetwork:
        """Read a network that ``save`` wrote.

        Raises:
            FileError: the file is missing or damaged, or has another network.
        """
        network = load(path)
        if SETTINGS not in network.preprocessing:
            raise FileError(path, "has no network for features", "delete it, or train features again")
        return cls(network)

    @torch.no_grad()
    def _apply(self, images: Any, function: Callable[[Tensor], Tensor]) -> np.ndarray:
        surface = self.network.surface
        values = as_images("images", images, surface)
        batches = torch.from_numpy(values).split(4 * BATCH_SIZE)
        with evaluation_mode(self.network):
            return np.concatenate([function(normalize(batch, self.settings)).numpy() for batch in batches])

    def _features(self, x: Tensor) -> Tensor:
        if isinstance(self.network, Classifier):
            return self.network.pool(self.network.encoder(x)[-1])
        return cast(GlobalAvgPool, self._pool)(self.network.encode(x))


def train_features(
    images: Any,
    surface: Surface = Plane(),  # noqa: B008  # surfaces are immutable
    labels: Any = None,
    seed: int = 0,
    budget: float = BUDGET,
    log: Callable[[str], None] = lambda text: None,
) -> FeatureNetwork:
    """Train a network for features on training images, reproducibly and with a bounded number of operations.

    A ``Classifier`` if there are labels of at least two classes, else an ``Autoencoder`` by the mean absolute error.
    Both have strides down to 64 channels or latent channels; Adam, learning rate 0.002 falling to 0 by a cosine,
    batches of 64, 30 epochs; for few images up to 300 steps, but at most 100 epochs. No image is held out: the network
    is a measure, not a result.

    Args:
        images: ``(n, C, *grid)``, the training images, in the units of all images that will be measured.
        surface: surface of the images.
        labels: class of each image, ``(n,)``, whole numbers from 0; ``None`` without classes.
        seed: seed of the weights and of the order of images; with it and the images the network is determined, up to
            rounding, which differs between machines and numbers of threads.
        budget: number of multiply-adds of the forward passes, which bounds the time of the training: the default takes
            about 55 CPU seconds.
        log: receives a line on the training.

    Raises:
        InputError: fewer than two images, labels that do not fit, or a budget that is not above 0.

    Example:
        >>> images = np.random.default_rng(0).normal(size=(8, 1, 16, 16))
        >>> train_features(images, budget=1e6).kind
        'autoencoder'
    """
    x = torch.from_numpy(as_images("images", images, surface).astype(np.float32))
    if len(x) < 2:
        raise InputError("images", tuple(x.shape), "must be at least two images", "give all training images")
    classes = None if labels is None else _labels(labels, len(x))
    budget = check_number("budget", budget, lambda value: value > 0, "must be above 0", "leave it out")
    seed = check_integer("seed", seed, 0, "use seed=0")
    mean, std = x.transpose(0, 1).flatten(1).mean(1), x.transpose(0, 1).flatten(1).std(1)
    settings: dict[str, Any] = {"mean": mean.tolist(), "std": [value or 1.0 for value in std.tolist()], "seed": seed}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(x.shape[1], surface, tuple(x.shape[2:]), classes)
        cost = summary(network, x.shape[1:]).multiply_adds
        batch_size = min(BATCH_SIZE, len(x))
        epoch = len(x) / batch_size
        steps = max(MAX_EPOCHS * epoch, min(MIN_STEPS, MOST_EPOCHS * epoch))
        steps = 1 + int(min(steps, budget / cost / batch_size))
        settings |= {"steps": steps, "batch_size": batch_size, "learning_rate": LEARNING_RATE, "images": len(x)}
        loss = _train(network, normalize(x, settings), classes, steps, seed)
    network.preprocessing = {SETTINGS: settings}
    found = FeatureNetwork(network)
    log(f"features: {found.kind} trained for {steps} steps, loss {loss:.3g}, {found.hash[:19]}")
    return found


def normalize(x: Tensor, settings: dict[str, Any]) -> Tensor:
    """Return images with the mean and standard deviation of the training images set to 0 and 1, in float32."""
    shape = [1, -1, *[1] * (x.ndim - 2)]
    mean, std = (torch.tensor(settings[name], dtype=torch.float32).view(shape) for name in ("mean", "std"))
    return (x.float() - mean) / std


def _labels(labels: Any, count: int) -> Tensor | None:
    values = np.asarray(labels)
    if values.shape != (count,) or values.dtype.kind not in "iu" or (values < 0).any():
        rule = f"must be {count} whole numbers from 0, one for each image"
        raise InputError("labels", values.shape, rule, "leave them out without classes")
    return torch.from_numpy(values.astype(np.int64)) if len(np.unique(values)) > 1 else None


def _network(channels: int, surface: Surface, grid: tuple[int, ...], classes: Tensor | None) -> Model:
    rows = min(grid[-surface.kernel_ndim :]) if surface.kernel_ndim > 1 else isqrt(prod(grid))
    # More steps of stride 2, with fewer channels at full size, for larger images: full size has most of the cost.
    depth = 2 + (rows >= 32) + (rows >= 128)
    depth = min(depth, depth if surface.max_depth is None else surface.max_depth)
    width = DIMENSIONS // 2**depth
    if classes is not None:
        return Classifier(channels, int(classes.max()) + 1, surface, width=width, depth=depth)
    return Autoencoder(channels, DIMENSIONS, surface, width=width, depth=depth, blocks=0)


def _train(network: Model, x: Tensor, classes: Tensor | None, steps: int, seed: int) -> float:
    """Train in place, and return the mean loss of the last tenth of the steps."""
    criterion = nn.L1Loss() if classes is None else nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses: list[float] = []
    network.train()
    for chosen in _batches(len(x), steps, seed):
        batch = x[chosen]
        loss = criterion(network(batch), batch if classes is None else classes[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return float(np.mean(losses[-max(1, steps // 10) :]))


def _batches(count: int, steps: int, seed: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    order = torch.empty(0, dtype=torch.int64)
    size = min(BATCH_SIZE, count)
    for _ in range(steps):
        if len(order) < size:
            order = torch.randperm(count, generator=generator)
        yield order[:size]
        order = order[size:]
