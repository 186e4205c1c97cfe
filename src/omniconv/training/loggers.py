"""Loggers of the training's curves: Lightning's, with their files in the run's folder, continued by a resumed run."""

from __future__ import annotations

import csv
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from omniconv.checks import check_extra
from omniconv.errors import FileError, InputError, one_line
from omniconv.run_folder import RunFolder, read_optional_json, write_json
from omniconv.training.settings import RunConfig

EXTRA_LOGGERS = ("wandb", "mlflow")
"""Loggers whose packages are extras of the same names."""
PROJECT = "omniconv"
_CURES = {
    "wandb": "run wandb login, or set WANDB_MODE=offline, then resume the run",
    "mlflow": "check MLFLOW_TRACKING_URI, then resume the run",
}


def check_loggers(names: Iterable[str]) -> None:
    """Check that the packages of loggers are installed.

    Raises:
        InputError: one is not.
    """
    for name in names:
        if name in EXTRA_LOGGERS:
            check_extra(name, f"logger={name!r}", [name])


@contextmanager
def open_loggers(config: RunConfig, run: RunFolder, first_step: int | None) -> Iterator[list[Logger]]:
    """Open the loggers of a run, and close them after its training.

    Args:
        config: settings of the run.
        run: its folder.
        first_step: first step of a resumed training; ``None`` for a new one.

    Raises:
        InputError: wandb or MLflow cannot be used, such as a server that is not reached.
    """
    loggers: list[Logger] = []
    try:
        for name in config.logger:
            loggers.append(_OPEN[name](config, run, first_step))
        yield loggers
    except Exception as error:
        package = type(error).__module__.partition(".")[0]
        if package not in EXTRA_LOGGERS:
            raise
        raise InputError("logger", package, f"cannot be used ({one_line(error)})", _CURES[package]) from error
    finally:
        for logger in loggers:
            if isinstance(logger, WandbLogger):  # Lightning leaves its run open, and the next one would continue it
                logger.experiment.finish()


def _tensorboard(config: RunConfig, run: RunFolder, first_step: int | None) -> Logger:
    # purge_step: TensorBoard drops the points of an epoch that was interrupted and is trained again.
    return TensorBoardLogger(run.tensorboard.parent, run.tensorboard.name, version="", purge_step=first_step)


def _csv(config: RunConfig, run: RunFolder, first_step: int | None) -> Logger:
    folder = run.logs / "csv"
    kept = _read_steps(folder / "metrics.csv", first_step) if first_step is not None else []
    shutil.rmtree(folder, ignore_errors=True)  # Lightning would delete the earlier rows, with a warning
    logger = CSVLogger(run.logs, folder.name, version="")
    logger.experiment.metrics = kept
    logger.experiment.save()
    return logger


def _read_steps(path: Path, first_step: int) -> list[dict[str, Any]]:
    """Return the rows of the steps before ``first_step``; a row that a killed process did not complete is left out."""
    if not path.is_file():
        return []
    with path.open(newline="", errors="replace") as file:
        rows = [{name: value for name, value in row.items() if name and value} for row in csv.DictReader(file)]
    return [row for row in rows if str(row.get("step")).isdigit() and int(row["step"]) < first_step]


def _wandb(config: RunConfig, run: RunFolder, first_step: int | None) -> Logger:
    import wandb

    identifier = _read_ids(run).get("wandb")
    settings = wandb.Settings(silent=True)
    logger = WandbLogger(
        name=run.path.name, save_dir=run.logs, project=os.environ.get("WANDB_PROJECT", PROJECT),
        id=identifier or uuid4().hex[:16], settings=settings,
    )  # fmt: skip
    run.logs.mkdir(exist_ok=True)
    logger.experiment  # noqa: B018  # raises what is wrong with the account now, not in the first step
    logger.log_hyperparams(config.model_dump(mode="json"))
    _write_id(run, "wandb", str(logger.version))
    return logger


def _mlflow(config: RunConfig, run: RunFolder, first_step: int | None) -> Logger:
    identifier, folder = _read_ids(run).get("mlflow"), run.logs / "mlflow"
    uri, artifacts = os.environ.get("MLFLOW_TRACKING_URI"), None
    if not uri:  # MLflow 3 refuses its former store of plain files
        folder.mkdir(parents=True, exist_ok=True)
        uri, artifacts = f"sqlite:///{folder.resolve() / 'mlflow.db'}", (folder / "artifacts").resolve().as_uri()
    import mlflow  # noqa: F401  # sets the level of its log

    for name in ("alembic", "mlflow"):  # they report the creation of the database
        logging.getLogger(name).setLevel(logging.WARNING)
    logger = MLFlowLogger(PROJECT, run.path.name, uri, run_id=identifier, artifact_location=artifacts)
    if identifier:
        logger.experiment.update_run(identifier, status="RUNNING")
    else:
        logger.log_hyperparams(config.model_dump(mode="json"))
    _write_id(run, "mlflow", str(logger.run_id))
    return logger


_OPEN = {"tensorboard": _tensorboard, "csv": _csv, "wandb": _wandb, "mlflow": _mlflow}


def _read_ids(run: RunFolder) -> dict[str, str]:
    """Return the identifiers that wandb and MLflow have given to a run, by their names."""
    path = run.logs / "runs.json"
    found = read_optional_json(path, "delete it to log into new runs") or {}
    if not all(isinstance(identifier, str) for identifier in found.values()):
        raise FileError(path, "is damaged (an identifier is not text)", "delete it to log into new runs")
    return found


def _write_id(run: RunFolder, name: str, identifier: str) -> None:
    found = _read_ids(run)
    if found.get(name) != identifier:
        write_json(run.logs / "runs.json", found | {name: identifier})
