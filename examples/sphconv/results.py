"""What was measured, as a table beside what is published, and as a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from omniconv.convert import SphConvReport
from omniconv.files import write_bytes

PUBLISHED = {"equirectangular": 3.44, "tangent": 2.46, "sphconv": 1.50}
"""RMSE on Pano2Vid with VGG16, as KTN (CVPR 2019) lists it; SphereNet is our ``tangent``."""


def table(report: SphConvReport) -> Table:
    """The errors of the last layer, and as shares of the flat network's."""
    made = Table(title="Last layer, beside what is published", title_justify="left")
    made.add_column("method")
    for name in ("RMSE", "by area", "share", "published", "share"):
        made.add_column(name, justify="right")
    for method in report.errors:
        own, published = report.rmse(method), PUBLISHED.get(method)
        shares = own / report.rmse("equirectangular"), (published or 0) / PUBLISHED["equirectangular"]
        known = ("–", "–") if published is None else (f"{published:.2f}", f"{shares[1]:.2f}")
        made.add_row(method, f"{own:.3f}", f"{report.rmse_by_area(method):.3f}", f"{shares[0]:.2f}", *known)
    return made


def verdict(report: SphConvReport) -> str:
    """Whether the errors come in the published order."""
    best = min(report.errors, key=report.rmse)
    if best == "sphconv":
        return "SphConv is nearest to the exact projection, as published."
    return f"Not as published: {best} is nearer to the exact projection than SphConv."


def save(report: SphConvReport, about: Mapping[str, Any], path: Path) -> Path:
    """Write all errors, by layer and row."""
    errors = {method: [layer.tolist() for layer in layers] for method, layers in report.errors.items()}
    last = {method: report.rmse(method) for method in errors}
    content = {**about, "layers": report.layers, "sizes": report.sizes, "rmse": last, "rmse_by_row": errors}
    return write_bytes(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
