"""Resolution and check of the settings and the network of a run, before its folder is created."""

from __future__ import annotations

from pathlib import Path

import torch

from omniconv.data.augmentation import parse_augmentations
from omniconv.data.preprocessing import IMAGE_CHANNELS
from omniconv.errors import InputError
from omniconv.models import Model, build
from omniconv.summaries import summary
from omniconv.training.dataset_splits import DatasetSplits
from omniconv.training.settings import RunConfig


def resolve_settings(config: RunConfig, splits: DatasetSplits) -> RunConfig:
    """Return the settings with values instead of ``None`` and ``()``.

    Raises:
        InputError: an augmentation is unknown, or ``rotate`` is used for images that are not panoramas.
    """
    surface = splits.preprocessing.surface
    default = splits.task.default_augmentations(surface)
    augment = parse_augmentations(default if config.augment is None else config.augment)
    height, width = splits.preprocessing.size
    if "rotate" in augment and width != 2 * height:
        rule = f"needs images twice as wide as high; they are resized to {height}x{width}"
        raise InputError("augment", "rotate", rule, f"use --size {height}x{2 * height}")
    return config.replace(
        data=str(Path(config.data).resolve()), surface=str(surface), model=config.network,
        size=splits.preprocessing.size, augment=augment,
    )  # fmt: skip


def build_network(config: RunConfig, splits: DatasetSplits) -> Model:
    """Build the network of a run, with random weights from its seed, and record its preprocessing.

    Raises:
        InputError: the network's settings do not fit each other, the task or the images.
    """
    arguments = config.network_arguments(IMAGE_CHANNELS, splits.task.out_channels(splits.classes))
    torch.manual_seed(config.seed)
    network = build(config.network, arguments)
    if network.surface.ndim != 2 and not network.surface.spherical:
        raise InputError("surface", config.surface, "is not a surface of images", "use plane or equirectangular")
    check_coarsest_size(config, network, splits)
    network.preprocessing = {
        "task": config.task,
        "classes": list(splits.classes),
        "preparation": splits.preprocessing.to_json(),
    }
    return network


def check_coarsest_size(config: RunConfig, network: Model, splits: DatasetSplits) -> None:
    """Check that images of the run's size pass through its network, and that batch normalization has two values.

    Raises:
        InputError: the size, the depth or the batch size does not fit.
    """
    grid = tuple(config.size) if network.surface.any_size else ()
    rows = summary(network, (network.arguments["in_channels"], *grid)).rows
    longest_sides = [max(row.output[1:], default=1) for row in rows if row.kind == "Conv"]
    if 1 in longest_sides and min(config.batch_size, len(splits.training.samples) * config.repeat) == 1:
        size = "{}x{}".format(*splits.preprocessing.size)
        rule = f"reduces an image of {size} to one sample; batch normalization needs at least two values per channel"
        raise InputError("depth", config.depth, rule, "use a smaller depth, a larger size or a larger batch size")
