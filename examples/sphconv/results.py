"""Measured errors as a table beside the published ones, and as a JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from omniconv.convert import SphConvReport
from omniconv.files import write_bytes

PUBLISHED = {"equirectangular": 3.44, "tangent": 2.46, "sphconv": 1.50}
"""RMSE on Pano2Vid with VGG16, from KTN (CVPR 2019), where ``tangent`` is called SphereNet."""


def table(report: SphConvReport) -> Table:
    """Return the errors of the last layer, absolute and relative to those of the flat network."""
    table = Table(title="Last layer, measured and published", title_justify="left")
    table.add_column("method")
    for name in ("RMSE", "weighted by area", "relative", "published RMSE", "relative"):
        table.add_column(name, justify="right")
    for method in report.errors:
        own, published = report.rmse(method), PUBLISHED.get(method)
        relative = own / report.rmse("equirectangular")
        reference = ("–", "–")
        if published is not None:
            reference = (f"{published:.2f}", f"{published / PUBLISHED['equirectangular']:.2f}")
        table.add_row(method, f"{own:.3f}", f"{report.rmse_by_area(method):.3f}", f"{relative:.2f}", *reference)
    return table


def verdict(report: SphConvReport) -> str:
    """Return a sentence that says whether SphConv has the smallest error, as published."""
    best = min(report.errors, key=report.rmse)
    if best == "sphconv":
        return "SphConv has the smallest error, as published."
    return f"Not as published: {best} has a smaller error than SphConv."


def save(report: SphConvReport, metadata: Mapping[str, Any], path: Path) -> Path:
    """Write the errors of every layer and row to a JSON file."""
    errors = {method: [layer.tolist() for layer in layers] for method, layers in report.errors.items()}
    last = {method: report.rmse(method) for method in errors}
    content = {**metadata, "layers": report.layers, "sizes": report.sizes, "rmse": last, "rmse_by_row": errors}
    return write_bytes(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
