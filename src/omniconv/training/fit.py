"""From settings to a trained network in a run's folder."""

from __future__ import annotations

import logging
import math
import signal
import warnings
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as L
import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.callbacks import EarlyStopping, RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from omniconv.data.augmentation import parse_augmentations
from omniconv.data.dataset_folder import Folder
from omniconv.data.datasets import EpochSampler, PreparedSamples
from omniconv.errors import FileError, InputError
from omniconv.models import Model, build
from omniconv.run_folder import RunFolder, write_json
from omniconv.surfaces import surface
from omniconv.training.callbacks import BestNetwork, EpochLines, LastCheckpoint, MetricsFile
from omniconv.training.checkpoints import WholeCheckpoints
from omniconv.training.environment import describe_environment
from omniconv.training.material import Material, write_material
from omniconv.training.module import MEASURES, TrainingModule
from omniconv.training.preflight import check_feasible, read_checkpoint
from omniconv.training.settings import RunConfig
from omniconv.training.understanding import write_samples

Say = Callable[[str], None]
MIXED = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def resolve(config: RunConfig, material: Material) -> RunConfig:
    """The settings with everything decided that was left to the data.

    Raises:
        InputError: an augmentation without a meaning on the surface.
    """
    where = surface(config.surface)
    default = ("turn",) if where.spherical else ("flip",) if config.task == "segment" else ()
    augment = parse_augmentations(default if config.augment is None else config.augment)
    height, width = material.preprocessing.size
    if "rotate" in augment and width != 2 * height:
        raise InputError(
            "augment", "rotate", f"needs panoramas, twice as wide as high; the images are brought to {height}x{width}",
            f"use --size {height}x{2 * height}",
        )  # fmt: skip
    return config.replace(
        data=str(Path(config.data).resolve()),
        surface=str(where),
        model=config.network,
        size=material.preprocessing.size,
        augment=augment,
    )


def make_network(config: RunConfig, material: Material) -> Model:
    """The network of a run, with random weights that depend on the seed, and what it must know of its images.

    Raises:
        InputError: the network's settings do not fit each other, the task or pictures.
    """
    torch.manual_seed(config.seed)
    network = build(config.network, config.network_arguments(len(material.classes)))
    _check_surface(config, network)
    check_feasible(config, network, material)
    network.preprocessing = {
        "task": config.task,
        "classes": list(material.classes),
        "preparation": material.preprocessing.plain(),
    }
    return network


def start(run: RunFolder, config: RunConfig, material: Material) -> None:
    """Write what a run's folder holds before its first step."""
    config.write(run.config)
    write_json(run.environment, describe_environment())
    write_material(material, run.material)
    write_samples(material, run.samples)


def fit(
    run: RunFolder,
    config: RunConfig,
    material: Material,
    network: Model,
    say: Say,
    progress_bar: bool,
    resume: bool = False,
) -> None:
    """Train, and leave the best network, the measures and the last checkpoint in the run's folder.

    Args:
        run: the folder.
        config: resolved settings.
        material: the samples.
        network: as ``make_network`` gave it.
        say: takes a line for each epoch where there is no progress bar.
        progress_bar: draw one.
        resume: go on from the last checkpoint, or from the start where there is none yet.

    Raises:
        FileError: the checkpoint is damaged, or a file cannot be written.
        KeyboardInterrupt: the user or the system ended it; the last checkpoint is whole.
    """
    areas = material.preprocessing.areas()
    weights = torch.tensor([1 / math.log(1.02 + share) for share in material.shares]) if config.balance else None
    module = TrainingModule(
        network, config, len(material.classes), None if areas is None else torch.from_numpy(areas), weights
    )
    checkpoint = run.checkpoint if resume and run.checkpoint.is_file() else None
    first = read_checkpoint(run, network)["epoch"] + 1 if checkpoint else 0
    training = _loader(material.training, material, config, train=True, epoch=first)
    measured = _loader(material.measured, material, config, train=False) if material.measured else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PossibleUserWarning)  # advice on workers and log intervals
        warnings.filterwarnings("ignore", message=".*(pkg_resources|isinstance.treespec|LeafSpec).*")
        trainer = _trainer(run, config, say, progress_bar, steps=len(training))
        on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            trainer.fit(module, training, measured, ckpt_path=checkpoint, weights_only=True)
        except SystemExit as ended:  # so Lightning answers Ctrl-C, which it ignores from then on, and a plain kill
            signal.signal(signal.SIGINT, on_interrupt)
            raise KeyboardInterrupt from ended


def _trainer(run: RunFolder, config: RunConfig, say: Say, progress_bar: bool, steps: int) -> L.Trainer:
    rows = MetricsFile(run.metrics)
    callbacks: list[L.Callback] = [rows, BestNetwork(run.model)]
    if config.patience:
        callbacks.append(_early_stopping(config))
    callbacks += [LastCheckpoint(run.checkpoint), RichProgressBar() if progress_bar else EpochLines(say, rows)]
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    return L.Trainer(
        accelerator=_accelerator(config.device),
        devices=1,
        precision=MIXED[config.precision],  # type: ignore[arg-type]  # one of Lightning's words
        max_epochs=config.epochs,
        callbacks=callbacks,
        plugins=[WholeCheckpoints()],
        logger=TensorBoardLogger(run.path, name="tensorboard", version=""),
        enable_checkpointing=False,
        enable_progress_bar=progress_bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=max(1, min(50, steps)),
    )


def _accelerator(device: str) -> str:
    """Lightning's word; ``auto`` leaves out devices that know neither float64 nor sparse rows."""
    return "gpu" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"


def _early_stopping(config: RunConfig) -> EarlyStopping:
    return EarlyStopping(
        f"val_{MEASURES[config.task]}",
        patience=config.patience,
        mode="max",
        strict=False,
        check_on_train_epoch_end=True,
    )


def _loader(folder: Folder | None, material: Material, config: RunConfig, train: bool, epoch: int = 0) -> DataLoader:
    if folder is None:
        raise FileError(config.data, "holds no images of this split", "add some")
    augmentations = (config.augment or ()) if train else ()
    samples = PreparedSamples(folder.samples, material.preprocessing, augmentations, config.seed)
    sampler = EpochSampler(len(samples), config.repeat if train else 1, config.seed, shuffle=train)
    sampler.set_epoch(epoch)  # workers ask for their first images before Lightning says which epoch it is
    leftover = len(sampler) % config.batch_size
    return DataLoader(
        samples,
        config.batch_size,
        sampler=sampler,
        num_workers=config.workers,
        persistent_workers=config.workers > 0,
        drop_last=train and leftover == 1 and len(sampler) > 1,  # batch norm cannot learn from a single picture
    )


def _check_surface(config: RunConfig, network: Model) -> None:
    if network.surface.ndim != 2 and not network.surface.spherical:
        raise InputError("surface", config.surface, "does not hold pictures", "use plane or equirectangular")
