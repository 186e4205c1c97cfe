"""Cases for JAX and omniconv, with small integers whose sums are exact in float32."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np

PADDINGS = {"SAME": "same_upper", "SAME_LOWER": "same_lower", "VALID": "valid"}
SIZES, KERNELS = range(1, 10), range(1, 6)
INPUTS, OUTPUTS = 2, 3


class Case(NamedTuple):
    """One call, with a number for each axis."""

    operator: str
    padding: str
    sizes: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    gradients: bool = False

    @property
    def name(self) -> str:
        """Key of the results."""
        return "-".join(map(str, (*self[:2], *sum(self[2:6], ()))))

    @property
    def valid_positions(self) -> tuple[int, ...]:
        """Positions of the dilated kernel on each axis, at most 0 where it does not fit."""
        axes = zip(self.sizes, self.kernel, self.dilation, strict=True)
        return tuple(size - step * (taps - 1) for size, taps, step in axes)


def on_a_line(operator: str, paddings: tuple[str, ...], *axes: range | tuple[int, ...], every: int) -> list[Case]:
    """Return all combinations of padding, size, kernel, stride and dilation, each ``every``-th with gradients."""
    combinations = (one for one in product(paddings, *axes) if one[2] > 1 or one[4] == 1)  # one tap has no dilation
    return [
        Case(operator, padding, *((number,) for number in numbers), gradients=every > 0 and count % every == 0)
        for count, (padding, *numbers) in enumerate(combinations)
    ]


def on_a_picture(operator: str, paddings: tuple[str, ...], count: int, dilations: int = 3) -> Iterator[Case]:
    """Yield random cases in which height and width differ in every argument, each fifth with gradients."""
    generator = np.random.default_rng(0)
    for number in range(count):
        size, kernel, stride, dilation = (
            tuple(int(one) for one in generator.choice(np.arange(1, most + 1), 2, replace=most < 2))
            for most in (12, 4, 4, dilations)
        )
        yield Case(operator, paddings[number % len(paddings)], size, kernel, stride, dilation, number % 5 == 0)


def all_cases() -> list[Case]:
    """Return the cases of all operators."""
    names = tuple(PADDINGS)
    return [
        *on_a_line("convolution", names, SIZES, KERNELS, (1, 2, 3, 4), (1, 2, 3), every=13),
        *on_a_picture("convolution", names, 30),
        *on_a_line("transposed", ("SAME", "VALID"), (1, 2, 5), KERNELS, (1, 2, 3, 4), (1, 2, 3), every=17),
        *on_a_picture("transposed", ("SAME", "VALID"), 12),
        *on_a_line("pooling", names, (1, 2, 5, 6, 9), (2, 3, 4), (1, 2, 3), (1,), every=8),
        *on_a_line("pooling", names, (1, 6), (2, 3), (1, 2), (2,), every=0),
        *on_a_picture("pooling", names, 6, dilations=1),
    ]


def numbers(*shape: int) -> np.ndarray:
    """Return random integers from −4 to 4, so that a shifted result differs."""
    generator = np.random.default_rng(shape)
    return generator.integers(-4, 5, shape).astype(np.float32)


def signal(case: Case) -> np.ndarray:
    """Return the input of a case; for pooling all numbers differ, so that every window has one maximum."""
    if case.operator == "pooling":
        shape = (2, INPUTS, *case.sizes)
        count = int(np.prod(shape))
        return (np.random.default_rng(shape).permutation(count) - count // 2).reshape(shape).astype(np.float32)
    return numbers(2, OUTPUTS if case.operator == "transposed" else INPUTS, *case.sizes)


def weight(case: Case) -> np.ndarray:
    """Return the weight of the convolution, which its transpose also takes."""
    return numbers(OUTPUTS, INPUTS, *case.kernel)
