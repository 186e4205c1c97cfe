"""Report of a run: ``report.html`` with its quality, training curves, predictions and settings."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from omniconv.convert.choice import BANDS
from omniconv.data.layouts.dataset_folder import DatasetFolder
from omniconv.errors import FileError, pluralize
from omniconv.inference.evaluation import describe_overlap, read_evaluation
from omniconv.inference.predictor import Predictor
from omniconv.locks import lock_folder
from omniconv.models.registry import IMAGE_OUTPUTS
from omniconv.report.charts import curves
from omniconv.report.page import Page
from omniconv.run_folder import RunFolder, read_metrics, read_optional_json
from omniconv.surfaces import surface
from omniconv.training.dataset_splits import read_splits
from omniconv.training.settings import read_config

WEIGHTS = "weights"
"""Key of the checksum of the measured weights in ``evaluation.json``; earlier versions did not write it."""
REPORT_WAIT = 120.0
"""Seconds to wait for another process that writes the report: a training at its end, or ``omniconv report``."""


def report_lock(run: RunFolder) -> AbstractContextManager[bool]:
    """Own ``report.html``, so that of two reports the later one shows the later state of the run."""
    return lock_folder(run.path, "written", "wait until it ends", file=run.report.name, wait=REPORT_WAIT)


def write_report(run: RunFolder, predictor: Predictor, shown: DatasetFolder | None = None) -> Path:
    """Write ``report.html`` of a run; while it is trained, of the network that ``predictor`` has.

    Args:
        run: the folder, with its settings, metrics and evaluation.
        predictor: its network.
        shown: samples whose predictions are shown; by default those of the run.
    """
    settings = read_config(run.config)
    missing = [name for name in ("task", "data", "surface") if name not in settings]
    if missing:
        raise FileError(run.config, f"is incomplete: it lacks {missing[0]}", "restore it, or start a new run")
    _check_same_network(run, predictor, settings)
    if shown is None and not run.was_converted:
        shown = _read_shown(run, predictor)
    name = " ".join(filter(None, (settings["task"], settings.get("method"))))
    title = f"{run.path.resolve().name}: {name} on {surface(settings['surface']).brief}"
    page = Page(title, subtitle=settings["data"])
    _add_quality(page, run, predictor, settings)
    _add_curves(page, read_metrics(run.metrics), predictor)
    _add_conversions(page, run)
    if shown is not None:
        page.heading(predictor.task.predictions_heading)
        predictor.task.draw_predictions(page, predictor, shown.samples)
    page.heading("Settings")
    page.facts({name: _text(value) for name, value in settings.items()})
    _add_weights(page, run)
    page.heading("Machine and versions")
    environment = read_optional_json(run.environment, "delete it, and write the report again") or {}
    page.facts({name: _text(value) for name, value in environment.items()})
    page.write(run.report)
    return run.report


def _check_same_network(run: RunFolder, predictor: Predictor, settings: dict[str, Any]) -> None:
    """Check that the settings are those of the network, so that the report does not describe two networks as one."""
    found = {"task": predictor.task.name, "surface": str(predictor.preprocessing.surface)}
    given = {"task": settings["task"], "surface": str(surface(settings["surface"]))}
    for name, value in given.items():
        if value != found[name]:
            rule = f"is not of the network that config.yaml describes: its {name} is {found[name]}, not {value}"
            raise FileError(run.model, rule, "restore the file that is of another run")


def _read_shown(run: RunFolder, predictor: Predictor) -> DatasetFolder:
    """Read the samples that are shown, and check that they are of the network's task and classes."""
    splits = read_splits(run.data)
    if (splits.task, tuple(splits.classes)) != (predictor.task, tuple(predictor.classes)):
        raise FileError(run.data, "lists the samples of another network", "restore it, or start a new run")
    return splits.shown


def _add_quality(page: Page, run: RunFolder, predictor: Predictor, settings: dict[str, Any]) -> None:
    page.heading("Quality")
    task = predictor.task
    evaluation = read_evaluation(run.evaluation, task, predictor.classes)
    if evaluation is not None and evaluation.get(WEIGHTS) not in (None, predictor.weights_checksum()):
        evaluation = None  # of another network: the run is being trained, or was interrupted
    if evaluation is None and run.was_converted:
        page.text(f"Not measured yet: omniconv evaluate RUN DATA --json {run.evaluation}, and write the report again.")
        return
    if evaluation is None:
        held_out = read_splits(run.data).validation is not None
        not_yet = f"This network was not measured yet: finish the run by omniconv train --resume {run.path}."
        page.text(not_yet if held_out else "No images were held out, so the quality was not measured.")
        return
    header, rows = task.quality_table(evaluation)
    images = pluralize(evaluation["images"], "held-out image")
    those = "it" if evaluation["images"] == 1 else "them"
    if rows:
        caption = f"{images}; the best epoch was selected on {those}."
        if run.was_converted:
            caption = f"{pluralize(evaluation['images'], 'image')}, on which the network was measured."
        page.table(header, rows, caption, measures_in_rows=task.measures_in_rows)
    for caption, table in task.further_tables(evaluation):
        page.table(*table, caption)
    notes = task.quality_notes(evaluation, bool(settings.get("balance")))
    for line in filter(None, (describe_overlap(evaluation), *notes)):
        page.text(line)
    if evaluation.get("unseen"):
        unseen = {**evaluation, **evaluation["unseen"]}
        caption = f"{pluralize(unseen['images'], 'image')} not trained on."
        page.table(*task.quality_table(unseen), caption, measures_in_rows=task.measures_in_rows)
        for further, table in task.further_tables(unseen):
            page.table(*table, f"{caption} {further}")
    task.draw_quality(page, evaluation)


def _add_curves(page: Page, rows: list[dict[str, float]], predictor: Predictor) -> None:
    if not rows:
        return
    page.heading("Training")
    task = predictor.task
    weighted = task.output in IMAGE_OUTPUTS and predictor.preprocessing.surface.spherical
    by_area = " (weighted by area)" if weighted else ""
    metrics = [f"val_{name}" for name in task.validation_metrics if name != "loss"]
    losses = ["train_loss", "adversary_loss", "val_loss"]
    charts = [([name], name) for name in metrics] if task.separate_charts else [(metrics, task.chart_label)]
    for names, title in ((losses, "loss"), *charts):
        series = {name: [(row["epoch"] + 1, row[name]) for row in rows if name in row] for name in names}
        series = {name: points for name, points in series.items() if points}
        if series:
            page.svg(curves(series, f"{title}{by_area}", "epoch", title))
    for note in task.training_notes(rows):
        page.text(note)
    page.text(f"{pluralize(len(rows), 'epoch')}, {sum(row['seconds'] for row in rows):.0f} s.")


def _add_conversions(page: Page, run: RunFolder) -> None:
    """Add the measures of the conversions among which that of the network was chosen."""
    found = read_optional_json(run.conversions, "delete it, and write the report again")
    if not found:
        return
    page.heading("Conversions")
    header = ["conversion", *BANDS, "sphere", "middle", "at the cut", "change of the middle"]
    measures = ("sphere", "middle", "cut", "middle_change")
    rows: list[list[Any]] = [
        [entry["name"], *entry["bands"], *(entry[name] for name in measures)] for entry in found["figures"]
    ]
    unit = "Share of labels that differ" if found["classes"] else "Difference / standard deviation"
    caption = f"{unit} from the flat network on perspective views of {pluralize(found['panoramas'], 'panorama')}."
    page.table(header, rows, f"{caption} Chosen: {found['recommended']}.")


def _add_weights(page: Page, run: RunFolder) -> None:
    """Add what the training started from, if it was given weights."""
    weights = read_optional_json(run.weights, "delete it, and write the report again")
    if weights:
        page.heading("Weights at the start")
        weights["loaded"] = pluralize(len(weights.get("loaded", ())), "tensor")
        page.facts({name: _text(value) for name, value in weights.items() if value})


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
