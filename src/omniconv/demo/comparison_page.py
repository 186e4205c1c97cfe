"""Report of the demonstration: tables, charts, predictions and errors on globes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from omniconv.demo.comparison import LATITUDE_RANGES, ROTATED_VIEWS, EarthView, Result
from omniconv.demo.earth import CLASSES, FIRST_UNSEEN_LONGITUDE
from omniconv.report.charts import bars
from omniconv.report.globe import globe
from omniconv.report.page import Page
from omniconv.report.pictures import error_map, legend, paint

Table = tuple[list[str], list[list[str | float]]]
QUALITY_COLUMNS = ["network", "IoU", "IoU rotated", "by area", "by area rotated", "s / epoch"]
GLOBES = ((120.0, 20.0, "from over China"), (120.0, -60.0, "from the south"))
"""Longitude, latitude and name of the globes, which show the unseen part."""


def comparison_table(results: list[Result]) -> Table:
    """Return a row for each network, over the whole unseen part."""
    rows: list[list[str | float]] = []
    for result in results:
        both = result.upright, result.rotated
        rows.append([result.name, *(part[name] for name in ("IoU", "IoU by area") for part in both), result.seconds])
    return QUALITY_COLUMNS, rows


def band_table(results: list[Result]) -> Table:
    """Return a row for each network, in bands of latitude."""
    header = ["network", *LATITUDE_RANGES, *(f"{band} rotated" for band in LATITUDE_RANGES)]
    rows: list[list[str | float]] = [
        [result.name, *(part[band] for part in (result.upright, result.rotated) for band in LATITUDE_RANGES)]
        for result in results
    ]
    return header, rows


def write_page(path: Path, results: list[Result], upright: EarthView, rotated: EarthView, training: np.ndarray) -> Path:
    """Write the report as one HTML file; ``training`` is the training image, uint8 ``(H, W, 3)``."""
    page = Page("Land and sea on three surfaces", subtitle="one U-Net and training, three kinds of neighbourhoods")
    page.text(
        "Each network was trained on one image of the Earth in which everything east of "
        f"{FIRST_UNSEEN_LONGITUDE:.0f}° E was blanked out, and is measured on that part only: upright, and after "
        f"{ROTATED_VIEWS} random rotations of the sphere. Training images were augmented by random colours and random "
        "rotations about the Earth's axis, the same for every network; the network in the last row was trained with "
        "random rotations of the whole sphere instead. The network of the last epoch is measured: the unseen part was "
        "not used to select it."
    )
    page.heading("Quality")
    page.table(*comparison_table(results), caption="Mean IoU of land and sea on the unseen part.", best=_best())
    page.table(*band_table(results), caption="Mean IoU by area, in bands of the image's latitude.", best="max")
    for kind in ("upright", "rotated"):
        groups = {band: {result.name: getattr(result, kind)[band] for result in results} for band in LATITUDE_RANGES}
        page.svg(bars(groups, f"{kind}, by latitude", "mean IoU"))
    page.heading("Training image")
    page.row([(training, "training image, as a map"), *_globes(training, "training image")])
    for index, (view, title) in enumerate(((upright, "Upright"), (rotated, "After a rotation of the sphere"))):
        _show(page, title, view, results, index)
    page.write(path)
    return path


def _show(page: Page, title: str, view: EarthView, results: list[Result], index: int) -> None:
    image = np.moveaxis(np.round(view.image * 255).astype(np.uint8), 0, -1)
    page.heading(title)
    page.legend(legend(CLASSES))
    page.row([(image, "input"), *_globes(image, "input")])
    truth = paint(view.land, len(CLASSES))
    page.row([(truth, "truth"), *_globes(truth, "truth")])
    for result in results:
        labels = paint(result.predictions[index], len(CLASSES))
        wrong = error_map(np.where(view.measured, view.land, 255).astype(np.uint8), result.predictions[index])
        page.row([(labels, f"{result.name}: prediction"), *_globes(labels, "prediction")])
        page.row([(wrong, f"{result.name}: errors on the unseen part"), *_globes(wrong, "errors")])


def _globes(image: np.ndarray, caption: str) -> list[tuple[np.ndarray, str]]:
    return [
        (globe(image, longitude, latitude, background=None), f"{caption}, {name}")
        for longitude, latitude, name in GLOBES
    ]


def _best() -> dict[str, str]:
    return {name: "min" if name == QUALITY_COLUMNS[-1] else "max" for name in QUALITY_COLUMNS[1:]}
