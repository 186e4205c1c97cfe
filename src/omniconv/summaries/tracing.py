"""One run of a network on tensors without content: which layers work, on what sizes, how far they see, at what cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from omniconv.errors import InputError
from omniconv.summaries.functional_rules import Moves, function_cost, function_moves
from omniconv.summaries.layer_rules import OMNICONV_LAYERS, layer_cost, layer_moves
from omniconv.summaries.receptive_field import Reach, together

BATCH = 2
"""Pictures in the run: batch normalisation in training refuses one alone."""
TURNING = frozenset({"permute", "transpose", "movedim", "swapaxes"})
WORKING = (*OMNICONV_LAYERS, nn.modules.conv._ConvNd, nn.Linear, nn.MultiheadAttention)
"""Layers that get a row although they may have layers inside."""

Sight = tuple[Reach, ...]


@dataclass
class Visit:
    """One call of one layer.

    Attributes:
        name: dotted path.
        layer: the layer.
        output: channels and grid of what came out.
        sight: what came out sees of the image, one reach for each axis.
        cost: multiply-adds on the whole batch.
    """

    name: str
    layer: nn.Module
    output: tuple[int, ...] = ()
    sight: Sight = ()
    cost: int = 0

    @property
    def parameters(self) -> Iterator[nn.Parameter]:
        """What the layer owns; of a network with layers that get a visit of their own, without theirs."""
        return self.layer.parameters(recurse=isinstance(self.layer, WORKING))


def trace(model: nn.Module, shape: Sequence[int]) -> tuple[list[Visit], Sight]:
    """Run a network on one shape ``(channels, *grid)``: its layers in the order of their work, and what it sees.

    Parameters and buffers are replaced by empty ones while it runs, so that nothing is computed and nothing changes.
    """
    tensors = chain(model.named_parameters(), model.named_buffers())
    empty = {name: tensor.detach().to("meta") for name, tensor in tensors}
    precision = next((tensor.dtype for tensor in empty.values() if tensor.is_floating_point()), None)
    tracer = _Tracer(torch.empty(BATCH, *shape, dtype=precision, device="meta"))
    with ExitStack() as stack, torch.no_grad():
        for name, layer in _workers(model):
            stack.callback(layer.register_forward_pre_hook(partial(tracer.enter, name)).remove)
            stack.callback(layer.register_forward_hook(tracer.leave, with_kwargs=True).remove)
        with tracer:
            result = functional_call(model, empty, (tracer.image,))
    return tracer.visits, tracer.sight_of(_tensors(result))


def _workers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers that get a visit, by name."""
    inner = {part for layer in model.modules() if isinstance(layer, WORKING) for part in list(layer.modules())[1:]}
    return [(name, layer) for name, layer in model.named_modules() if layer not in inner and _works(layer)]


def _works(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Identity):
        return False
    owns = next(layer.parameters(recurse=False), None) is not None
    return owns or isinstance(layer, WORKING) or next(layer.children(), None) is None


class _Tracer(TorchFunctionMode):
    """Sees every function of torch and every layer, and notes what each tensor sees of the image."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.image, self.axes = image, image.ndim - 2
        self.visits: list[Visit] = []
        self.running: list[Visit] = []
        self.seen: dict[int, tuple[Tensor, Sight]] = {}  # a kept tensor keeps its id to itself
        self._note(image, (Reach.start(),) * self.axes)

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        result = function(*args, **options)
        if any(isinstance(visit.layer, OMNICONV_LAYERS) for visit in self.running):
            return result
        name = getattr(function, "__name__", "")
        given = [tensor for tensor in _tensors((args, options)) if id(tensor) in self.seen]
        changed = list(_tensors(args[0] if name == "__setitem__" else result))
        if given and changed:
            self._follow(name, given, changed, args, options)
        return result

    def enter(self, name: str, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Before a layer runs."""
        if any(tensor is self.image for tensor in inputs):
            _check_channels(layer, name, self.image)
        self.running.append(Visit(name, layer))

    def leave(self, layer: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any], result: Any) -> None:
        """After a layer has run."""
        visit = self.running.pop()
        outputs = list(_tensors(result))
        if isinstance(layer, OMNICONV_LAYERS):
            given, y = list(_tensors((inputs, options))), outputs[0]
            x = given[0]
            sight = self._moved(self.sight_of(given), layer_moves(layer, y, x))
            visit.cost = layer_cost(layer, y, x)
            for tensor in outputs:
                self._note(tensor, sight)
        visit.output = tuple(outputs[0].shape[1:]) if outputs else ()
        visit.sight = self.sight_of(outputs)
        self.visits.append(visit)

    def sight_of(self, tensors: Iterable[Tensor]) -> Sight:
        """What several tensors see together; what nobody followed may see everything."""
        sights = [self.seen[id(tensor)][1] for tensor in tensors if id(tensor) in self.seen]
        return tuple(map(together, zip(*sights, strict=True))) if sights else (Reach.whole(),) * self.axes

    def _follow(
        self, name: str, given: list[Tensor], changed: list[Tensor], args: Sequence[Any], options: dict[str, Any]
    ) -> None:
        result, sight = changed[0], self.sight_of(given)
        try:
            sight = self._moved(sight, function_moves(name, result, args, options))
        except KeyError:
            sight = self._carried(name, sight, given, result)
        for tensor in changed:
            self._note(tensor, sight)
        if self.running:
            self.running[-1].cost += function_cost(name, result, args, options)

    def _moved(self, sight: Sight, moves: Moves) -> Sight:
        if moves is None or len(moves) != self.axes:
            return (Reach.whole(),) * self.axes
        return tuple(reach.through(move) for reach, move in zip(sight, moves, strict=True))

    def _carried(self, name: str, sight: Sight, given: list[Tensor], result: Tensor) -> Sight:
        """Through a function without a rule: grid axes that it takes away or shrinks to one sample are seen whole."""
        grids = [tensor.shape[-self.axes :] for tensor in given if tensor.ndim > self.axes]
        grid = max(grids, key=torch.Size.numel, default=torch.Size())
        if grid.numel() == 1 or name in TURNING or result.shape[-self.axes :] == grid:
            return sight
        if result.ndim != self.axes + 2:
            return (Reach.whole(),) * self.axes
        sizes = zip(sight, grid, result.shape[2:], strict=True)
        return tuple(Reach.whole() if new == 1 < old else reach for reach, old, new in sizes)

    def _note(self, tensor: Tensor, sight: Sight) -> None:
        self.seen[id(tensor)] = tensor, sight


def _check_channels(layer: nn.Module, name: str, image: Tensor) -> None:
    channels = getattr(layer, "in_channels", None)
    if channels is not None and image.shape[1] != channels:
        raise InputError(
            "shape",
            tuple(image.shape[1:]),
            f"must start with {channels} channels, as layer {name or type(layer).__name__!r} takes",
            f"give {(channels, *image.shape[2:])}",
        )


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
