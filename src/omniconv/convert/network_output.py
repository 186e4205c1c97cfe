"""Panoramas given to networks, and what networks return for them: checks, choice of an output, predicted classes."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np
from torch import Tensor, nn

from omniconv.convert.overrides.module_class import tensors_of
from omniconv.errors import InputError
from omniconv.nn.inspection import parts_of

OutputKey = str | int | None
"""Key or index of the output that is used, ``None`` for the first tensor."""


def check_panoramas(panoramas: Any) -> np.ndarray:
    """Return panoramas as float32 ``(batch, channels, height, width)``."""
    if isinstance(panoramas, list | tuple) and len({np.shape(part) for part in panoramas}) > 1:
        shapes = sorted({np.shape(part) for part in panoramas})
        raise InputError("panoramas", shapes, "must all have one size", "resize them, or give each size by itself")
    array = panoramas.detach().cpu().numpy() if isinstance(panoramas, Tensor) else np.asarray(panoramas)
    array = array[None] if array.ndim == 3 else array
    if array.ndim != 4 or array.size == 0 or array.dtype.kind != "f":
        rule = "must be floating-point images (batch, channels, height, width), at least one"
        raise InputError("panoramas", f"{array.dtype} {array.shape}", rule, "put channels first and divide by 255")
    if min(array.shape[2:]) < 2:
        raise InputError("panoramas", array.shape, "must be at least 2 pixels high and wide", "give larger ones")
    if not np.isfinite(array).all():
        raise InputError("panoramas", array.shape, "must not contain NaN or infinity", "replace missing values")
    return np.ascontiguousarray(array, dtype=np.float32)


def predicted_class(scores: np.ndarray) -> np.ndarray:
    """Return the argmax over channels, ``(…, K, H, W)`` to ``(…, H, W)``; a single score is compared with 0."""
    return scores.argmax(axis=-3) if scores.shape[-3] > 1 else (scores[..., 0, :, :] > 0).astype(np.int64)


def has_class_scores(output: np.ndarray, classes: bool | None) -> bool:
    """Return ``classes`` if given, else True for an output of several channels."""
    if classes not in (True, False, None):
        raise InputError("classes", classes, "must be True, False or None", "use None: several channels are classes")
    return len(output) > 1 if classes is None else bool(classes)


def like_weights(x: Tensor, model: Any) -> Tensor:
    """Move x to the device and dtype of the model's first floating-point parameter or buffer."""
    if not isinstance(model, nn.Module):
        return x
    reference = next((tensor for tensor in tensors_of(model) if tensor.is_floating_point()), x)
    return x.to(reference.device, reference.dtype)


def select_output(result: Any, key: OutputKey) -> Tensor:
    """Return the output of a key, or the first tensor of nested mappings and sequences."""
    if isinstance(result, Tensor) and key is None:
        return result
    outputs = parts_of(result)
    if isinstance(key, int) and key not in outputs:  # a named tuple
        outputs = dict(enumerate(outputs.values()))
    if key is not None:
        if key not in outputs:
            names = ", ".join(map(str, outputs)) or "a single tensor"
            raise InputError("output", key, f"must be one of the network's outputs ({names})", "choose one of them")
        return select_output(outputs[key], None)
    for part in outputs.values():
        if isinstance(part, Tensor) or parts_of(part):
            return select_output(part, None)
    raise InputError("model", type(result).__name__, "is returned by the network and contains no tensor",
                     "wrap the network in a module that returns a tensor")  # fmt: skip


def middle_change(reference: np.ndarray, other: np.ndarray, classes: bool) -> float:
    """Return the difference of two outputs ``(K, H, W)`` in the inner half of rows and columns.

    It is a share of changed labels with ``classes``, else relative to the standard deviation of the reference.
    """
    inner = inner_half(reference.shape[-2:])
    mean = float(pixel_errors(reference[inner], other[inner], classes).mean())
    return relative_difference(mean, float(reference[inner].var((1, 2)).sum()), classes)


def pixel_errors(reference: np.ndarray, other: np.ndarray, classes: bool) -> np.ndarray:
    """Return 1 where labels differ, else squared differences summed over channels, ``(H, W)``."""
    if classes:
        return (predicted_class(reference) != predicted_class(other)).astype(np.float64)
    return ((reference - other) ** 2).sum(axis=0)


def relative_difference(mean: float, variance: float, classes: bool) -> float:
    """Return a share of labels, or the root of a mean squared difference relative to that of a variance."""
    return mean if classes else sqrt(mean / max(variance, np.finfo(np.float64).tiny))


def inner_half(size: Sequence[int]) -> tuple[Any, ...]:
    """Return the index of the inner half of the last two axes, which have these sizes."""
    return (..., *(slice(length // 4, length - length // 4) for length in size))
