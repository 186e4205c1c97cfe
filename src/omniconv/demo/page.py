"""The demonstration's report: a table, charts, and the Earth as each network sees it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from omniconv.demo.comparison import BANDS, ROTATIONS, Result, View
from omniconv.demo.earth import CLASSES, FIRST_UNSEEN_LONGITUDE
from omniconv.report.charts import bars
from omniconv.report.globe import globe
from omniconv.report.page import Page
from omniconv.report.pictures import error_map, legend, paint

Table = tuple[list[str], list[list[str | float]]]
HEADER = ["network", "IoU", "IoU rotated", "by area", "by area rotated", "s / epoch"]
GLOBES = ((120.0, 20.0, "from over China"), (120.0, -60.0, "from the south"))
"""Longitude, latitude and name of the views of the unseen part."""


def comparison_table(results: list[Result]) -> Table:
    """A row for each network: the whole unseen part."""
    rows: list[list[str | float]] = []
    for result in results:
        both = result.upright, result.rotated
        rows.append([result.name, *(part[name] for name in ("IoU", "IoU by area") for part in both), result.seconds])
    return HEADER, rows


def band_table(results: list[Result]) -> Table:
    """A row for each network: bands of the picture's latitude."""
    header = ["network", *BANDS, *(f"{band} rotated" for band in BANDS)]
    rows: list[list[str | float]] = [
        [result.name, *(part[band] for part in (result.upright, result.rotated) for band in BANDS)]
        for result in results
    ]
    return header, rows


def write_page(path: Path, results: list[Result], upright: View, turned: View, training: np.ndarray) -> Path:
    """Write ``report.html`` of the demonstration.

    Args:
        path: the file.
        results: what was measured.
        upright: the Earth as it is.
        turned: the first of the rotated ones.
        training: the picture that the networks learned from, uint8 ``(H, W, 3)``.
    """
    page = Page("Land and sea on three surfaces", subtitle="one U-Net, the same training, other neighbours")
    page.text(
        "Each network learned from one picture of the Earth in which everything east of "
        f"{FIRST_UNSEEN_LONGITUDE:.0f}° E was blanked out, and is measured on that part alone: upright, and after "
        f"{ROTATIONS} random rotations of the sphere. Colours were mixed at random and the picture turned about its "
        "axis, the same for every network; the network in the last row learned from pictures rotated at random "
        "instead. The network of the last epoch is measured: the unseen part had no say in choosing it."
    )
    page.heading("Quality")
    page.table(*comparison_table(results), caption="Mean IoU of land and sea on the unseen part.", best=_best())
    page.table(*band_table(results), caption="The same by area, in bands of the picture's latitude.", best="max")
    for kind in ("upright", "rotated"):
        groups = {band: {result.name: getattr(result, kind)[band] for result in results} for band in BANDS}
        page.svg(bars(groups, f"{kind}, by latitude", "mean IoU"))
    page.heading("What they learned from")
    page.row([(training, "the training picture, as a map"), *_globes(training, "the training picture")])
    for index, (view, title) in enumerate(((upright, "Upright"), (turned, "After a rotation of the sphere"))):
        _show(page, title, view, results, index)
    page.write(path)
    return path


def _show(page: Page, title: str, view: View, results: list[Result], index: int) -> None:
    picture = np.moveaxis(np.round(view.image * 255).astype(np.uint8), 0, -1)
    page.heading(title)
    page.legend(legend(CLASSES))
    page.row([(picture, "input"), *_globes(picture, "input")])
    truth = paint(view.land, len(CLASSES))
    page.row([(truth, "truth"), *_globes(truth, "truth")])
    for result in results:
        labels = paint(result.pictures[index], len(CLASSES))
        wrong = error_map(np.where(view.measured, view.land, 255).astype(np.uint8), result.pictures[index])
        page.row([(labels, f"{result.name}: prediction"), *_globes(labels, "prediction")])
        page.row([(wrong, f"{result.name}: errors on the unseen part"), *_globes(wrong, "errors")])


def _globes(picture: np.ndarray, caption: str) -> list[tuple[np.ndarray, str]]:
    return [(globe(picture, longitude, latitude), f"{caption}, {name}") for longitude, latitude, name in GLOBES]


def _best() -> dict[str, str]:
    return {name: "min" if name == HEADER[-1] else "max" for name in HEADER[1:]}
