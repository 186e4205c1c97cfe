"""Semantic segmentation: one class for each pixel."""

from __future__ import annotations

from omniconv.tasks.base import Task


class Segment(Task):
    """Semantic segmentation, from ``images/`` and ``masks/`` of the same names."""

    name = "segment"
    output = "dense"
    default_model = "unet"
    best_metric = "iou"
