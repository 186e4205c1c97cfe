"""Trace of a network on meta tensors: layers called, their output sizes, receptive fields and multiply-adds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import chain
from math import lcm
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.parametrize import is_parametrized

from omniconv.errors import InputError
from omniconv.models import Model
from omniconv.nn.inspection import FunctionObserver, iterate_tensors, preserved_random_state
from omniconv.summaries.functional_rules import AxisMaps, function_maps, function_multiply_adds
from omniconv.summaries.layer_rules import OMNICONV_LAYERS, layer_maps, layer_multiply_adds
from omniconv.summaries.receptive_field import AxisField, union

BATCH = 2  # batch normalization in training mode refuses a single vector
AXIS_ORDER = frozenset({"permute", "transpose", "movedim", "swapaxes"})
LEAF_LAYERS = (*OMNICONV_LAYERS, nn.modules.conv._ConvNd, nn.Linear, nn.MultiheadAttention)
"""Layers that get a row although they may contain other layers."""

ReceptiveField = tuple[AxisField, ...]
"""Receptive field of a tensor's samples, one entry for each grid axis."""


@dataclass
class LayerCall:
    """Call of a layer."""

    name: str
    layer: nn.Module
    output: tuple[int, ...] = ()  # channels and grid
    field: ReceptiveField = ()
    multiply_adds: int = 0  # on all BATCH samples

    @property
    def parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the layer, without those of layers inside that get calls of their own."""
        layer = self.layer
        if not is_parametrized(layer) or isinstance(layer, LEAF_LAYERS):
            return layer.parameters(recurse=isinstance(layer, LEAF_LAYERS))
        return chain(layer.parameters(recurse=False), layer.parametrizations.parameters())  # type: ignore[union-attr]


def trace(model: nn.Module, shape: Sequence[int]) -> tuple[list[LayerCall], ReceptiveField]:
    """Run a network on one shape ``(channels, *grid)``; return its layer calls in order and its receptive field.

    Parameters and buffers are replaced by meta tensors while it runs, so that nothing is computed and nothing changes.
    """
    tracer, result = _run(model, shape)
    return tracer.calls, tracer.field_of(iterate_tensors(result))


def traced_stride(model: nn.Module, shape: Sequence[int]) -> int | None:
    """Return the total stride along the last axis: the least common multiple of the strides of all signals inside.

    Adaptive pooling does not count, since its windows depend on the size of the input. The stride is ``None`` if the
    network cannot be traced exactly: it does not run on meta tensors, or rearranges the samples of a grid by a function
    without a rule.

    Example:
        >>> traced_stride(nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.MaxPool2d(2)), (3, 16, 32))
        4
    """
    try:
        # A copy, since a forward may cache tensors on its module (position grids, say), which would be meta tensors.
        tensors = chain(model.parameters(), model.buffers())
        copied = deepcopy(model, {id(tensor): _on_meta(tensor) for tensor in tensors})
        tracer, _ = _run(copied, shape, skip_adaptive=True)
    except Exception:  # the user's forward may raise anything on meta tensors
        return None
    return tracer.stride if tracer.is_exact else None


def _on_meta(tensor: Tensor) -> Tensor:
    meta = tensor.detach().to("meta")
    return nn.Parameter(meta, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else meta


def _run(model: nn.Module, shape: Sequence[int], skip_adaptive: bool = False) -> tuple[_Tracer, Any]:
    tensors = chain(model.named_parameters(), model.named_buffers())
    meta = {name: tensor.detach().to("meta") for name, tensor in tensors}
    dtype = next((tensor.dtype for tensor in meta.values() if tensor.is_floating_point()), None)
    inputs = _inputs(model, shape, dtype)
    tracer = _Tracer(inputs[0], len(shape) - 1, skip_adaptive)
    with ExitStack() as stack, preserved_random_state(), torch.no_grad():
        for name, layer in _layers(model):
            stack.callback(layer.register_forward_pre_hook(partial(tracer.enter, name)).remove)
            stack.callback(layer.register_forward_hook(tracer.leave, with_kwargs=True).remove)
        with tracer:
            return tracer, functional_call(model, meta, inputs)


def _inputs(model: nn.Module, shape: Sequence[int], dtype: torch.dtype | None) -> tuple[Tensor, ...]:
    """Return a batch of images of a shape, or what a model of ``oc.models`` takes for such images, on meta tensors."""
    image = torch.empty(BATCH, *shape, dtype=dtype, device="meta")
    if not isinstance(model, Model) or type(model).example_inputs is Model.example_inputs:
        return (image,)
    given = model.example_inputs(shape[1:], BATCH)
    first, *others = (x.to("meta", dtype if x.is_floating_point() else x.dtype) for x in given)
    return (image if first.shape[2:] == image.shape[2:] else first, *others)


def _layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the layers that get calls, by name."""
    inner = {part for layer in model.modules() if isinstance(layer, LEAF_LAYERS) for part in list(layer.modules())[1:]}
    for layer in filter(is_parametrized, model.modules()):
        inner |= {*layer.parametrizations.modules()}  # type: ignore[union-attr]
    return [(name, layer) for name, layer in model.named_modules() if layer not in inner and _is_layer(layer)]


def _is_layer(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Identity):
        return False
    has_parameters = next(layer.parameters(recurse=False), None) is not None
    return (
        has_parameters
        or isinstance(layer, LEAF_LAYERS)
        or is_parametrized(layer)
        or next(layer.children(), None) is None
    )


class _Tracer(FunctionObserver):
    """Record layer calls and the receptive field of every tensor that depends on the image."""

    def __init__(self, image: Tensor, axes: int, skip_adaptive: bool) -> None:
        super().__init__()
        self.image, self.axes, self.skip_adaptive = image, axes, skip_adaptive
        self.calls: list[LayerCall] = []
        self.running: list[LayerCall] = []
        self.fields: dict[int, tuple[Tensor, ReceptiveField]] = {}  # the tensor is kept so that its id stays unique
        self.stride = 1
        self.is_exact = True
        self.is_replaced = False  # a replacement of a function runs, whose own calls do not count
        if image.ndim == axes + 2:  # a latent vector has no axes
            self._record(image, (AxisField.identity(),) * self.axes)

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return self._run(function, args, dict(kwargs or {}), function)

    def observe(
        self, function: Callable[..., Any], args: Sequence[Any], options: dict[str, Any], run: Callable[..., Any]
    ) -> Any:
        """Follow the call that a converted network replaces: the flat network's, which has the same output size."""
        was_replaced, self.is_replaced = self.is_replaced, True
        try:
            result = run(*args, **options)
        finally:
            self.is_replaced = was_replaced
        return self._run(function, args, options, lambda *_, **__: result)

    def add_multiply_adds(self, count: int) -> None:
        """Count operations of the layer that runs."""
        if self.running:
            self.running[-1].multiply_adds += count

    def _run(
        self, function: Callable[..., Any], args: Sequence[Any], options: dict[str, Any], run: Callable[..., Any]
    ) -> Any:
        result = run(*args, **options)
        if self.is_replaced:
            return result
        # Layers of omniconv have rules of their own: their operators differ between surfaces, the field does not.
        if any(isinstance(call.layer, OMNICONV_LAYERS) for call in self.running):
            return result
        name = getattr(function, "__name__", "")
        given = [tensor for tensor in iterate_tensors((args, options)) if id(tensor) in self.fields]
        changed = list(iterate_tensors(args[0] if name == "__setitem__" else result))
        if given and changed:
            self._follow(name, given, changed, args, options)
        return result

    def enter(self, name: str, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Forward pre-hook of a layer."""
        if any(tensor is self.image for tensor in inputs):
            _check_channels(layer, name, self.image)
        self.running.append(LayerCall(name, layer))

    def leave(self, layer: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any], result: Any) -> None:
        """Forward hook of a layer."""
        call = self.running.pop()
        outputs = list(iterate_tensors(result))
        if isinstance(layer, OMNICONV_LAYERS):
            given, y = list(iterate_tensors((inputs, options))), outputs[0]
            field = self._mapped(self.field_of(given), layer_maps(layer, y, given[0]))
            call.multiply_adds = layer_multiply_adds(layer, y, given[0])
            for tensor in outputs:
                self._record(tensor, field)
        call.output = tuple(outputs[0].shape[1:]) if outputs else ()
        call.field = self.field_of(outputs)
        self.calls.append(call)

    def field_of(self, tensors: Iterable[Tensor]) -> ReceptiveField:
        """Return the union of the receptive fields of several tensors; infinite if none of them has one."""
        fields = [self.fields[id(tensor)][1] for tensor in tensors if id(tensor) in self.fields]
        return tuple(map(union, zip(*fields, strict=True))) if fields else self._infinite()

    def _follow(
        self, name: str, given: list[Tensor], changed: list[Tensor], args: Sequence[Any], options: dict[str, Any]
    ) -> None:
        result, field = changed[0], self.field_of(given)
        try:
            skipped = self.skip_adaptive and name.startswith("adaptive")
            field = self._mapped(field, None if skipped else function_maps(name, result, args, options))
        except KeyError:
            field = self._without_rule(name, field, given, result)
        for tensor in changed:
            self._record(tensor, field)
        if self.running:
            self.running[-1].multiply_adds += function_multiply_adds(name, result, args, options)

    def _mapped(self, field: ReceptiveField, maps: AxisMaps) -> ReceptiveField:
        if maps is None or len(maps) != self.axes:
            return self._infinite()
        return tuple(axis.through(axis_map) for axis, axis_map in zip(field, maps, strict=True))

    def _without_rule(self, name: str, field: ReceptiveField, given: list[Tensor], result: Tensor) -> ReceptiveField:
        """Return the field after a pointwise function or a reduction: axes removed or reduced to 1 become infinite."""
        grids = [tensor.shape[-self.axes :] for tensor in given if tensor.ndim > self.axes]
        grid = max(grids, key=torch.Size.numel, default=torch.Size())
        if grid.numel() == 1 or name in AXIS_ORDER or result.shape[-self.axes :] == grid:
            return field
        if result.ndim > self.axes + 2 or (result.ndim == self.axes + 2 and 1 not in result.shape[2:]):
            self.is_exact = False
        if result.ndim != self.axes + 2:
            return self._infinite()
        sizes = zip(field, grid, result.shape[2:], strict=True)
        return tuple(AxisField.infinite() if new == 1 < old else axis for axis, old, new in sizes)

    def _infinite(self) -> ReceptiveField:
        return (AxisField.infinite(),) * self.axes

    def _record(self, tensor: Tensor, field: ReceptiveField) -> None:
        self.fields[id(tensor)] = tensor, field
        if field and field[-1].stride:
            self.stride = lcm(self.stride, field[-1].stride.numerator)


def _check_channels(layer: nn.Module, name: str, image: Tensor) -> None:
    channels = getattr(layer, "in_channels", None)
    if channels is not None and image.shape[1] != channels:
        rule = f"must start with {channels} channels, as layer {name or type(layer).__name__!r} takes"
        raise InputError("shape", tuple(image.shape[1:]), rule, f"give {(channels, *image.shape[2:])}")
