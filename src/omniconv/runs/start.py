"""Start of a run: settings, data and network are checked before its folder is created."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from omniconv.data.content import find_copies
from omniconv.errors import FileError, InputError, printable
from omniconv.files import WriteError, write_cure
from omniconv.inference.evaluation import evaluate, prediction_settings
from omniconv.inference.predictor import Predictor, choose_device
from omniconv.models.own_code import network_code, own_code
from omniconv.processes import ProcessGroup, join, launch
from omniconv.progress import Count, sign_of_life
from omniconv.run_folder import (
    RunFolder,
    check_new_folder,
    check_outside,
    check_run_name,
    default_run_name,
    find_run,
    new_run,
    remove_start,
    write_json,
)
from omniconv.runs.page import WEIGHTS, report_lock, write_report
from omniconv.tasks import TASKS
from omniconv.training.callbacks import Log
from omniconv.training.dataset_splits import write_splits
from omniconv.training.dataset_summary import DatasetSummary, summarize_dataset, write_samples
from omniconv.training.fit import PreparedRun, fit, fit_in_group
from omniconv.training.preflight import (
    build_network,
    check_patience,
    check_precision,
    check_processes,
    check_settings,
    resolve_settings,
)
from omniconv.training.settings import (
    NETWORK_SETTINGS,
    RunConfig,
    errors_in_file,
    read_config,
    with_earlier_defaults,
)
from omniconv.training.starting_weights import (
    describe_weights,
    load_starting_weights,
    with_normalization,
    write_starting_weights,
)

PACKAGES = ("omniconv", "torch", "lightning", "torchmetrics", "numpy", "scipy", "pillow", "safetensors")


def start_run(
    given: dict[str, Any],
    log: Log,
    progress_bar: bool = False,
    *,
    config_file: Path | None = None,
    name: str | None = None,
    out: str | None = None,
    source: str | Path | None = None,
    trust: bool = False,
) -> RunFolder:
    """Train in a new folder, then evaluate and report the result.

    With the setting ``devices``, or started by ``torchrun`` or ``srun``, in several processes, of which the first one
    prints, writes, evaluates and reports.

    Args:
        given: settings that the user gave; ``network`` may also be a module or a function.
        log: called with lines of text for the user.
        progress_bar: show a progress bar.
        config_file: a file of further settings.
        name: name of the run; by default that of its data.
        out: the run's folder; by default ``runs/NAME``.
        source: a run whose network is trained further: its weights, normalization and settings of the network and the
            image size are the defaults of the new run.
        trust: import the network that ``config_file`` or ``source`` names.

    Raises:
        InputError: the settings or the data cannot be used; nothing has been written then.
    """
    with join(str(given.get("device", "auto"))) as group:
        if group is not None and group.place.rank > 0:
            return group.serve()
        return _start(given, log, progress_bar, config_file, name, out, source, trust, group)


def _start(
    given: dict[str, Any],
    log: Log,
    progress_bar: bool,
    config_file: Path | None = None,
    name: str | None = None,
    out: str | None = None,
    source: str | Path | None = None,
    trust: bool = False,
    group: ProcessGroup | None = None,
) -> RunFolder:
    check_run_name(name, out)
    code = None if given.get("network") is None else network_code(given["network"])
    given = given | ({"network": str(code)} if code else {})
    if source is not None:
        given = _settings_of(find_run(source), given) | given
    settings = (with_earlier_defaults(read_config(config_file)) if config_file else {}) | given
    if code is None:
        code = own_code(config_file or source, settings.get("network"), None, trust)
    for argument in ("task", "data"):
        if not (value := settings.get(argument)):
            task_name = settings.get("task") or "|".join(TASKS)
            raise InputError(argument.upper(), value, "is required", f"write: omniconv train {task_name} DATA")
    config = RunConfig.with_task_defaults(**settings)
    in_file = set(settings) - set(given)
    with errors_in_file(config_file, in_file):
        check_precision(config, choose_device(config.device))
        config = check_processes(config, choose_device(config.device), settings)
        check_settings(config, given, code)
    check_new_folder(name or default_run_name(config.data), out)
    check_outside(out or "runs", config.data, config.task_object.searched_folders)
    with sign_of_life(log, lambda: "reading the images"):
        summary = summarize_dataset(config)
    with errors_in_file(config_file, in_file):
        check_patience(config, summary.is_measurable)
        config = resolve_settings(config, summary.splits)
        network = build_network(config, summary.splits, code)
        weights = load_starting_weights(network, config)
    summary = replace(summary, splits=with_normalization(summary.splits, network))
    with new_run(name or default_run_name(config.data), out) as run:
        log(printable(run.path))
        try:
            if weights is not None:
                write_starting_weights(run, network, weights)
            write_start(run, config, summary, log)
        except BaseException:
            remove_start(run)
            raise
        if weights is not None:
            log(f"  weights: {describe_weights(weights)}")
        prepared = PreparedRun(run, config, summary.splits, summary.reader, network)
        return finish_run(prepared, log, progress_bar, group)


def _settings_of(source: RunFolder, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a training takes over from the run whose network it trains further.

    Raises:
        InputError: weights are given, too.
        FileError: the run has no network yet.
    """
    for name in ("weights", "encoder_weights"):
        if given.get(name):
            rule = "cannot be given with a run whose network is trained further, which has weights"
            raise InputError(name, given[name], rule, "give one of them")
    if not source.model.is_file():
        raise FileError(source.path, "has no trained network yet", "give another run, or finish it first")
    kept = ("task", "method", "model", *NETWORK_SETTINGS, "size")
    found = {name: value for name, value in with_earlier_defaults(read_config(source.config)).items() if name in kept}
    return found | {"weights": str(source.path)}


def write_start(run: RunFolder, config: RunConfig, summary: DatasetSummary, log: Log) -> None:
    """Show the facts about the data, and write the files that a run needs to be resumed."""
    for fact, text in summary.facts(config).items():
        log(printable(f"  {fact}: {text}"))
    config.write(run.config)
    write_json(run.environment, describe_environment())
    write_splits(summary.splits, run.data)
    write_samples(summary.splits, summary.reader, run.samples)


def finish_run(run: PreparedRun, log: Log, progress_bar: bool, group: ProcessGroup | None = None) -> RunFolder:
    """Train by ``fit``, evaluate the best network on the held-out samples, and write the report.

    Args:
        run: the run.
        log: called with lines of text for the user.
        progress_bar: show a progress bar.
        group: the processes that a launcher started, which share the training.

    Raises:
        KeyboardInterrupt: the user or the system ended the run; its message is how to resume.
        WriteError: a file cannot be written; the cure is how to resume.
    """
    folder, splits = run.folder, run.splits
    command = f"omniconv train --resume {shlex.quote(printable(folder.path))}"
    try:
        _fit(run, log, progress_bar, group)
        predictor = Predictor.open(folder.path, run.config.device, network=run.network.code)
        if splits.validation:
            count = Count("evaluation", len(splits.validation.samples))
            with sign_of_life(log, count.describe):
                trained_on = find_copies(splits.images(splits.validation), splits.images(splits.training))
                used = prediction_settings(predictor)
                evaluation = evaluate(predictor, splits.validation, count.step, trained_on, used)
            write_json(folder.evaluation, evaluation | {WEIGHTS: predictor.weights_checksum()})
            quality = splits.task.quality_line(evaluation)
            if quality:
                log(printable(f"best epoch, on the held-out images that selected it: {quality}"))
            for note in splits.task.quality_notes(evaluation, run.config.balance):
                log(printable(note))
        with sign_of_life(log, lambda: f"writing {folder.report.name}"), report_lock(folder):
            write_report(folder, predictor, splits.shown)
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(f"resume with: {command}") from interrupt
    except WriteError as error:
        cure = f"{write_cure(error.error, same_path=True)}, then resume with: {command}"
        raise WriteError(error.path, error.error, cure) from error
    return folder


def _fit(run: PreparedRun, log: Log, progress_bar: bool, group: ProcessGroup | None) -> None:
    if group is not None:
        fit_in_group(group, run, log, progress_bar)
        group.close()
    elif run.config.devices > 1:
        with launch(run.config.devices, run.config.device) as group:
            fit_in_group(group, run, log, progress_bar)
    else:
        fit(run, log, progress_bar)


def describe_environment() -> dict[str, Any]:
    """Return the command, the machine, and the versions of Python and packages."""
    cuda = torch.cuda.is_available()
    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())] if cuda else []
    return {
        "command": sys.argv,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda if cuda else None,
        "accelerators": devices,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
