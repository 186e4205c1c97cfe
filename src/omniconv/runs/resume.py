"""Resumption of a run with the samples that it started with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from omniconv.data.content import check_unchanged
from omniconv.errors import FileError, InputError, printable
from omniconv.inference.predictor import choose_device
from omniconv.run_folder import RunFolder, find_run, read_metrics
from omniconv.runs.start import finish_run
from omniconv.training.callbacks import Log
from omniconv.training.checkpoints import read_checkpoint
from omniconv.training.dataset_splits import move_splits, read_splits, write_splits
from omniconv.training.datasets import SampleReader
from omniconv.training.fit import PreparedRun
from omniconv.training.preflight import build_network, check_patience, is_measurable
from omniconv.training.settings import RunConfig, read_config

CHANGEABLE = ("epochs", "device", "workers", "patience")


def resume_run(path: Path, given: dict[str, Any], log: Log, progress_bar: bool) -> RunFolder:
    """Continue a run where it stopped.

    Args:
        path: the run's folder.
        given: settings that the user changes; ``data`` is the new place of the data, which must hold the same files.
        log: called with lines of text for the user.
        progress_bar: show a progress bar.

    Raises:
        InputError: the folder is not a run, or a setting cannot change.
    """
    run = find_run(path)
    moved_to = given.get("data")
    given = {name: value for name, value in given.items() if name != "data"}
    for name in given:
        if name not in CHANGEABLE:
            raise InputError(name, given[name], "cannot change in a resumed run", f"only {', '.join(CHANGEABLE)} can")
    settings = read_config(run.config)
    unused = RunConfig(**settings).unused
    missing = [name for name in RunConfig.model_fields if name not in settings and name not in unused]
    if missing:
        raise FileError(run.config, f"is incomplete: it lacks {missing[0]}", "restore it, or start a new run")
    config = RunConfig(**(settings | given))
    choose_device(config.device)
    done = len(read_metrics(run.metrics)) if run.checkpoint.is_file() else 0
    if config.epochs < done:
        raise InputError("epochs", config.epochs, f"must be at least {done}, which are done", f"use epochs={done}")
    splits = read_splits(run.data, check_files=moved_to is None)
    if moved_to is not None:
        splits = move_splits(splits, Path(config.data), Path(moved_to))
        splits = replace(splits, files=check_unchanged(splits.files))
        config = config.replace(data=str(Path(moved_to).resolve()))
    check_patience(config, not config.patience or is_measurable(splits))
    network = build_network(config, splits)
    if run.checkpoint.is_file():
        read_checkpoint(run.checkpoint, network)
    elif run.metrics.is_file():
        rule = "does not exist, so the run cannot resume"
        raise FileError(run.checkpoint, rule, "start a new run: omniconv train --config")
    log(printable(run.path))
    log(f"{done} of {config.epochs} epochs are done")
    if moved_to is not None:
        write_splits(splits, run.data)
    config.write(run.config)
    count = sum(len(folder.samples) for folder in (splits.training, splits.validation) if folder)
    reader = SampleReader(splits.task, splits.preprocessing, count)
    return finish_run(PreparedRun(run, config, splits, reader, network), log, progress_bar)
