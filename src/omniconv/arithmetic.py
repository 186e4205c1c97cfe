"""Sizes, receptive fields and costs of convolutions and poolings, axis by axis.

Dilation is PyTorch's: a 3-tap kernel with ``dilation=2`` spans five samples. Padding is a number of samples on both
sides, a pair ``(before, after)``, or one of the names ``"valid"``, ``"same"`` (symmetric), ``"same_upper"``
(TensorFlow, Keras, JAX: the odd sample goes to the end) and ``"same_lower"``.

Functions outside ``__all__`` take checked arguments and, under ``torch.export``, symbolic sizes: these are no ``int``
and may be compared only where every size gives the same answer.

Example:
    >>> output_size(224, kernel_size=7, stride=2, padding=3)
    112
    >>> output_size(112, kernel_size=3, stride=2, padding=1, transposed=True, output_padding=1)
    224
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

from omniconv.checks import check_channels, check_flag, check_integer, is_integer, to_builtin
from omniconv.errors import InputError

__all__ = ["PADDING_NAMES", "multiply_adds", "output_size", "parameters", "receptive_field"]

PADDING_NAMES = ("valid", "same", "same_upper", "same_lower")
PaddingRule = int | str | tuple[int, int]
"""The padding of one axis: a number, a name, or ``(before, after)``."""


def span(kernel_size: int, dilation: int = 1) -> int:
    """Return the number of samples that a dilated kernel covers: d(k − 1) + 1."""
    return dilation * (kernel_size - 1) + 1


def padding_amounts(
    padding: PaddingRule, size: int, kernel_size: int, stride: int = 1, dilation: int = 1
) -> tuple[int, int]:
    """Return how many samples ``padding`` adds before and after an axis of ``size`` samples.

    ``"same"`` depends on the kernel alone, ``"same_upper"`` and ``"same_lower"`` also on the size; all three give
    ⌈size / stride⌉ outputs.

    Raises:
        InputError: an unknown name.

    Example:
        >>> padding_amounts("same", 8, kernel_size=3, stride=2), padding_amounts("same_upper", 8, 3, stride=2)
        ((1, 1), (0, 1))
    """
    if isinstance(padding, int):
        return padding, padding
    if isinstance(padding, tuple):
        return padding
    reach = span(kernel_size, dilation) - 1
    if padding == "valid":
        return 0, 0
    if padding == "same":
        return reach // 2, reach - reach // 2
    if padding not in PADDING_NAMES:
        raise _unknown_padding(padding)
    total = reach + 1 - stride + -size % stride
    if reach < stride - 1:
        total = _larger(total, 0)
    small, large = total // 2, total - total // 2
    return (small, large) if padding == "same_upper" else (large, small)


def output_size(
    size: int,
    kernel_size: int,
    stride: int = 1,
    padding: PaddingRule = 0,
    dilation: int = 1,
    transposed: bool = False,
    output_padding: int = 0,
) -> int:
    """Return the output size of a convolution or pooling along one axis: ⌊(x + 2p − d(k − 1) − 1) / s⌋ + 1.

    Args:
        size: samples of the axis, x.
        kernel_size: taps of the kernel, k.
        stride: step from one output to the next, s.
        padding: samples added on both sides, a pair ``(before, after)``, or a name (see the module's docstring).
        dilation: step from one tap to the next, d.
        transposed: return the output size of the transposed convolution, (x − 1)s − 2p + d(k − 1) + 1 + output_padding;
            x·s for the names of SAME padding.
        output_padding: samples added to the transposed output, to select one of the s sizes that convolve to x.

    Raises:
        InputError: an argument below its range, or an output size below 1.
    """
    named = {"size": size, "kernel_size": kernel_size, "stride": stride, "dilation": dilation}
    checked = (check_integer(name, value, 1, f"use {name}=1 or more") for name, value in named.items())
    size, kernel_size, stride, dilation = checked
    extra = check_integer("output_padding", output_padding, 0, "use output_padding=0")
    return size_after(size, kernel_size, stride, _sides(padding), dilation, check_flag("transposed", transposed), extra)


def size_after(
    size: int,
    kernel_size: int,
    stride: int,
    padding: PaddingRule,
    dilation: int = 1,
    transposed: bool = False,
    output_padding: int = 0,
) -> int:
    """Return ``output_size`` for checked arguments and symbolic sizes."""
    if transposed and isinstance(padding, str) and padding != "valid":
        return size * stride
    before, after = padding_amounts(padding, size, kernel_size, stride, dilation)
    if transposed:
        result = (size - 1) * stride - before - after + span(kernel_size, dilation) + output_padding
    else:
        result = (size + before + after - span(kernel_size, dilation)) // stride + 1
    if result < 1:
        cure = "pad less: a transposed convolution takes padding away"
        if not transposed:
            cure = "pad more or use a smaller kernel or dilation"
        reach = span(kernel_size, dilation)
        raise InputError("size", size, f"leaves no output under a kernel that spans {reach}", cure)
    return result


def overhang(size: int, kernel_size: int, stride: int = 1, padding: tuple[int, int] = (0, 0), dilation: int = 1) -> int:
    """Return by how many samples the last pooling window exceeds the padded axis under ``ceil_mode``.

    As in PyTorch and ONNX, a window that would start in the padding after the axis is dropped.

    Example:
        >>> overhang(5, kernel_size=2, stride=2), overhang(6, kernel_size=2, stride=2)
        (1, 0)
    """
    padded, reach = size + sum(padding), span(kernel_size, dilation)
    over = (reach - padded) % stride
    if isinstance(size, int):
        over = max(over, reach - padded)
        return over if over + padding[1] < reach else 0
    if isinstance(padding[1], int) and stride + padding[1] <= reach:
        return over  # the last window starts on the axis at every size
    return over * (1 - _smaller((over + padding[1]) // reach, 1))


def check_output_padding(
    output_padding: Sequence[int],
    padding: Sequence[PaddingRule],
    stride: Sequence[int],
    dilation: Sequence[int],
    cure: str,
) -> None:
    """Check the output padding of a transposed convolution, one entry per axis; ``cure`` is for named padding."""
    for extra, rule, step, gap in zip(output_padding, padding, stride, dilation, strict=True):
        if extra and isinstance(rule, str) and rule != "valid":
            text = f"must be 0 with padding={rule}, which gives size · stride"
            raise InputError("output_padding", extra, text, cure)
        most = max(step, gap) - 1
        if extra > most:
            text = f"must be smaller than stride={step} or dilation={gap}"
            raise InputError("output_padding", extra, text, f"use at most {most}")


def check_pool_padding(padding: Sequence[PaddingRule], spans: Sequence[int], modes: Sequence[tuple[str, str]]) -> None:
    """Check that no pooling window can hold padded zeros only; ``modes`` are ``(before, after)`` of each axis."""
    for rule, reach, sides in zip(padding, spans, modes, strict=True):
        for amount, mode in zip(padding_amounts(rule, 1, 1), sides, strict=True):
            if mode == "zeros" and amount >= reach:
                raise InputError("padding", amount, f"must be smaller than the window, which spans {reach}", "pad less")


def window_too_large(sizes: object, reach: int, cure: str) -> InputError:
    """Return the error for a grid of ``sizes`` that is smaller, with its padding, than a pooling window."""
    return InputError("input", sizes, f"is smaller than the window, which spans {reach}", cure)


def check_reflection(amount: int, size: int, cure: str) -> None:
    """Check that an axis of ``size`` samples is long enough to be padded by reflection."""
    if amount >= size:  # as in torch: no reflection of a reflection
        rule = f"must be smaller than the axis ({size} samples) to be reflected"
        raise InputError("padding", amount, rule, cure)


def receptive_field(layers: Iterable[Sequence[int]]) -> int:
    """Return the receptive field of a chain of layers along one axis, in input samples.

    Args:
        layers: ``(kernel_size, stride)`` or ``(kernel_size, stride, dilation)`` of each layer, first layer first.

    Raises:
        InputError: a layer that is neither tuple.

    Example:
        >>> receptive_field([(3, 1), (3, 1), (2, 2), (3, 1)])
        10
    """
    field, step = 1, 1
    for kernel_size, stride, *dilation in map(_window, _layers(layers)):
        field += (span(kernel_size, *dilation) - 1) * step
        step *= stride
    return field


def parameters(
    in_channels: int, out_channels: int, kernel_size: int | Sequence[int], groups: int = 1, bias: bool = True
) -> int:
    """Return the number of weights and biases of a convolution; for a stencil ``kernel_size`` is its number of taps.

    Raises:
        InputError: an argument out of range.

    Example:
        >>> parameters(64, 64, (3, 3)), parameters(64, 64, 4)
        (36928, 16448)
    """
    in_channels, out_channels, groups = check_channels(in_channels, out_channels, groups, least=0)
    taps = _product("kernel_size", kernel_size, 1)
    return out_channels * (in_channels // groups) * taps + (out_channels if check_flag("bias", bias) else 0)


def multiply_adds(
    in_channels: int, out_channels: int, kernel_size: int | Sequence[int], outputs: int | Sequence[int], groups: int = 1
) -> int:
    """Return the multiply-add operations of a convolution on one sample of the batch.

    Args:
        in_channels: input channels.
        out_channels: output channels.
        kernel_size: taps in total, or one number per axis.
        outputs: output positions in total, or one number per axis. For a transposed convolution pass the *input*
            positions: each of them is multiplied by every tap once.
        groups: groups of channels, as in ``torch.nn.Conv2d``.

    Raises:
        InputError: an argument out of range.

    Example:
        >>> multiply_adds(64, 64, (3, 3), (128, 256))
        1207959552
    """
    positions = _product("outputs", outputs, 0)
    return parameters(in_channels, out_channels, kernel_size, groups, bias=False) * positions


def _larger(one: int, other: int) -> int:
    """Return the maximum, also of symbolic sizes, which ``max`` would compare and so specialise."""
    return max(one, other) if isinstance(one, int) else one.__sym_max__(other)


def _smaller(one: int, other: int) -> int:
    return min(one, other) if isinstance(one, int) else one.__sym_min__(other)


def _sides(padding: PaddingRule) -> PaddingRule:
    padding = to_builtin(padding)
    sides = padding if isinstance(padding, tuple) else (padding, padding)
    is_name = isinstance(padding, str) and padding in PADDING_NAMES
    if is_name or (len(sides) == 2 and all(is_integer(side, 0) for side in sides)):
        return padding
    raise _unknown_padding(padding)


def _unknown_padding(padding: object) -> InputError:
    rule = f"must be a number, a pair or one of {', '.join(PADDING_NAMES)}"
    return InputError("padding", padding, rule, "use padding='same', or a whole number from 0")


def _product(name: str, numbers: int | Sequence[int], least: int) -> int:
    several = to_builtin(numbers)
    several = several if isinstance(several, tuple) else (several,)
    return prod(check_integer(name, number, least, "give one number, or one an axis") for number in several)


def _layers(layers: Iterable[Sequence[int]]) -> Iterable[Sequence[int]]:
    try:
        return list(layers)
    except TypeError:
        rule = "must be a list with one (kernel_size, stride) for each layer"
        raise InputError("layers", layers, rule, "write [(3, 1), (2, 2)]") from None


def _window(layer: Sequence[int]) -> tuple[int, ...]:
    window = to_builtin(layer)
    if not isinstance(window, tuple) or len(window) not in (2, 3) or not all(map(is_integer, window)):
        rule = "must be (kernel_size, stride) or (kernel_size, stride, dilation), whole numbers from 1"
        raise InputError("layers", layer, rule, "write (3, 1) for a 3 x 3 layer with stride 1")
    return window
