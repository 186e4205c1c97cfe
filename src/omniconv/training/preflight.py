"""Resolution and check of the settings and the network of a run, before its folder is created."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection

import torch
from torch import nn

from omniconv.convert.own_network import OwnNetwork
from omniconv.data.augmentation import BATCH_AUGMENTATIONS, check_augmentations, parse_augmentations
from omniconv.data.classes import numbered_class_names
from omniconv.data.preprocessing import IMAGE_CHANNELS
from omniconv.errors import InputError, pluralize
from omniconv.files import real_path
from omniconv.models import Model, build
from omniconv.models.own_code import NetworkCode
from omniconv.nn.inspection import preserved_random_state
from omniconv.processes import check_devices
from omniconv.summaries import summary
from omniconv.surfaces import Surface
from omniconv.surfaces import surface as parse_surface
from omniconv.training.dataset_splits import DatasetSplits
from omniconv.training.loggers import check_loggers
from omniconv.training.settings import RunConfig
from omniconv.training.starting_weights import absolute_source, check_weights_settings, load_starting_weights


def check_settings(config: RunConfig, given: Collection[str] = (), code: NetworkCode | None = None) -> None:
    """Check everything about the settings that can be checked before the data is read.

    Args:
        config: the settings.
        given: names of those that the user gave, all of which the model or the task must use.
        code: the network of ``config.network``, if it is one of the user's own.

    Raises:
        InputError: the surface, the model, an argument of the network, its weights, a loss or an augmentation cannot
            be used.
    """
    config.check_model()
    config.check_used(name for name in config.unused if name in given)
    config.task_object.criterion(None, None, **config.loss_settings)
    check_loggers(config.logger)
    if config.compile:
        _check_compiler()
    size = (config.size[0], config.size[1]) if config.size else None
    _check_augmentations(config, parse_surface(config.surface), size)
    # The classes are not known yet; one fits every model.
    check_weights_settings(config)
    with preserved_random_state():
        names = numbered_class_names(1 if config.task_object.has_classes else 0)
        network = _build_model(config, names, code)
    load_starting_weights(network, config)


def check_precision(config: RunConfig, device: torch.device) -> None:
    """Check that a device trains in the precision of the settings.

    Raises:
        InputError: float16 on the CPU, where Lightning (2.6) would warn and take bfloat16 instead.
    """
    if config.precision == "16" and device.type == "cpu":
        raise InputError(
            "precision", "16", "needs a CUDA device, and this training is on the CPU", "use precision=bf16"
        )


def _check_augmentations(config: RunConfig, surface: Surface, size: tuple[int, int] | None) -> None:
    names = parse_augmentations(config.augment or ())
    check_augmentations(names, surface, size)
    mixed = [name for name in names if name in BATCH_AUGMENTATIONS]
    if mixed:
        config.task_object.check_mixing(mixed, **config.loss_settings)


def check_processes(config: RunConfig, device: torch.device, given: Collection[str] = ()) -> RunConfig:
    """Return the settings with the number of processes that share the training, after checking it.

    Args:
        config: the settings.
        device: device of the training.
        given: names of the settings that the user gave.

    Raises:
        InputError: there are not as many devices, no launcher started as many processes, they cannot share a batch, or
            cannot train in this way.
    """
    place = check_devices(config.devices, config.nodes, device, given)
    if config.strategy == "fsdp":
        _check_fsdp(config, device)
    if config.compile and place.size > 1:
        rule = "is not possible in several processes, whose batch norms exchange their statistics"
        raise InputError("compile", True, rule, "leave it out, or use devices=1")
    if config.batch_size % place.size:
        rule = f"must be a multiple of the {place.size} processes that share it"
        larger = config.batch_size + place.size - config.batch_size % place.size
        raise InputError("batch_size", config.batch_size, rule, f"use batch_size={larger}")
    return config.replace(devices=place.local_size, nodes=place.nodes)


def _check_fsdp(config: RunConfig, device: torch.device) -> None:
    if device.type != "cuda":
        rule = "needs CUDA devices, and this training is on the CPU"
        raise InputError("strategy", "fsdp", rule, "use strategy=ddp")
    if config.ema:
        rule = "is not possible with averaged weights (setting ema)"
        raise InputError("strategy", "fsdp", rule, "use strategy=ddp, or ema=0")


def _build_model(config: RunConfig, classes: tuple[str, ...], code: NetworkCode | None) -> Model:
    arguments = config.network_arguments(IMAGE_CHANNELS, classes) | ({"network": code} if code else {})
    network = build(config.model_name, arguments)
    if network.surface.ndim != 2 and not network.surface.spherical:
        raise InputError("surface", config.surface, "is not a surface of images", "use plane or equirectangular")
    return network


def resolve_settings(config: RunConfig, splits: DatasetSplits) -> RunConfig:
    """Return the settings with values instead of ``None`` and ``()``.

    Raises:
        InputError: an augmentation is unknown, or ``rotate`` is used for images that are not panoramas.
    """
    surface = splits.preprocessing.surface
    default = splits.task.default_augmentations(surface)
    augment = parse_augmentations(default if config.augment is None else config.augment)
    _check_augmentations(config.replace(augment=augment), surface, splits.preprocessing.size)
    chosen = {
        "data": str(real_path(config.data)), "surface": str(surface),
        "model": None if config.network else config.model_name,
        "size": splits.preprocessing.size, "augment": augment, "method": splits.task.method,
        **{name: absolute_source(getattr(config, name)) for name in ("weights", "encoder_weights")},
    }  # fmt: skip
    return config.replace(**(config.network_settings() | chosen))


def check_patience(config: RunConfig, is_measurable: bool) -> None:
    """Check that early stopping has a measure to watch.

    Args:
        config: the settings.
        is_measurable: there are held-out samples with targets that can be measured.

    Raises:
        InputError: it has none, so that it could not tell an epoch that improves from one that does not.
    """
    if config.patience and not is_measurable:
        rule = "needs held-out images with targets that can be measured, and this run has none"
        raise InputError("patience", config.patience, rule, "leave it out, or hold out images with labels")


def is_measurable(splits: DatasetSplits) -> bool:
    """Return True if any held-out target can be measured; reads them up to the first one that can."""
    for sample in splits.validation.samples if splits.validation else ():
        target = splits.task.load_target(sample, splits.preprocessing)
        if splits.task.is_measurable(splits.task.count_target(sample, target, splits.classes)):
            return True
    return False


def build_network(config: RunConfig, splits: DatasetSplits, code: NetworkCode | None = None) -> Model:
    """Build the network of a run, with random weights from its seed, and record its preprocessing.

    Weights of the settings are loaded by ``load_starting_weights`` or are those of a checkpoint.

    Args:
        config: the settings.
        splits: the samples.
        code: the network of ``config.network``, if it is one of the user's own; its weights are those that it makes.

    Raises:
        InputError: the network's settings do not fit each other, the task or the images, or they are not those that
            the samples were prepared with (in a run whose files have been changed).
    """
    prepared = {
        "task": splits.task.name, "method": splits.task.method, "surface": str(splits.preprocessing.surface),
        "size": splits.preprocessing.size, "binary": splits.preprocessing.binary,
    }  # fmt: skip
    if config.mean:
        prepared |= {"mean": splits.preprocessing.mean, "std": splits.preprocessing.std}
    if "holes" in splits.task.settings:
        prepared["holes"] = splits.preprocessing.holes
    for name, value in prepared.items():
        if getattr(config, name) != value:
            rule = f"is not that of the samples of the run, {value}"
            raise InputError(name, getattr(config, name), rule, "restore config.yaml and data.json, or start a new run")
    _check_augmentations(config, splits.preprocessing.surface, splits.preprocessing.size)
    torch.manual_seed(config.seed)
    network = _build_model(config, splits.classes, code)
    check_coarsest_size(config, network, splits)
    _check_shared(config, network, splits)
    _check_single_optimizer(config, network)
    network.preprocessing = {
        "task": config.task,
        **({"method": config.method} if config.method else {}),
        "classes": list(splits.classes),
        "preparation": splits.preprocessing.to_json(),
    }
    return network


def _check_compiler() -> None:
    """Check that torch.compile finds a C++ compiler, which it needs on every device."""
    names = (os.environ.get("CXX", ""), "g++", "clang++", "c++", "cl")
    if not any(name and shutil.which(name) for name in names):
        rule = "needs a C++ compiler, and there is none (the one of CXX, g++, clang++)"
        raise InputError("compile", True, rule, "install one, such as the package g++, or leave it out")


def _check_shared(config: RunConfig, network: Model, splits: DatasetSplits) -> None:
    """Check that each of several processes has an image of each epoch, and that a strategy can train the network."""
    processes, images = config.devices * config.nodes, len(splits.training.samples) * config.repeat
    if processes > images:
        rule = f"are {processes} processes for {pluralize(images, 'training image')}"
        raise InputError("devices", config.devices, rule, "use fewer")
    if config.strategy == "fsdp" and config.task_object.adversary(network) is not None:
        rule = "cannot train two networks against each other"
        raise InputError("strategy", "fsdp", rule, "use strategy=ddp")


def _check_single_optimizer(config: RunConfig, network: Model) -> None:
    """Check that settings of Lightning's own loop are not given to a training with two optimizers."""
    given = [name for name in ("accumulate", "clip", "compile") if getattr(config, name) != config.default(name)]
    if given and config.task_object.adversary(network) is not None:
        user = " ".join(filter(None, (config.task, config.task_object.method)))
        rule = f"is not possible for {user}, which trains two networks against each other"
        raise InputError(given[0], getattr(config, given[0]), rule, "leave it out")


def check_coarsest_size(config: RunConfig, network: Model, splits: DatasetSplits) -> None:
    """Check that images of the run's size pass through its network, and that batch normalization has two values.

    Raises:
        InputError: the size, the depth or the batch size does not fit.
    """
    grid = tuple(config.size) if network.surface.any_size else ()
    if isinstance(network, OwnNetwork):
        network.check_output(grid)
        return
    rows = summary(network, (IMAGE_CHANNELS, *grid)).rows
    has_batch_norm = any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in network.modules())
    longest_sides = [max(row.output[1:], default=1) for row in rows if row.kind == "Conv"]
    if (
        has_batch_norm
        and 1 in longest_sides
        and min(config.batch_size, len(splits.training.samples) * config.repeat) == 1
    ):
        size = "{}x{}".format(*splits.preprocessing.size)
        rule = f"reduces an image of {size} to one sample; batch normalization needs at least two values per channel"
        name = "output_stride" if "depth" in config.unused else "depth"
        cure = f"use a smaller {name}, a larger size or a larger batch size"
        raise InputError(name, config.network_settings().get(name), rule, cure)
