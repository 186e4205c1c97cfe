"""Resumption of a run with the samples that it started with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from omniconv.data.content import check_unchanged
from omniconv.errors import FileError, InputError, printable
from omniconv.inference.predictor import choose_device
from omniconv.models import Model, load
from omniconv.models.own_code import own_code
from omniconv.processes import ProcessGroup, join
from omniconv.run_folder import RunFolder, own_run
from omniconv.runs.start import finish_run, write_start
from omniconv.training.callbacks import Log
from omniconv.training.checkpoints import read_checkpoint
from omniconv.training.dataset_splits import DatasetSplits, move_splits, read_splits, write_splits
from omniconv.training.dataset_summary import summarize_dataset, write_samples
from omniconv.training.datasets import SampleReader
from omniconv.training.fit import PreparedRun
from omniconv.training.module import build_module
from omniconv.training.preflight import (
    build_network,
    check_patience,
    check_precision,
    check_processes,
    is_measurable,
)
from omniconv.training.settings import RunConfig, errors_in_file, missing_settings, read_config
from omniconv.training.starting_weights import (
    check_weights_settings,
    load_starting_weights,
    read_starting_weights,
    with_normalization,
)

CHANGEABLE = ("epochs", "device", "devices", "nodes", "strategy", "workers", "cache", "patience")


def resume_run(
    path: Path, given: dict[str, Any], log: Log, progress_bar: bool, *, network: Any = None, trust: bool = False
) -> RunFolder:
    """Continue a run where it stopped.

    Args:
        path: the run's folder.
        given: settings that the user changes; ``data`` is the new place of the data, which must hold the same files.
        log: called with lines of text for the user.
        progress_bar: show a progress bar.
        network: for a run of a network of the user's own, its code again, see ``oc.load``.
        trust: import the code of the network that the run names.

    Raises:
        OwnedError: another process trains in the folder.
        InputError: the folder is not a run, or a setting cannot change.
        KeyboardInterrupt, WriteError: as ``finish_run``.
    """
    with join(str(given.get("device", "auto"))) as group:
        if group is not None and group.place.rank > 0:
            return group.serve()
        with own_run(path) as run:
            return _resume(run, given, log, progress_bar, network, trust, group)


def _resume(
    run: RunFolder,
    given: dict[str, Any],
    log: Log,
    progress_bar: bool,
    own_network: Any,
    trust: bool,
    group: ProcessGroup | None,
) -> RunFolder:
    moved_to = given.get("data")
    given = {name: value for name, value in given.items() if name != "data"}
    for name in given:
        if name not in CHANGEABLE:
            raise InputError(name, given[name], "cannot change in a resumed run", f"only {', '.join(CHANGEABLE)} can")
    if run.was_converted:
        rule = "was converted, not trained"
        raise FileError(run.path, rule, f"train its network in a new run: omniconv train TASK DATA --from {run.path}")
    settings = read_config(run.config)
    missing = missing_settings(RunConfig(**settings), settings)
    if missing:
        raise FileError(run.config, f"is incomplete: it lacks {missing[0]}", "restore it, or start a new run")
    code = own_code(run.config, settings.get("network"), own_network, trust)
    config = RunConfig(**(settings | given | ({"network": str(code)} if code else {})))
    in_file = set(RunConfig.model_fields) - set(given)
    check_precision(config, choose_device(config.device))
    check_weights_settings(config)
    with errors_in_file(run.config, in_file):
        config = check_processes(config, choose_device(config.device), given)
    trained = run.checkpoint.is_file()
    summary = None
    if trained or run.data.is_file():
        splits = read_splits(run.data, check_files=moved_to is None)
        if moved_to is not None:
            splits = move_splits(splits, Path(config.data), Path(moved_to))
            splits = replace(splits, files=check_unchanged(splits.files))
    else:  # killed before its data was listed
        summary = summarize_dataset(config if moved_to is None else config.replace(data=moved_to))
        splits = summary.splits
    if moved_to is not None:
        config = config.replace(data=str(Path(moved_to).resolve()))
    with errors_in_file(run.config, in_file):
        network = build_network(config, splits, code)
        if not trained:
            if not read_starting_weights(run, network):
                load_starting_weights(network, config)
            splits = with_normalization(splits, network)
    done = _read_done(run, config, splits, network) if trained else 0
    if trained:
        _check_best(run, network)
    if config.epochs < done:
        raise InputError("epochs", config.epochs, f"must be at least {done}, which are done", f"use epochs={done}")
    with errors_in_file(run.config, in_file):
        check_patience(config, not config.patience or is_measurable(splits))
    log(printable(run.path))
    log(f"{done} of {config.epochs} epochs are done")
    count = sum(len(folder.samples) for folder in (splits.training, splits.validation) if folder)
    reader = summary.reader if summary else SampleReader(splits.task, splits.preprocessing, count, config.cache)
    if summary:
        write_start(run, config, replace(summary, splits=splits), log)
    else:
        if moved_to is not None:
            write_splits(splits, run.data)
        config.write(run.config)
        if not run.samples.is_file():
            write_samples(splits, reader, run.samples)
    return finish_run(PreparedRun(run, config, splits, reader, network), log, progress_bar, group)


def _read_done(run: RunFolder, config: RunConfig, splits: DatasetSplits, network: Model) -> int:
    """Return the number of epochs in the checkpoint, after checking that it fits the training."""
    return read_checkpoint(run.checkpoint, build_module(network, config, splits).networks)["epoch"] + 1


def _check_best(run: RunFolder, network: Model) -> None:
    """Check that the best network so far, if its file can be read, is one that the run trains."""
    if not run.model.is_file():
        return
    try:
        best = load(run.model, network=network.code)
    except FileError:  # damaged, or written halfway by a system that crashed
        return
    if (type(best), best.arguments) != (type(network), network.arguments):
        rule = "has another network than config.yaml describes"
        raise FileError(run.model, rule, "restore it, or delete it and train on from the checkpoint")
