"""A training from its first word to its report."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from omniconv.errors import FileError, InputError
from omniconv.inference.evaluation import evaluate
from omniconv.inference.predictor import Predictor, choose_device
from omniconv.models import Model
from omniconv.run_folder import RunFolder, check_outside, new_run, open_run, read_metrics, write_json
from omniconv.runs.page import write_report
from omniconv.training.fit import Say, fit, make_network, resolve, start
from omniconv.training.material import Material, read_material
from omniconv.training.preflight import read_checkpoint
from omniconv.training.settings import RunConfig, read_config
from omniconv.training.understanding import understand

CHANGEABLE = ("epochs", "device", "workers", "patience")


def begin(
    given: dict[str, Any], config_file: Path | None, name: str | None, out: str | None, say: Say, progress_bar: bool
) -> RunFolder:
    """Train in a new folder, and evaluate and report the result.

    Everything that can be wrong with the settings or the data is found before the folder is made.

    Args:
        given: settings that were given by the user.
        config_file: a file of further settings.
        name: name of the run.
        out: exactly this folder.
        say: takes a line to tell the user.
        progress_bar: draw one.

    Raises:
        InputError: settings or data cannot be used.
    """
    settings = (read_config(config_file) if config_file else {}) | given
    for argument in ("task", "data"):
        if not settings.get(argument):
            task = settings.get("task") or "segment"
            raise InputError(argument.upper(), None, "is needed", f"write: omniconv train {task} DATA")
    config = RunConfig(**settings)
    config.check_model()
    choose_device(config.device)
    check_outside(out or "runs", config.data, config.task)
    understanding = understand(config)
    material = understanding.material
    config = resolve(config, material)
    network = make_network(config, material)
    run = new_run(name or Path(config.data).name or "run", out)
    say(str(run.path))
    _tell(understanding.facts(config), say)
    try:
        start(run, config, material)
    except BaseException:
        shutil.rmtree(run.path, ignore_errors=True)
        raise
    return _train(run, config, material, network, say, progress_bar, resume=False)


def go_on(path: Path, given: dict[str, Any], say: Say, progress_bar: bool) -> RunFolder:
    """Go on with a run where it stopped, on the very samples it began with.

    Raises:
        InputError: no run, or a setting that cannot change on the way.
    """
    run = open_run(path)
    for name in given:
        if name not in CHANGEABLE:
            raise InputError(name, given[name], "cannot change when a run goes on", f"only {', '.join(CHANGEABLE)} can")
    settings = read_config(run.config)
    missing = [name for name in RunConfig.model_fields if name not in settings]
    if missing:
        raise FileError(run.config, f"is cut short: it lacks {missing[0]}", "bring it back as it was, or train anew")
    config = RunConfig(**(settings | given))
    choose_device(config.device)
    done = len(read_metrics(run.metrics)) if run.checkpoint.is_file() else 0
    if config.epochs < done:
        raise InputError("epochs", config.epochs, f"must be at least {done}, which are done", f"use --epochs {done}")
    material = read_material(run.material)
    network = make_network(config, material)
    if run.checkpoint.is_file():
        read_checkpoint(run, network)
    elif run.metrics.is_file():
        raise FileError(run.checkpoint, "is gone, so that the run cannot go on", "train anew, with --config")
    say(str(run.path))
    say(f"{done} of {config.epochs} epochs are done")
    config.write(run.config)
    return _train(run, config, material, network, say, progress_bar, resume=True)


def write_run_report(run: RunFolder, predictor: Predictor) -> Path:
    """Write a run's page anew from what lies in its folder."""
    return write_report(run, predictor, read_material(run.material).shown)


def _train(
    run: RunFolder,
    config: RunConfig,
    material: Material,
    network: Model,
    say: Say,
    progress_bar: bool,
    resume: bool,
) -> RunFolder:
    try:
        fit(run, config, material, network, say, progress_bar, resume)
    except KeyboardInterrupt:
        say(f"interrupted; go on with: omniconv train --resume {run.path}")
        raise
    predictor = Predictor.open(run.path, config.device)
    if material.measured:
        found = evaluate(predictor, material.measured)
        write_json(run.evaluation, found)
        say(_quality(found))
    write_report(run, predictor, material.shown)
    return run


def _tell(facts: dict[str, str], say: Say) -> None:
    for name, text in facts.items():
        say(f"  {name}: {text}")


def _quality(found: dict[str, Any]) -> str:
    text = f"held-out images, the best epoch on them: accuracy {found['accuracy']:.4f}"
    if found["task"] == "classify":
        return text
    by_class = zip(found["classes"], found["iou_by_class"], strict=True)
    each = ", ".join(f"{name} {'–' if iou is None else format(iou, '.4f')}" for name, iou in by_class)
    area = f", by area {found['by_area']['iou']:.4f}" if "by_area" in found else ""
    return f"{text}, mean IoU {found['iou']:.4f}{area} ({each})"
