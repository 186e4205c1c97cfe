"""Overrides of ``to_tangent``: kernels on the tangent planes of the sphere (SphereNet: Coors et al., ECCV 2018).

Tangent-plane kernels have the weights of flat kernels, unchanged. Windows without a counterpart on the tangent plane
(convolutions of even size, strides other than 1 and 2) run as in ``to_equirectangular``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omniconv.arithmetic import span
from omniconv.convert.overrides import conv_pool
from omniconv.convert.overrides.conv_pool import Window
from omniconv.convert.overrides.mode import Overrides, OverrideTable, PanoramaFunctionMode
from omniconv.convert.overrides.pad_tracking import add_sides, crop, offset_of
from omniconv.convert.overrides.table import GRID_TABLE, flat_rows
from omniconv.convert.overrides.transposed import unpool_overlapping
from omniconv.errors import InputError
from omniconv.nn.arguments import Padding, Size
from omniconv.nn.stencil.modules import SparseOperator, StencilConvolution, make_stencil_convolution
from omniconv.nn.stencil.window_pool import make_max_pool
from omniconv.nn.symbolic import is_symbolic
from omniconv.surfaces import Equirectangular, Stencil
from omniconv.surfaces.neighbours.border import Border


class TangentOverrides:
    """Overrides for tangent-plane kernels on panoramas of ``height`` rows, with the layers for each height inside.

    Attributes:
        records: windows on signals that are not 2:1 panoramas (as in the branches of a pyramid pooling) are put into
            ``flat_windows``; otherwise those that are not in it raise InputError.
        flat_windows: module and operation of these windows, which stay flat.
    """

    pads_rows_as_flat = False
    standard_ops = False
    records = False
    flat_windows: frozenset[tuple[str, str]] = frozenset()  # of the class, for networks pickled before it existed

    def __init__(self, height: int) -> None:
        _surface(height)  # raises InputError for a bad height
        self.height = height
        self.layers: dict[tuple[Any, ...], nn.Module] = {}

    def use_standard_ops(self) -> None:
        """Build all layers from now on of torch's own operators, for export; see ``SparseOperator``."""
        self.standard_ops, self.layers = True, {}

    @property
    def table(self) -> OverrideTable:
        """The override of each torch function that has one."""
        return TANGENT_TABLE

    @property
    def flat_rows(self) -> tuple[Border, Overrides]:
        """Border and overrides of ``to_equirectangular(poles="flat")``."""
        return flat_rows()

    def layer(self, build: Callable[..., nn.Module], x: Tensor, *arguments: Any) -> Any:
        """Return ``build(height, *arguments)`` for the height of ``x``, built once."""
        if is_symbolic(x.shape[2]):
            rule = "has a symbolic height, but tangent-plane kernels are built for one height"
            raise InputError("input", tuple(x.shape), rule, "trace or export it with a fixed height and width")
        # layers of meta tensors are apart: tables that were moved to meta would be lost
        key = (build, x.shape[2], x.is_meta, *arguments)
        if key not in self.layers:
            self.layers[key] = build(x.shape[2], *arguments)
            for part in self.layers[key].modules() if self.standard_ops else ():
                if isinstance(part, SparseOperator):
                    part.use_standard_ops()
        return self.layers[key]

    def keeps_flat(self, module: str, operation: str) -> bool:
        """Return whether a window on a signal that is not a 2:1 panorama stays flat; else the signal is an error."""
        if self.records:
            self.flat_windows |= {(module, operation)}
        return (module, operation) in self.flat_windows

    def __getstate__(self) -> dict[str, Any]:
        # tables can be large; they are built again when needed
        state = {"height": self.height, "flat_windows": self.flat_windows, "layers": {}}
        return state | ({"standard_ops": True} if self.standard_ops else {})


class TangentCall(NamedTuple):
    """Arguments of a tangent-plane layer that replaces a call."""

    panorama: Tensor  # input without its pad offset
    stride: int
    selection: tuple[slice, ...]  # of the layer's output, for the outputs of the call


@conv_pool.accept_unbatched
def conv2d(
    context: PanoramaFunctionMode, input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Size = 1,
    padding: Padding = 0, dilation: Size = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """Override ``F.conv2d``."""
    window = Window.of_conv(input, weight, stride, padding, dilation)
    call = tangent_call(context, "conv2d", input, window)
    if call is None:
        return conv_pool.conv2d(context, input, weight, bias, stride, padding, dilation, groups)
    overrides = cast(TangentOverrides, context.overrides)
    layer = overrides.layer(_convolution, call.panorama, window.kernel, call.stride, window.dilation, groups)
    if context.observer is not None and isinstance(layer, StencilConvolution):
        context.observer.add_multiply_adds(layer.stencil.nnz * input.shape[0] * input.shape[1])
    return layer(call.panorama, weight, bias)[call.selection]


@conv_pool.accept_unbatched
def max_pool2d(
    context: PanoramaFunctionMode, input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
    dilation: Size = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Any:  # fmt: skip
    """Override ``F.max_pool2d``; an index is that of the pixel with the largest weight in the maximal sample."""
    window = Window.of_pool(kernel_size, stride, padding, dilation)
    if ceil_mode:
        window = window.with_ceil_mode(input.shape[2:])
    call = tangent_call(context, "max_pool2d", input, window)
    if call is None or set(window.dilation) != {1}:
        return conv_pool.max_pool2d(context, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    layer = cast(TangentOverrides, context.overrides).layer(_maximum, call.panorama, window.kernel, call.stride)
    if return_indices:
        values, indices = layer.with_switches(call.panorama)
        return values[call.selection], indices[call.selection]
    return layer(call.panorama)[call.selection]


def tangent_call(context: PanoramaFunctionMode, operation: str, x: Tensor, window: Window) -> TangentCall | None:
    """Return the call of a tangent-plane layer that replaces a call; ``None`` where the flat layer must stay.

    Windows of stride 2 may start at other pixels than those of the tangent stencil: TensorFlow's "SAME" pads one column
    after an even number of columns and none before. Such windows are every other one of the stencil of stride 1. An
    input that is not a 2:1 panorama and was one in the first run, or an odd height at stride 2, raises InputError.
    """
    panorama, window = crop(x, offset_of(x)), window._replace(padding=add_sides(offset_of(x), window.padding))
    kernel, stride, dilation, sides = window
    height, width = panorama.shape[2:]
    if set(kernel) == {1} or height == width == 1:  # pointwise, or global features: no neighbours to sample
        return None
    if width != 2 * height and cast(TangentOverrides, context.overrides).keeps_flat(context.module, operation):
        context.report_change(operation, f"stays flat: its input of {height} × {width} is no panorama of the sphere")
        return None
    if width != 2 * height:
        rule = f"must have twice as many columns as rows at {context.module!r}"
        raise InputError("input", tuple(x.shape), rule, "give panoramas whose height the strides divide")
    step = stride[0]
    # Twice the distance from the first pixel to the centre of the first window, so that even windows stay integers.
    starts = [span(taps, gap) - 1 - 2 * pair[0] for taps, gap, pair in zip(kernel, dilation, sides, strict=True)]
    stencil_starts = [(taps + 1) % 2 for taps in kernel]
    is_even_unsupported = any(stencil_starts) and (step == 1 or operation == "conv2d")
    if (
        set(stride) not in ({1}, {2}) or any(map(any, window.remaining_offset())) or is_even_unsupported
        or (step == 1 and any(starts))
    ):  # fmt: skip
        context.report_change(operation, "stays flat: tangent planes have odd windows of stride 1 or 2 only")
        return None
    if step == 2 and height % 2:
        _raise_odd_height(context, height)
    if starts == stencil_starts:
        context.report_change(operation, "moved to tangent planes")
        return TangentCall(panorama, step, (...,))  # type: ignore[arg-type]  # all of them
    if any(stencil_starts) or not set(starts) <= {0, 2}:
        context.report_change(operation, "stays flat: its windows are centred on other pixels than tangent planes")
        return None
    context.report_change(operation, "moved to tangent planes, as every other output of stride 1")
    rows, columns = (slice(start // 2, None, 2) for start in starts)
    return TangentCall(panorama, 1, (slice(None), slice(None), rows, columns))


def _raise_odd_height(context: PanoramaFunctionMode, height: int) -> None:
    full_height = cast(TangentOverrides, context.overrides).height
    factor = 2 * (full_height // height)
    raise InputError("height", full_height, f"becomes {height} rows at {context.module!r}, which has stride 2",
                     f"use a multiple of {factor}, for example {max(full_height // factor, 1) * factor}")  # fmt: skip


def _surface(height: int) -> Equirectangular:
    return Equirectangular(height=height, kernels="tangent")


def _convolution(
    height: int, kernel: tuple[int, ...], stride: int, dilation: tuple[int, ...], groups: int
) -> nn.Module:
    return make_stencil_convolution(cast(Stencil, _surface(height).conv_neighbours(kernel, stride, dilation)), groups)


def _maximum(height: int, kernel: tuple[int, ...], stride: int) -> nn.Module:
    return make_max_pool(cast(Stencil, _surface(height).window_neighbours(kernel, stride)))


TANGENT_TABLE: OverrideTable = {
    **GRID_TABLE,
    torch.conv2d: conv2d,
    F.max_pool2d: max_pool2d,
    torch.max_pool2d: max_pool2d,
    F.max_pool2d_with_indices: partial(max_pool2d, return_indices=True),
    # the maximum of an interpolated window may be at a pixel that a neighbouring window also contains
    F.max_unpool2d: unpool_overlapping,
}
