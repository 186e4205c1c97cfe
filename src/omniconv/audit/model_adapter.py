"""Networks, predictors and functions as functions of one panorama, from array to array."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from omniconv.convert.network_output import OutputKey, has_class_scores, like_weights, select_output
from omniconv.errors import InputError, describe_error
from omniconv.inference.predictor import Predictor
from omniconv.models import Model
from omniconv.models.registry import IMAGE_OUTPUTS
from omniconv.nn.inspection import preserved_random_state
from omniconv.surfaces import Surface, panorama

PanoramaFunction = Callable[[np.ndarray], np.ndarray]
"""Map a panorama ``(C, H, W)`` to a dense output ``(K, H', W')``, or to ``(K, 1, 1)`` for one output per image."""


@contextmanager
def panorama_function(model: Any, output: OutputKey = None) -> Iterator[PanoramaFunction]:
    """Yield a network as a function of one panorama; it is in evaluation mode inside the context.

    The network is a module or any function from ``(1, C, H, W)`` to a map ``(1, K, H', W')`` or ``(1, H', W')`` or to a
    vector ``(1, K)``; a network of ``oc.models`` on any surface; or a ``Predictor``. The yielded function raises
    ``InputError`` when the network raises, or returns another shape or dtype or non-finite values.
    """
    if isinstance(model, Predictor):
        module, surface = model.model, model.preprocessing.surface

        def run(image: np.ndarray) -> Tensor:
            return _to_panorama(surface, model.run_network(image), image)

    elif callable(model):
        module, run = model, partial(_run, model, _input_surface(model), output)
    else:
        rule = "must be a module, or a function of panoramas (batch, channels, height, width)"
        raise InputError("model", type(model).__name__, rule, "give a torch.nn.Module")
    with preserved_random_state(), _evaluation_mode(module):
        yield lambda image: _checked(run(image), model_name(model))


def scores_classes(model: Any, output: np.ndarray, classes: bool | None) -> bool:
    """Return whether an output ``(K, H, W)`` is compared as class scores: never that of a network that returns images.

    ``classes`` decides if it is given, as in ``shift_error``.
    """
    role = getattr(model.model if isinstance(model, Predictor) else model, "output", "dense")
    returns_image = role in IMAGE_OUTPUTS and role != "dense"
    return has_class_scores(output, False if classes is None and returns_image else classes)


def model_name(model: Any) -> str:
    """Return the name of a network for errors and reports."""
    inner = model.model if isinstance(model, Predictor) else model
    return getattr(inner, "__name__", type(inner).__name__)


def _input_surface(model: Any) -> Surface | None:
    """Surface of an omniconv network; ``None`` for any other model, which takes the panorama itself."""
    if not isinstance(model, Model):
        return None
    surface = model.surface
    if surface.any_size and surface.ndim != 2:
        raise InputError("model", str(surface), f"takes signals of {surface.ndim} axes, not panoramas",
                         "give a network on plane, equirectangular or another surface of images")  # fmt: skip
    return surface


@contextmanager
def _evaluation_mode(model: Any) -> Iterator[None]:
    # Each submodule's flag is restored by itself: model.train() would also switch frozen parts (a BatchNorm that the
    # user put into evaluation mode) to training.
    modules = [m for m in model.modules() if m.training] if isinstance(model, nn.Module) else []
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module in modules:
            module.training = True


def _run(model: Any, surface: Surface | None, key: OutputKey, image: np.ndarray) -> Tensor:
    signal = image if surface is None or surface.any_size else surface.from_equirectangular(image)
    x = like_weights(torch.from_numpy(np.ascontiguousarray(signal))[None], model)
    try:
        with torch.inference_mode():
            result = model(x)
    except (Exception, SystemExit) as error:  # the user's forward may raise anything
        if isinstance(error, MemoryError) or "out of memory" in str(error):
            raise
        size = " × ".join(map(str, image.shape))
        rule = f"cannot take a panorama of {size} ({describe_error(error)})"
        cure = "give panoramas of a supported size and number of channels"
        raise InputError("model", model_name(model), rule, cure) from error
    batch = select_output(result, key)
    if batch.shape[:1] != (1,) or batch.ndim < 2 or batch.numel() == 0 or not batch.is_floating_point():
        raise _unusable(batch, model)
    output = batch[0].detach().float().cpu()
    output = output if surface is None else _to_panorama(surface, output, image)
    if output.ndim > 3:
        raise _unusable(output[None], model)
    return output


def _unusable(output: Tensor, model: Any) -> InputError:
    rule = f"returns {str(output.dtype).removeprefix('torch.')} of shape {tuple(output.shape)} for one panorama"
    return InputError("model", model_name(model), rule, "return floating-point scores (1, K, H, W) or (1, K)")


def _to_panorama(surface: Surface, output: Tensor, image: np.ndarray) -> Tensor:
    """Resample a dense output on a surface of fixed size to the panorama; return any other output unchanged."""
    if surface.any_size or output.ndim == 1:
        return output
    height, width = image.shape[-2:]
    return torch.from_numpy(panorama.resize(surface.to_equirectangular(output.numpy(), height), height, width))


def _checked(output: Tensor, name: str) -> np.ndarray:
    """Return an output as float64 ``(K, H, W)`` and refuse non-finite values."""
    if not bool(torch.isfinite(output).all()):
        raise InputError("model", name, "returns NaN or infinity", "check its weights and the scaling of its input")
    shape = {1: (-1, 1, 1), 2: (1, *output.shape)}.get(output.ndim, output.shape)
    return output.reshape(shape).double().numpy()
