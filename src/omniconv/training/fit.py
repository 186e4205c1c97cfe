"""Training loop: from resolved settings to a trained network in a run's folder."""

from __future__ import annotations

import logging
import signal
import warnings
from dataclasses import dataclass

import lightning.pytorch as L
import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.callbacks import EarlyStopping, RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from omniconv.data.layouts.dataset_folder import DatasetFolder
from omniconv.models import Model
from omniconv.run_folder import RunFolder
from omniconv.training.callbacks import BestNetwork, EpochLines, LastCheckpoint, Log, MetricsFile
from omniconv.training.checkpoints import AtomicCheckpointIO, read_checkpoint
from omniconv.training.dataset_splits import DatasetSplits
from omniconv.training.datasets import EpochSampler, PreparedSamples, SampleReader
from omniconv.training.module import TrainingModule
from omniconv.training.settings import RunConfig

LIGHTNING_PRECISION = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


@dataclass(frozen=True, eq=False)
class PreparedRun:
    """A run that is ready to be trained.

    Attributes:
        folder: its folder; training continues from the checkpoint in it, if there is one.
        config: resolved settings.
        splits: the samples.
        reader: reads the samples.
        network: result of ``build_network``.
    """

    folder: RunFolder
    config: RunConfig
    splits: DatasetSplits
    reader: SampleReader
    network: Model


def fit(run: PreparedRun, log: Log, progress_bar: bool) -> None:
    """Train, and write the best network, the metrics and the last checkpoint into the run's folder.

    Args:
        run: settings, samples and network.
        log: called with a line for each epoch if there is no progress bar.
        progress_bar: show a progress bar.

    Raises:
        FileError: the checkpoint is damaged, or a file cannot be written.
        KeyboardInterrupt: the user or the system ended the training; the last checkpoint is complete.
    """
    splits, areas = run.splits, run.splits.preprocessing.areas()
    weights = None if areas is None else torch.from_numpy(areas)
    frequencies = splits.class_frequencies if run.config.balance else None
    module = TrainingModule(run.network, run.config, len(splits.classes), weights, frequencies)
    checkpoint = run.folder.checkpoint if run.folder.checkpoint.is_file() else None
    first_epoch = read_checkpoint(checkpoint, run.network)["epoch"] + 1 if checkpoint else 0
    training = _loader(run, splits.training, train=True, epoch=first_epoch)
    validation = _loader(run, splits.validation, train=False) if splits.validation else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PossibleUserWarning)  # advice on workers and log intervals
        # Deprecations inside Lightning: of pkg_resources, and of the tree functions of newer torch versions.
        warnings.filterwarnings("ignore", message=".*(pkg_resources|isinstance.treespec|LeafSpec).*")
        trainer = _trainer(run, log, progress_bar, steps=len(training))
        on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            trainer.fit(module, training, validation, ckpt_path=checkpoint, weights_only=True)
        except SystemExit as ended:
            # Lightning 2.6 raises SystemExit on SIGINT and SIGTERM, and ignores SIGINT from then on.
            signal.signal(signal.SIGINT, on_interrupt)
            raise KeyboardInterrupt from ended


def _trainer(run: PreparedRun, log: Log, progress_bar: bool, steps: int) -> L.Trainer:
    folder, config, task = run.folder, run.config, run.splits.task
    metrics_file = MetricsFile(folder.metrics, task)
    callbacks: list[L.Callback] = [metrics_file, BestNetwork(folder.model, task, run.network)]
    if config.patience:
        # strict=False: without held-out images there is no metric to monitor.
        callbacks.append(EarlyStopping(
            f"val_{task.best_metric}", patience=config.patience, mode="max" if task.maximize else "min", strict=False,
            check_on_train_epoch_end=True,
        ))  # fmt: skip
    callbacks.append(LastCheckpoint(folder.checkpoint))
    callbacks.append(RichProgressBar() if progress_bar else EpochLines(log, metrics_file))
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    return L.Trainer(
        accelerator=_accelerator(config.device),
        devices=1,
        precision=LIGHTNING_PRECISION[config.precision],  # type: ignore[arg-type]  # Lightning declares a Literal
        max_epochs=config.epochs,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        logger=TensorBoardLogger(folder.path, name="tensorboard", version=""),
        enable_checkpointing=False,
        enable_progress_bar=progress_bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=max(1, min(50, steps)),
    )


def _accelerator(device: str) -> str:
    """Return Lightning's name of a device; its own "auto" would take MPS, which lacks float64 and sparse products."""
    return "gpu" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"


def _loader(run: PreparedRun, folder: DatasetFolder, train: bool, epoch: int = 0) -> DataLoader:
    config = run.config
    augmentations = (config.augment or ()) if train else ()
    samples = PreparedSamples(folder.samples, run.reader, run.splits.preprocessing, augmentations, config.seed)
    sampler = EpochSampler(len(samples), config.repeat if train else 1, config.seed, shuffle=train)
    sampler.set_epoch(epoch)  # workers fetch their first images before Lightning sets the epoch
    leftover = len(sampler) % config.batch_size
    return DataLoader(
        samples,
        config.batch_size,
        sampler=sampler,
        num_workers=config.workers,
        persistent_workers=config.workers > 0,
        drop_last=train and leftover == 1 and len(sampler) > 1,  # batch normalization cannot learn from one image
    )
