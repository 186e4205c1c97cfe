"""Training loop: from resolved settings to a trained network in a run's folder."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.loggers import Logger
from torch.utils.data import DataLoader

from omniconv.data.augmentation import CHEAP_AUGMENTATIONS
from omniconv.data.layouts.dataset_folder import DatasetFolder, Sample
from omniconv.errors import FileError, InputError, one_line, pluralize, printable
from omniconv.files import WriteError
from omniconv.models import Model, load
from omniconv.progress import sign_of_life
from omniconv.run_folder import RunFolder
from omniconv.training.callbacks import (
    BestNetwork,
    EarlyStop,
    EpochBar,
    EpochLines,
    LastCheckpoint,
    Log,
    MetricsFile,
    RemainingTime,
    StepCounter,
)
from omniconv.training.checkpoints import CURE, AtomicCheckpointIO, read_checkpoint
from omniconv.training.dataset_splits import DatasetSplits
from omniconv.training.datasets import EpochSampler, PreparedSamples, SampleReader
from omniconv.training.loggers import open_loggers
from omniconv.training.module import TrainingModule, build_module
from omniconv.training.progress_pictures import ProgressPictures
from omniconv.training.setting_values import AUTO
from omniconv.training.settings import RunConfig

MOST_WORKERS = 8
"""Most workers of ``workers="auto"``: more rarely help, and each one takes memory."""
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


def fit(run: PreparedRun, log: Log, progress_bar: bool, callbacks: Sequence[L.Callback] = ()) -> None:
    """Train, and write the best network, the metrics and the last checkpoint into the run's folder.

    Args:
        run: settings, samples and network.
        log: called with a line for each epoch.
        progress_bar: also show a progress bar.
        callbacks: further callbacks of Lightning, called before those of omniconv.

    Raises:
        FileError: the checkpoint is damaged, or a file cannot be written.
        KeyboardInterrupt: the user or the system ended the training; the last checkpoint is complete.
    """
    folder, config, splits = run.folder, run.config, run.splits
    module = build_module(run.network, config, splits)
    metrics_file = MetricsFile(folder, splits.task, has_adversary=module.adversary is not None)
    best = BestNetwork(folder, splits.task, module.evaluated)
    early_stop = EarlyStop(metrics_file, splits.task, config.patience)
    checkpoint = read_checkpoint(folder.checkpoint, module.networks) if folder.checkpoint.is_file() else None
    if checkpoint:
        _restore(run, module, checkpoint, metrics_file, best)
        if reason := early_stop.reason(metrics_file.rows):
            log(reason)
        if reason or len(metrics_file.rows) >= config.epochs:
            return
    else:
        shutil.rmtree(folder.tensorboard, ignore_errors=True)
    if kept := run.reader.open_disk(folder.cache, *_cached_samples(splits)):
        log(printable(kept))
    if config.workers == AUTO:
        workers, reason = choose_workers(config, run.reader.disk is None and run.reader.fits_cache(), splits)
        log(f"workers: {workers} ({reason})")
        config = config.replace(workers=workers)
        run = replace(run, config=config)
    training = _loader(run, splits.training, train=True, epoch=len(metrics_file.rows))
    validation = _loader(run, splits.validation, train=False) if splits.validation else None
    remaining = RemainingTime()
    pictures = [ProgressPictures(folder, splits, config.sample_every)] if config.sample_every else []
    # The pictures of an epoch precede its checkpoint: if the process is killed in between, the epoch is trained again.
    own = [metrics_file, best, early_stop, *pictures, LastCheckpoint(folder, metrics_file, best), remaining]
    steps = StepCounter(remaining)
    life = nullcontext(log) if progress_bar else sign_of_life(log, steps.describe)
    with warnings.catch_warnings(), _tensorboard_errors(), life as log_line:
        own += [EpochLines(log_line, metrics_file, splits.task, remaining)]
        own += [EpochBar(remaining) if progress_bar else steps]
        warnings.simplefilter("ignore", PossibleUserWarning)  # advice on workers and log intervals
        # Deprecations inside Lightning: of pkg_resources, and of the tree functions of newer torch versions.
        warnings.filterwarnings("ignore", message=".*(pkg_resources|isinstance.treespec|LeafSpec).*")
        # In float16 the first steps are skipped while the scale of the loss is too large; the schedule goes on.
        warnings.filterwarnings("ignore", message=".*`lr_scheduler.step..` before `optimizer.step..`")
        on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            # Lightning's global_step counts the steps of every optimizer, TensorBoard's axis those of the network.
            first_step = checkpoint["global_step"] // len(checkpoint["optimizer_states"]) if checkpoint else None
            with open_loggers(config, folder, first_step) as loggers:
                trainer = _trainer(run, [*callbacks, *own], progress_bar, len(training), loggers)
                path = folder.checkpoint if checkpoint else None
                trainer.fit(module, training, validation, ckpt_path=path, weights_only=True)
        except SystemExit as ended:
            # Lightning 2.6 raises SystemExit on SIGINT and SIGTERM, and ignores SIGINT from then on.
            signal.signal(signal.SIGINT, on_interrupt)
            raise KeyboardInterrupt from ended
        except OSError as error:  # the other files are written by `atomic_write`
            raise WriteError(error.filename or folder.tensorboard, error) from error
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                rule = f"failed ({one_line(error)})"
                raise InputError("compile", True, rule, "leave it out") from error
            # Lightning and torch restore the optimizer, the schedule and the loops before the first epoch begins.
            is_memory = isinstance(error, torch.OutOfMemoryError) or "memory" in str(error)  # no class for the CPU's
            if checkpoint is None or metrics_file.start or is_memory or isinstance(error, InputError):
                raise
            raise FileError(folder.checkpoint, f"is damaged ({one_line(error)})", CURE) from error
    shutil.rmtree(folder.cache, ignore_errors=True)
    if reason := early_stop.reason(metrics_file.rows):
        log(reason)


def choose_workers(config: RunConfig, in_memory: bool, splits: DatasetSplits) -> tuple[int, str]:
    """Return the number of processes that load images for ``workers="auto"``, and the reason.

    Args:
        config: the settings.
        in_memory: the samples are kept in memory.
        splits: the samples.
    """
    cheap = set(config.augment or ()) <= set(CHEAP_AUGMENTATIONS) and splits.preprocessing.surface.any_size
    if in_memory and cheap:
        return 0, "images in memory need next to no work"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_WORKERS, cores - 1), f"one less than the {pluralize(cores, 'core')}, at most {MOST_WORKERS}"


def _cached_samples(splits: DatasetSplits) -> tuple[list[Sample], dict[str, Any]]:
    """Return all samples of a run, and what the cached ones depend on."""
    samples = [sample for part in (splits.training, splits.validation) if part for sample in part.samples]
    files = {str(path): state.digest for path, state in splits.files.items()}
    targets = [] if splits.task.target_is_file else [repr(sample.target) for sample in samples]
    return samples, {"preprocessing": splits.preprocessing.to_json(), "files": files, "targets": targets}


def _restore(
    run: PreparedRun,
    module: TrainingModule,
    checkpoint: dict[str, Any],
    metrics_file: MetricsFile,
    best: BestNetwork,
) -> None:
    """Load the callbacks from a checkpoint, and write the files again that a killed process did not come to write."""
    metrics_file.load_state_dict(checkpoint["callbacks"]["MetricsFile"])
    best.load_state_dict(checkpoint["callbacks"]["BestNetwork"])
    metrics_file.write()
    if best.epoch == checkpoint["epoch"] or not run.folder.model.is_file():
        for prefix, network in module.networks.items():
            state = checkpoint["state_dict"]
            network.load_state_dict({name: state[f"{prefix}.{name}"] for name in network.state_dict()})
        if not _has_weights(run.folder.model, best.network):
            best.write()


def _has_weights(path: Path, network: Model) -> bool:
    """Return True if a file has the weights of a network."""
    try:
        saved = load(path, network=network.code).state_dict()
    except FileError:
        return False
    return all(name in saved and torch.equal(saved[name], value) for name, value in network.state_dict().items())


def _trainer(
    run: PreparedRun, callbacks: list[L.Callback], progress_bar: bool, steps: int, loggers: list[Logger]
) -> L.Trainer:
    config = run.config
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    return L.Trainer(
        accelerator=_accelerator(config.device),
        devices=1,
        precision=LIGHTNING_PRECISION[config.precision],  # type: ignore[arg-type]  # Lightning declares a Literal
        max_epochs=config.epochs,
        accumulate_grad_batches=config.accumulate,
        gradient_clip_val=config.clip or None,  # with a limit, even 0, Lightning refuses two optimizers
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        logger=loggers or False,
        enable_checkpointing=False,
        enable_progress_bar=progress_bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=max(1, min(50, steps)),
    )


@contextmanager
def _tensorboard_errors() -> Iterator[None]:
    """Silence the traceback of TensorBoard's writing thread; its next call raises the error in this thread."""
    show = threading.excepthook

    def show_others(details: threading.ExceptHookArgs) -> None:
        if not (isinstance(details.exc_value, OSError) and "tensorboard" in type(details.thread).__module__):
            show(details)

    threading.excepthook = show_others
    try:
        yield
    finally:
        threading.excepthook = show


def _accelerator(device: str) -> str:
    """Return Lightning's name of a device; its own "auto" would take MPS, which lacks float64 and sparse products."""
    return "gpu" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"


def _loader(run: PreparedRun, folder: DatasetFolder, train: bool, epoch: int = 0) -> DataLoader:
    config = run.config
    augmentations = (config.augment or ()) if train else ()
    preprocessing = run.splits.preprocessing
    samples = PreparedSamples(folder.samples, run.reader, preprocessing, augmentations, config.seed, training=train)
    factors = run.splits.repeat_factors if train else ()
    sampler = EpochSampler(len(samples), config.repeat if train else 1, config.seed, train, factors)
    sampler.set_epoch(epoch)  # workers fetch their first images before Lightning sets the epoch
    leftover = len(sampler) % config.batch_size
    return DataLoader(
        samples,
        config.batch_size,
        sampler=sampler,
        num_workers=config.workers,
        # Each iteration draws a seed, in a resumed run before the epoch is seeded and else after it.
        generator=torch.Generator().manual_seed(config.seed),
        persistent_workers=config.workers > 0,
        drop_last=train and leftover == 1 and len(sampler) > 1,  # batch normalization cannot learn from one image
    )
