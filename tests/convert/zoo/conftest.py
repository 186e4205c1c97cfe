"""Skips the tests of published networks where their packages are not installed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch

PACKAGES = ("torchvision", "timm", "segmentation_models_pytorch", "diffusers")


def pytest_collection_modifyitems(items):
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if not missing:
        define_missing_operators()
        return
    for item in items:
        if "zoo" in item.path.parts:
            item.add_marker(pytest.mark.skip(reason=f"{', '.join(missing)} missing: make test-zoo"))


def define_missing_operators() -> None:
    """Define the operators whose names torchvision needs at import, where its compiled ones do not fit this torch."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    define_missing_operators.kept = library  # its definitions are removed when it is deleted
