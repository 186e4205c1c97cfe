"""Classification: one class for each image."""

from __future__ import annotations

from omniconv.tasks.base import Task


class Classify(Task):
    """Classification of whole images, from a folder of images for each class."""

    name = "classify"
    output = "global"
    default_model = "classifier"
    best_metric = "accuracy"
