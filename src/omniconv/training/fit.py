"""Training loop: from resolved settings to a trained network in a run's folder."""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
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
from omniconv.processes import SINGLE, Place, ProcessGroup, is_lost_connection
from omniconv.progress import sign_of_life
from omniconv.run_folder import RunFolder
from omniconv.training.callbacks import (
    BestNetwork,
    EarlyStop,
    EpochBar,
    EpochLines,
    InterruptOnSigterm,
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


def fit_in_group(group: ProcessGroup, run: PreparedRun, log: Log, progress_bar: bool) -> None:
    """Train as ``fit``, in all processes of a group; called in process 0, which writes all files."""
    run.reader.open_disk(run.folder.cache, *_cached_samples(run.splits))  # before the others, which open it again
    sent = replace(run, reader=run.reader.without_samples())
    group.call(_fit_silently, (sent,), lambda: fit(run, log, progress_bar, place=group.place))


def _fit_silently(group: ProcessGroup, run: PreparedRun) -> RunFolder:
    fit(run, lambda text: None, False, place=group.place)
    return run.folder


def fit(
    run: PreparedRun,
    log: Log,
    progress_bar: bool,
    callbacks: Sequence[L.Callback] = (),
    *,
    place: Place = SINGLE,
) -> None:
    """Train, and write the best network, the metrics and the last checkpoint into the run's folder.

    Args:
        run: settings, samples and network.
        log: called with a line for each epoch.
        progress_bar: also show a progress bar.
        callbacks: further callbacks of Lightning, called before those of omniconv.
        place: place of this process among those that train; only process 0 writes.

    Raises:
        FileError: the checkpoint is damaged, or a file cannot be written.
        KeyboardInterrupt: the user or the system ended the training; the last checkpoint is complete.
    """
    folder, config, splits = run.folder, run.config, run.splits
    writes = place.rank == 0
    module = build_module(run.network, config, splits)
    metrics_file = MetricsFile(folder, splits.task, has_adversary=module.adversary is not None)
    best = BestNetwork(folder, splits.task, module.evaluated)
    early_stop = EarlyStop(metrics_file, splits.task, config.patience)
    checkpoint = read_checkpoint(folder.checkpoint, module.networks) if folder.checkpoint.is_file() else None
    if checkpoint:
        _restore(run, module, checkpoint, metrics_file, best, writes)
        if reason := early_stop.reason(metrics_file.rows):
            log(reason)
        if reason or len(metrics_file.rows) >= config.epochs:
            return
    elif writes:
        shutil.rmtree(folder.tensorboard, ignore_errors=True)
    if writes and (kept := run.reader.open_disk(folder.cache, *_cached_samples(splits))):
        log(printable(kept))
    if config.workers == AUTO:
        workers, reason = choose_workers(config, run.reader.disk is None and run.reader.fits_cache(), splits)
        workers = math.ceil(workers / place.local_size)
        log(f"workers: {workers} ({reason})")
        config = config.replace(workers=workers)
        run = replace(run, config=config)
    training = _loader(run, splits.training, True, place, epoch=len(metrics_file.rows))
    validation = None
    if splits.validation:
        # Each process measures some of the batches, unless there are too few.
        is_shared = math.ceil(len(splits.validation.samples) / config.batch_size) >= place.size
        validation = _loader(run, splits.validation, False, place if is_shared else SINGLE)
        module.share_validation(is_shared and place.size > 1)
    remaining = RemainingTime()
    pictures = [ProgressPictures(folder, splits, config.sample_every)] if config.sample_every and writes else []
    # The pictures of an epoch precede its checkpoint: if the process is killed in between, the epoch is trained again.
    own = [metrics_file, best, early_stop, *pictures, LastCheckpoint(folder, metrics_file, best), remaining]
    steps = StepCounter(remaining)
    life = nullcontext(log) if progress_bar or not writes else sign_of_life(log, steps.describe)
    with warnings.catch_warnings(), _tensorboard_errors(), life as log_line:
        if writes:
            own += [EpochLines(log_line, metrics_file, splits.task, remaining)]
            own += [EpochBar(remaining) if progress_bar else steps]
        if place.size > 1:
            own += [InterruptOnSigterm()]
        warnings.simplefilter("ignore", PossibleUserWarning)  # advice on workers and log intervals
        # Deprecations inside Lightning: of pkg_resources, and of the tree functions of newer torch versions.
        warnings.filterwarnings("ignore", message=".*(pkg_resources|isinstance.treespec|LeafSpec).*")
        # In float16 the first steps are skipped while the scale of the loss is too large; the schedule goes on.
        warnings.filterwarnings("ignore", message=".*`lr_scheduler.step..` before `optimizer.step..`")
        # Advice of DistributedDataParallel, for weights with an axis of size 1, whose strides say nothing.
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            # Lightning's global_step counts the steps of every optimizer, TensorBoard's axis those of the network.
            first_step = checkpoint["global_step"] // len(checkpoint["optimizer_states"]) if checkpoint else None
            nothing: AbstractContextManager[list[Logger]] = nullcontext([])
            with open_loggers(config, folder, first_step) if writes else nothing as loggers:
                trainer = _trainer(run, [*callbacks, *own], progress_bar, len(training), loggers, place, module)
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
            is_other = is_memory or is_lost_connection(error) or isinstance(error, InputError)
            if checkpoint is None or metrics_file.start or is_other:
                raise
            raise FileError(folder.checkpoint, f"is damaged ({one_line(error)})", CURE) from error
    if writes:
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
    writes: bool,
) -> None:
    """Load the callbacks from a checkpoint, and write the files again that a killed process did not come to write."""
    metrics_file.load_state_dict(checkpoint["callbacks"]["MetricsFile"])
    best.load_state_dict(checkpoint["callbacks"]["BestNetwork"])
    if not writes:
        return
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
    run: PreparedRun,
    callbacks: list[L.Callback],
    progress_bar: bool,
    steps: int,
    loggers: list[Logger],
    place: Place,
    module: TrainingModule,
) -> L.Trainer:
    config = run.config
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    group: dict[str, Any] = {} if place.size == 1 else _group_options(place, config, module)
    return L.Trainer(
        accelerator=_accelerator(config.device),
        devices=place.local_size,
        num_nodes=place.nodes,
        use_distributed_sampler=False,  # `EpochSampler` has the samples of this process only
        precision=LIGHTNING_PRECISION[config.precision],  # type: ignore[arg-type]  # Lightning declares a Literal
        max_epochs=config.epochs,
        accumulate_grad_batches=config.accumulate,
        gradient_clip_val=config.clip or None,  # with a limit, even 0, Lightning refuses two optimizers
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO(), *group.pop("plugins", [])],
        logger=loggers or False,
        enable_checkpointing=False,
        enable_progress_bar=progress_bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=max(1, min(50, steps)),
        **group,
    )


def _group_options(place: Place, config: RunConfig, module: TrainingModule) -> dict[str, Any]:
    """Return the arguments of Lightning's trainer for one of several processes."""
    from omniconv.training.strategies import JoinedEnvironment, make_strategy  # late: several processes only

    # In each step against an adversary the other network has no gradients, a frozen backbone has none in some epochs,
    # and a network of the user's own may not use all of its parameters.
    unused = module.adversary is not None or config.freeze > 0 or module.network.code is not None
    return {"plugins": [JoinedEnvironment(place)], "strategy": make_strategy(config.strategy, unused)}


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


def _loader(run: PreparedRun, folder: DatasetFolder, train: bool, place: Place, epoch: int = 0) -> DataLoader:
    config = run.config
    augmentations = (config.augment or ()) if train else ()
    preprocessing = run.splits.preprocessing
    samples = PreparedSamples(folder.samples, run.reader, preprocessing, augmentations, config.seed, training=train)
    repeat, factors = (config.repeat, run.splits.repeat_factors) if train else (1, ())
    # Batch normalization cannot learn from one image, and of several processes each needs one.
    smallest = max(2, place.size) if train and len(samples) * repeat > 1 else 1
    sampler = EpochSampler(
        len(samples), repeat, config.seed, train, factors, batch_size=config.batch_size, smallest=smallest,
        rank=place.rank, processes=place.size, share="rows" if train else "batches",
    )  # fmt: skip
    workers = 0 if config.workers == AUTO else int(config.workers)  # `fit` has replaced AUTO by a number
    sampler.set_epoch(epoch)  # workers fetch their first images before Lightning sets the epoch
    workers = int(config.workers)  # "auto" is resolved by `fit`
    return DataLoader(
        samples,
        config.batch_size // (place.size if train else 1),
        sampler=sampler,
        num_workers=workers,
        # Each iteration draws a seed, in a resumed run before the epoch is seeded and else after it.
        generator=torch.Generator().manual_seed(config.seed),
        persistent_workers=workers > 0,
    )
