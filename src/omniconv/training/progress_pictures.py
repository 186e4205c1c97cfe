"""Pictures of a network in training, drawn by its task, and a page of them."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import lightning.pytorch as L
import torch
from PIL import Image

from omniconv.data.layouts.dataset_folder import pick_evenly
from omniconv.files import make_folder, write_bytes
from omniconv.nn.inspection import preserved_random_state
from omniconv.report.page import Page
from omniconv.report.pictures import contact_sheet, png_bytes
from omniconv.run_folder import RunFolder
from omniconv.training.dataset_splits import DatasetSplits
from omniconv.training.module import TrainingModule

SHOWN_EPOCHS = 24
"""Most epochs on the page, which contains their pictures."""
COLUMNS = 4
"""Pictures in a row of a sheet."""


class ProgressPictures(L.Callback):
    """Contact sheet of ``Task.progress`` after some epochs and after the last one, and a page of all sheets.

    The sheets of earlier epochs stay when a run is resumed. The random numbers of the training do not change.

    Args:
        run: its ``samples/epoch_0005.png`` and ``progress.html`` are written.
        splits: the samples of the run, with the task.
        every: number of epochs from one sheet to the next.
    """

    def __init__(self, run: RunFolder, splits: DatasetSplits, every: int) -> None:
        self.run, self.splits, self.every = run, splits, every

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: TrainingModule) -> None:  # type: ignore[override]
        """Write the sheet and the page."""
        epoch = trainer.current_epoch + 1
        if epoch % self.every and epoch != trainer.max_epochs and not trainer.should_stop:
            return
        task, splits, network = self.splits.task, self.splits, pl_module.evaluated
        is_training = network.training
        network.eval()
        with preserved_random_state(), torch.no_grad():
            tiles = task.progress(network, splits.preprocessing, splits.classes, splits.shown.samples)
        network.train(is_training)
        if not tiles:
            return
        sheet = contact_sheet(tiles, min(COLUMNS, len(tiles)))
        make_folder(self.run.progress_pictures)
        write_bytes(picture_path(self.run, epoch), png_bytes(sheet))
        write_progress(self.run, splits)


def picture_path(run: RunFolder, epoch: int) -> Path:
    """Return the path of the sheet of an epoch, counted from 1."""
    return run.progress_pictures / f"epoch_{epoch:04d}.png"


def write_progress(run: RunFolder, splits: DatasetSplits) -> None:
    """Write ``progress.html`` with the sheets of up to ``SHOWN_EPOCHS`` epochs, the last one first."""
    name = " ".join(filter(None, (splits.task.name, splits.task.method)))
    page = Page(f"{run.path.resolve().name}: {name} in training", subtitle=str(splits.training.root))
    found = (re.fullmatch(r"epoch_(\d+)\.png", path.name) for path in run.progress_pictures.iterdir())
    epochs = sorted(int(match[1]) for match in found if match)
    for epoch in reversed(pick_evenly(epochs, SHOWN_EPOCHS)):
        with suppress(OSError), Image.open(picture_path(run, epoch)) as sheet:  # a file that was damaged
            page.row([(sheet.convert("RGB"), f"epoch {epoch}")])
    page.write(run.progress)
