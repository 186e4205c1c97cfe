"""Training loop: from resolved settings to a trained network in a run's folder."""

from __future__ import annotations

import logging
import signal
import warnings

import lightning.pytorch as L
import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.callbacks import EarlyStopping, RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from omniconv.data.layouts.dataset_folder import DatasetFolder
from omniconv.models import Model
from omniconv.run_folder import RunFolder
from omniconv.tasks.base import Task
from omniconv.training.callbacks import BestNetwork, EpochLines, LastCheckpoint, Log, MetricsFile
from omniconv.training.checkpoints import AtomicCheckpointIO, read_checkpoint
from omniconv.training.dataset_splits import DatasetSplits
from omniconv.training.datasets import EpochSampler, PreparedSamples, SampleReader
from omniconv.training.module import TrainingModule
from omniconv.training.settings import RunConfig

LIGHTNING_PRECISION = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def fit(
    run: RunFolder,
    config: RunConfig,
    splits: DatasetSplits,
    network: Model,
    log: Log,
    progress_bar: bool,
    resume: bool = False,
    reader: SampleReader | None = None,
) -> None:
    """Train, and leave the best network, the metrics and the last checkpoint in the run's folder.

    Args:
        run: the folder.
        config: resolved settings.
        splits: the samples.
        network: result of ``build_network``.
        log: takes a line for each epoch where there is no progress bar.
        progress_bar: show one.
        resume: continue from the last checkpoint, or from the start where there is none yet.
        reader: reads the samples; by default a new one.

    Raises:
        FileError: the checkpoint is damaged, or a file cannot be written.
        KeyboardInterrupt: the user or the system ended the training; the last checkpoint is complete.
    """
    areas = splits.preprocessing.areas()
    module = TrainingModule(
        network, config, len(splits.classes), None if areas is None else torch.from_numpy(areas),
        splits.class_frequencies if config.balance else None,
    )  # fmt: skip
    if reader is None:
        count = sum(len(folder.samples) for folder in (splits.training, splits.validation) if folder)
        reader = SampleReader(splits.task, splits.preprocessing, count)
    checkpoint = run.checkpoint if resume and run.checkpoint.is_file() else None
    first_epoch = read_checkpoint(checkpoint, network)["epoch"] + 1 if checkpoint else 0
    training = _loader(splits.training, splits, reader, config, train=True, epoch=first_epoch)
    validation = _loader(splits.validation, splits, reader, config, train=False) if splits.validation else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PossibleUserWarning)  # advice on workers and log intervals
        warnings.filterwarnings("ignore", message=".*(pkg_resources|isinstance.treespec|LeafSpec).*")
        trainer = _trainer(run, config, splits.task, log, progress_bar, steps=len(training))
        on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            trainer.fit(module, training, validation, ckpt_path=checkpoint, weights_only=True)
        except SystemExit as ended:
            # Lightning 2.6 answers SIGINT and SIGTERM by SystemExit, and ignores SIGINT from then on.
            signal.signal(signal.SIGINT, on_interrupt)
            raise KeyboardInterrupt from ended


def _trainer(run: RunFolder, config: RunConfig, task: Task, log: Log, progress_bar: bool, steps: int) -> L.Trainer:
    metrics_file = MetricsFile(run.metrics, task)
    callbacks: list[L.Callback] = [metrics_file, BestNetwork(run.model, task)]
    if config.patience:
        monitor, mode = f"val_{task.best_metric}", "max" if task.maximize else "min"
        stopping = EarlyStopping(
            monitor, patience=config.patience, mode=mode, strict=False, check_on_train_epoch_end=True
        )
        callbacks.append(stopping)
    callbacks += [LastCheckpoint(run.checkpoint), RichProgressBar() if progress_bar else EpochLines(log, metrics_file)]
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    return L.Trainer(
        accelerator=_accelerator(config.device),
        devices=1,
        precision=LIGHTNING_PRECISION[config.precision],  # type: ignore[arg-type]  # one of Lightning's words
        max_epochs=config.epochs,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        logger=TensorBoardLogger(run.path, name="tensorboard", version=""),
        enable_checkpointing=False,
        enable_progress_bar=progress_bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=max(1, min(50, steps)),
    )


def _accelerator(device: str) -> str:
    """Return Lightning's name; ``auto`` leaves out devices, such as MPS, without float64 and sparse products."""
    return "gpu" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"


def _loader(
    folder: DatasetFolder, splits: DatasetSplits, reader: SampleReader, config: RunConfig, train: bool, epoch: int = 0
) -> DataLoader:
    augmentations = (config.augment or ()) if train else ()
    samples = PreparedSamples(folder.samples, reader, splits.preprocessing, augmentations, config.seed)
    sampler = EpochSampler(len(samples), config.repeat if train else 1, config.seed, shuffle=train)
    sampler.set_epoch(epoch)  # workers fetch their first images before Lightning sets the epoch
    leftover = len(sampler) % config.batch_size
    return DataLoader(
        samples,
        config.batch_size,
        sampler=sampler,
        num_workers=config.workers,
        persistent_workers=config.workers > 0,
        drop_last=train and leftover == 1 and len(sampler) > 1,  # batch normalisation cannot learn from one image
    )
